import Foundation
import SwanDiagnostics
import SwanJobs
import SwanPipeline
import Testing

/// Guards how runs are added up. That the numbers are those which runs printed is tested with the program.
@Suite struct ActivityReportTests {
    private static func job(
        _ id: Int, seconds: Double, steps: Int = 40, preset: String? = nil, guidance: Double = 5, frames: Int = 81,
        device: String = "cpu: test", videos: Int = 1, prompt: String = "A cat"
    ) throws -> Job {
        let forwards = steps * (guidance == 1 ? 1 : 2) * videos
        let video = #"{"prompt":"p","seed":1,"path":"a.mp4"}"#
        let report = """
            {"settings":{"model":"m","width":832,"height":480,"frames":\(frames),"fps":16,"steps":\(steps),"solver":"unipc",
            "shift":5,"boundary":0.875,"guidanceHigh":\(guidance),"guidanceLow":\(guidance),"negativePrompt":"",
            \(preset.map { #""preset":"\#($0)","# } ?? "")"lorasHigh":[],"lorasLow":[]},"device":"\(device)",
            "stages":[{"stage":"high","seconds":\(seconds)}],"videos":[\(Array(repeating: video, count: videos).joined(separator: ","))],
            "forwards":\(forwards),"precision":"fp32","attention":"exact","weights":"in host memory","peakMemory":1,
            "plannedMemory":1,"seconds":\(seconds),"architecture":{"transformer":{"width":5120,"feedForward":13824,"heads":40,
            "layers":40,"parameters":14288901184},"experts":2,"textEncoder":{"width":4096,"feedForward":10240,"heads":64,
            "layers":24,"parameters":5680910336},"autoencoderParameters":126892531,"latentChannels":16}}
            """
        let text = """
            {"id":\(id),"detached":true,"state":"done","prompt":"\(prompt)","model":"m","folder":"/","arguments":[],
            "device_asked":"cpu","created":0,"started":1764000000,"attempts":1,"cancel_requested":false,"outputs":[],
            "report":\(report)}
            """
        return try JSONDecoder().decode(Job.self, from: Data(text.utf8))
    }

    /// The diary's ladder: 1140 s at 40 steps, 146 s with four.
    @Test func theLadderIsTheDiarys() throws {
        let jobs = [
            try Self.job(1, seconds: 146, steps: 4, preset: "lightning", guidance: 1), try Self.job(2, seconds: 1140),
            try Self.job(3, seconds: 600, steps: 20), try Self.job(4, seconds: 1150), try Self.job(5, seconds: 1130),
            try Self.job(6, seconds: 80, frames: 5), try Self.job(7, seconds: 200, device: "cuda:0"),
            try Self.job(8, seconds: 1200, steps: 20, videos: 2),
        ]
        let report = try ActivityReport(jobs, machine: [], swan: "0")
        #expect(report.ladders.map { $0.rungs.map(\.runs) } == [[[2, 4, 5], [3, 8], [1]], [[6]], [[7]]])
        let rungs = try #require(report.ladders.first?.rungs)
        #expect(rungs.map(\.seconds) == [1140, 600, 146], "medians of one video")
        #expect(rungs.map(\.isBaseline) == [true, false, false])
        #expect(rungs.map(\.speedUp) == [1, 1.9, 1140.0 / 146])
        #expect(rungs[2].method == "lightning, unipc, no guidance, fp32" && rungs[2].forwards == 4)
        #expect(
            report.markdown().contains("| lightning, unipc, no guidance, fp32 | 4 | 81 | 4 | 1 | 2 min 26 s | 7.81× |"))

        let other = try ActivityReport(jobs, machine: [], swan: "0", baseline: 3)
        #expect(other.ladders[0].rungs.map(\.isBaseline) == [false, true, false])
        #expect(throws: SwanError.self) { try ActivityReport(jobs, machine: [], swan: "0", baseline: 99) }
    }

    @Test func theArchitectureIsCounted() throws {
        let report = try ActivityReport([Self.job(1, seconds: 1), Self.job(2, seconds: 1)], machine: [], swan: "0")
        #expect(report.models.count == 1)
        #expect(report.models[0].parameters == 2 * 14_288_901_184 + 5_680_910_336 + 126_892_531)
        #expect(report.models[0].activeParameters == 14_288_901_184)
        let text = report.markdown()
        #expect(text.contains("| transformer, 2 experts | 5120 | 13824 | 40 | 40 | 128 | 28.6 billion |"), "\(text)")
        #expect(text.contains("34.4 billion parameters in all, 14.3 billion of the transformer active in a step"))
    }

    /// What a prompt holds does not become part of the page or the table.
    @Test func textsStayTexts() throws {
        let job = try Self.job(1, seconds: 1, prompt: "<script>alert('1|2')</script> & more")
        let report = try ActivityReport([job], machine: [.init(subject: "a|b", text: "c\u{1B}")], swan: "0")
        let page = report.html()
        #expect(!page.contains("<script>"))
        #expect(page.contains("&lt;script&gt;alert(&#39;1|2&#39;)&lt;/script&gt; &amp; more"))
        let text = report.markdown()
        #expect(text.contains("| a\\|b | c\\u{1b} |"), "\(text)")
        #expect(text.contains("alert('1\\|2')"))
        // Nothing is fetched.
        #expect(!page.contains("http") && !page.contains("src="))
    }

    @Test func nothingIsAReportToo() throws {
        let report = try ActivityReport([], machine: [], swan: "0")
        #expect(report.markdown().contains("No run is finished."))
        #expect(report.html().contains("No run is finished."))
    }
}
