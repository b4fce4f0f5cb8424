import FoundationEssentials
import SwanDiagnostics
import SwanPipeline

/// Shows how a run goes on.
protocol ProgressPrinter {
    /// A remark before the run.
    func line(_ text: String)
    /// The plan, when nothing else is asked for.
    func plan(_ run: PlannedRun, rate: Double)
    /// The run begins.
    func begin(_ run: PlannedRun)
    /// Something happened.
    func event(_ event: GenerationEvent)
    /// The run is over.
    func end(_ report: RunReport)
    /// The run has failed: the error that is printed next begins a line of its own.
    func abandon()
}

/// What is known of a run before it begins.
struct PlannedRun {
    let settings: GenerationSettings
    let plan: GenerationPlan
    let device: String
    let items: [VideoItem]
}

/// Standard output as a run uses it. Whoever reads it may go away, and then nobody waits for the video:
/// the run is asked to stop.
final class ResultOutput {
    private let cancellation: Cancellation
    /// The error number of the first write that failed.
    private(set) var failure: Int32?

    init(_ cancellation: Cancellation) { self.cancellation = cancellation }

    func write(_ text: String) {
        guard failure == nil else { return }
        failure = Output.standardOutput(text)
        if failure != nil { cancellation.cancel() }
    }
}

/// A line that is rewritten on a terminal, plain lines in a log; all on standard error. Paths of finished
/// videos go to standard output.
final class TextProgress: ProgressPrinter {
    private let results: ResultOutput
    private let terminalWidth = Output.terminalWidth
    private var stage = ""
    private var videos = 1

    init(_ results: ResultOutput) { self.results = results }

    func line(_ text: String) { Output.standardError(text + "\n") }

    func plan(_ run: PlannedRun, rate: Double) {
        results.write(run.settings.summary + "\n" + run.plan.table(rate: rate) + "\n")
    }

    func begin(_ run: PlannedRun) {
        videos = run.items.count
        line(run.settings.summary)
        if let seeds = Self.seeds(run.items) { line(seeds) }
        let memory = run.plan.device?.summary ?? "at most \(formatted(bytes: run.plan.peakBytes)) of memory"
        line("on \(run.device); \(memory)")
    }

    /// The seeds in use, so that an interrupted run can be made again.
    private static func seeds(_ items: [VideoItem]) -> String? {
        let seeds = items.compactMap { item in if case .seed(let seed) = item.start { seed } else { nil } }
        guard let first = seeds.first, let last = seeds.last else { return nil }
        return first == last ? "seed \(first)" : "seeds \(first) to \(last)"
    }

    func event(_ event: GenerationEvent) {
        switch event {
        case .stage(let stage):
            self.stage = stage.title
            show(stage.title)
        case .step(let video, let step, let count, let seconds, let remaining):
            showPart(video, "step \(step) of \(count), \(formatted(seconds: seconds))", remaining)
        case .frames(let video, let done, let count, let remaining):
            showPart(video, "frame \(done) of \(count)", remaining)
        case .video(_, let path):
            clear()
            results.write(path + "\n")
        }
    }

    func end(_ report: RunReport) {
        clear()
        line(report.table())
    }

    func abandon() { clear() }

    private func showPart(_ video: Int, _ text: String, _ remaining: Double?) {
        var text = videos > 1 ? "video \(video + 1) of \(videos), \(text)" : text
        if let remaining { text += ", \(formatted(seconds: remaining)) left" }
        show(terminalWidth == nil ? "  " + text : "\(stage): \(text)")
    }

    private func show(_ text: String) {
        guard let terminalWidth else { return line(text) }
        // A line that wraps could not be rewritten.
        Output.standardError("\r\u{1B}[K\(text.prefix(terminalWidth - 1))")
    }

    private func clear() {
        if terminalWidth != nil { Output.standardError("\r\u{1B}[K") }
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

    private struct Frames: Encodable {
        let video, done, of: Int
        let eta: Double?
    }
    private struct File: Encodable {
        let video: Int
        let path: String
    }
    private struct Planned: Encodable {
        let settings: GenerationSettings
        let plan: GenerationPlan
        let device: String
        let videos: [RunReport.Video]
        let peakBytes: Int
        let seconds: Double?

        init(_ run: PlannedRun, seconds: Double?) {
            settings = run.settings
            plan = run.plan
            device = run.device
            videos = run.items.map(RunReport.Video.init)
            peakBytes = run.plan.peakBytes
            self.seconds = seconds
        }
    }

    private let write: (String) -> Void

    init(_ results: ResultOutput) { write = { results.write($0) } }

    func line(_ text: String) { print("note", text) }

    func plan(_ run: PlannedRun, rate: Double) {
        print("plan", Planned(run, seconds: run.plan.operations / rate))
    }

    func begin(_ run: PlannedRun) { print("plan", Planned(run, seconds: nil)) }

    func event(_ event: GenerationEvent) {
        switch event {
        case .stage(let stage): print("stage", stage)
        case .step(let video, let step, let count, let seconds, let remaining):
            print("step", Step(video: video, step: step, of: count, seconds: seconds, eta: remaining))
        case .frames(let video, let done, let count, let remaining):
            print("frames", Frames(video: video, done: done, of: count, eta: remaining))
        case .video(let index, let path): print("video", File(video: index, path: path))
        }
    }

    func end(_ report: RunReport) { print("done", report) }

    func abandon() {}

    /// An error as the last event.
    static func error(_ error: SwanError) {
        struct Failure: Encodable {
            let code, message, advice: String
            let status: Int32
        }
        Self.print(
            "error",
            Failure(
                code: error.code.name, message: error.message, advice: error.advice, status: error.code.kind.rawValue))
    }

    private func print(_ event: String, _ body: some Encodable) { Self.print(event, body, write) }

    private static func print(
        _ event: String, _ body: some Encodable, _ write: (String) -> Void = { Output.standardOutput($0) }
    ) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(Line(event: event, body: body)) else { return }
        write(String(decoding: data, as: UTF8.self) + "\n")
    }
}
