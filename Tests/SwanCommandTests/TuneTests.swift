import Foundation
import SwanTestSupport
import Testing

extension CommandTests {
    /// Guards what `tune` measures and `generate` uses.
    @Suite struct TuneTests {
        @Test func generateUsesWhatWon() throws {
            let program = try Program()
            let call = ["--model", Program.model, "--size", "64x48", "--frames", "5", "--steps", "10"]
            let tuned = try program.run(
                ["tune"] + call + ["--runs", "1", "--least-ssim", "0", "--device", "cpu", "--json"])
            #expect(tuned.status == 0, "\(tuned.errors)")
            let answer = try #require(
                try JSONSerialization.jsonObject(with: Data(tuned.output.utf8)) as? [String: Any])
            let path = try #require(answer["path"] as? String)
            #expect(path.hasPrefix(program.state.path + "/data/swan/profiles/"))
            let ladder = try #require(answer["ladder"] as? [String: Any])
            let rungs = try #require(ladder["rungs"] as? [[String: Any]])
            #expect(rungs.count >= 5 && rungs[0]["verdict"] as? String == "baseline")

            // What won is a matter of the machine; what is used is not.
            var profile = try #require(answer["profile"] as? [String: Any])
            profile["cacheThreshold"] = 0.25
            profile["precision"] = "int8"
            profile["guidanceInterval"] = nil
            try JSONSerialization.data(withJSONObject: profile).write(to: URL(filePath: path))
            let used = try program.run(["generate", "a cat"] + call + ["--device", "cpu", "--dry-run"])
            #expect(used.status == 0 && used.errors.contains("profile of "), "\(used.errors)")
            #expect(used.errors.contains("int8 arithmetic, step cache 0.25, measured"))
            #expect((used.output + used.errors).contains("10 unipc steps, shift 12.0, int8, step cache 0.25"))
            let partly = try program.run(
                ["generate", "a cat"] + call + ["--precision", "fp8", "--device", "cpu", "--dry-run"])
            #expect(
                partly.errors.contains("profile of ") && partly.errors.contains(": step cache 0.25; --profile none"))
            // A job does what was decided when it was queued.
            let queued = try program.run(
                ["generate", "a cat", "--output", "a.y4m", "--profile", "auto"] + call + [
                    "--device", "cpu", "--detach",
                ])
            #expect(queued.status == 0, "\(queued.errors)")
            try FileManager.default.removeItem(atPath: path)
            let attached = try program.run(["attach", "1"])
            #expect(attached.status == 0 && (attached.output + attached.errors).contains("int8"), "\(attached)")
            try JSONSerialization.data(withJSONObject: profile).write(to: URL(filePath: path))
            // Too little time says nothing, and takes nothing away.
            let hurried = try program.run(["tune"] + call + ["--budget", "0.001s", "--device", "cpu"])
            #expect(hurried.status == 0 && hurried.output.contains("No profile is written"))
            #expect(FileManager.default.fileExists(atPath: path))
            // Options win; another size is another matter; none is none.
            let given = try program.run(
                ["generate", "a cat"] + call + [
                    "--cache", "off", "--precision", "fp32", "--device", "cpu", "--dry-run",
                ])
            #expect(given.status == 0 && !(given.output + given.errors).contains("10 unipc steps, shift 12.0, int8"))
            for other in [
                ["--profile", "none"], ["--frames", "9"], ["--steps", "11"], ["--guidance", "1"], ["--shift", "3"],
            ] {
                let plain = try program.run(["generate", "a cat"] + call + other + ["--device", "cpu", "--dry-run"])
                #expect(plain.status == 0 && !plain.errors.contains("profile of"), "\(other): \(plain.errors)")
            }
        }

        @Test func aLadderIsWritten() throws {
            let program = try Program()
            let call = ["bench", "cpu", "--ladder", "--model", Program.model, "--size", "64x48", "--frames", "5"]
            let result = try program.run(
                call + ["--steps", "2", "--runs", "1", "--rungs", "weights,attention", "--output", "ladder"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output.contains("8-bit weights") && result.output.contains("The device has one kernel"))
            let names = try FileManager.default.contentsOfDirectory(atPath: program.folder.path + "/ladder")
            #expect(Set(names).isSuperset(of: ["ladder.html", "ladder.md", "ladder.json"]))
            let page = try String(contentsOfFile: program.folder.path + "/ladder/ladder.html", encoding: .utf8)
            for video in names where video.hasSuffix(".mp4") { #expect(page.contains("src=\"\(video)\"")) }
            #expect(program.folder.names == ["ladder"], "nothing else is left")
        }
    }
}
