import FoundationEssentials
import SwanDiagnostics
import SwanPipeline

/// Shows how a run goes on.
protocol ProgressPrinter {
    /// A remark before the run.
    func line(_ text: String)
    /// The plan, when nothing else is asked for.
    func plan(_ plan: GenerationPlan, _ settings: GenerationSettings, rate: Double)
    /// The run begins.
    func begin(_ settings: GenerationSettings, _ plan: GenerationPlan, _ device: String)
    /// Something happened.
    func event(_ event: GenerationEvent)
    /// The run is over.
    func end(_ report: RunReport)
}

/// A line that is rewritten on a terminal, plain lines in a log; all on standard error.
struct TextProgress: ProgressPrinter {
    private let isTerminal = Output.errorIsTerminal

    func line(_ text: String) { Output.standardError(text + "\n") }

    func plan(_ plan: GenerationPlan, _ settings: GenerationSettings, rate: Double) {
        Output.standardOutput(settings.summary + "\n" + plan.table(rate: rate) + "\n")
    }

    func begin(_ settings: GenerationSettings, _ plan: GenerationPlan, _ device: String) {
        line(settings.summary)
        line("on \(device); about \(formatted(bytes: plan.peakBytes)) of memory")
    }

    func event(_ event: GenerationEvent) {
        switch event {
        case .stage(let stage): show(stage.title, isStep: false)
        case .step(let video, let step, let count, let seconds, let remaining):
            var text =
                "\(video > 0 ? "video \(video + 1), " : "")step \(step) of \(count), \(formatted(seconds: seconds))"
            if let remaining { text += ", \(formatted(seconds: remaining)) left in steps" }
            show(text, isStep: true)
        case .frames(_, let done, let count): show("frame \(done) of \(count)", isStep: true)
        case .video(_, let path):
            clear()
            Output.standardOutput(path + "\n")
        }
    }

    func end(_ report: RunReport) {
        clear()
        line(report.table())
    }

    private func show(_ text: String, isStep: Bool) {
        if isTerminal {
            Output.standardError("\r\u{1B}[K\(text)")
        } else {
            line(isStep ? "  " + text : text)
        }
    }

    private func clear() {
        if isTerminal { Output.standardError("\r\u{1B}[K") }
    }
}

/// One JSON object per line on standard output.
struct JSONProgress: ProgressPrinter {
    private struct Line<Body: Encodable>: Encodable {
        let event: String
        let body: Body

        enum CodingKeys: String, CodingKey { case event, body = "data" }
    }

    private struct Step: Encodable {
        let video, step, of: Int
        let seconds: Double
        let eta: Double?
    }

    private struct Frames: Encodable { let video, done, of: Int }
    private struct File: Encodable {
        let video: Int
        let path: String
    }
    private struct Planned: Encodable {
        let settings: GenerationSettings
        let plan: GenerationPlan
        let peakBytes: Int
        let seconds: Double?
    }

    func line(_ text: String) { print("note", text) }

    func plan(_ plan: GenerationPlan, _ settings: GenerationSettings, rate: Double) {
        print(
            "plan", Planned(settings: settings, plan: plan, peakBytes: plan.peakBytes, seconds: plan.operations / rate))
    }

    func begin(_ settings: GenerationSettings, _ plan: GenerationPlan, _ device: String) {
        print("plan", Planned(settings: settings, plan: plan, peakBytes: plan.peakBytes, seconds: nil))
    }

    func event(_ event: GenerationEvent) {
        switch event {
        case .stage(let stage): print("stage", stage)
        case .step(let video, let step, let count, let seconds, let remaining):
            print("step", Step(video: video, step: step, of: count, seconds: seconds, eta: remaining))
        case .frames(let video, let done, let count): print("frames", Frames(video: video, done: done, of: count))
        case .video(let index, let path): print("video", File(video: index, path: path))
        }
    }

    func end(_ report: RunReport) { print("done", report) }

    /// An error as the last event.
    static func error(_ error: SwanError) {
        struct Failure: Encodable { let code, message, advice: String }
        JSONProgress().print("error", Failure(code: error.code.name, message: error.message, advice: error.advice))
    }

    private func print(_ event: String, _ body: some Encodable) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(Line(event: event, body: body)) else { return }
        Output.standardOutput(String(decoding: data, as: UTF8.self) + "\n")
    }
}
