import FoundationEssentials
import SwanDiagnostics
import SwanJobs
import SwanPipeline

/// Shows how a run goes on.
protocol ProgressPrinter {
    /// Something happened.
    func show(_ event: RunEvent)
    /// The plan, when nothing else is asked for.
    func showOnly(_ plan: PlannedRun)
    /// The run has failed: the error that is printed next begins a line of its own.
    func abandon()
}

extension ProgressPrinter {
    /// A remark.
    func line(_ text: String) { show(.note(text)) }
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
    private let writeResult: (String) -> Void
    private let say: (String) -> Void
    private let terminalWidth: Int?
    private var stage = ""
    private var videos = 1
    /// Whether a line is shown that will be rewritten.
    private var hasLine = false

    init(_ results: ResultOutput) {
        writeResult = { results.write($0) }
        say = { Output.standardError($0) }
        terminalWidth = Output.terminalWidth
    }

    /// Everything as plain lines on standard output.
    init(log results: ResultOutput) {
        writeResult = { results.write($0) }
        say = writeResult
        terminalWidth = nil
    }

    func showOnly(_ run: PlannedRun) {
        let rate = run.seconds.map { run.plan.operations / $0 }
        writeResult(run.settings.summary + "\n" + run.plan.table(rate: rate) + "\n")
    }

    func show(_ event: RunEvent) {
        switch event {
        case .note(let text):
            clear()
            line(text)
        case .plan(let run): begin(run)
        case .stage(let stage):
            self.stage = stage.title
            show(stage.title)
        case .step(let step):
            showPart(step.video, "step \(step.step) of \(step.of), \(formatted(seconds: step.seconds))", step.eta)
        case .frames(let frames): showPart(frames.video, "frame \(frames.done) of \(frames.of)", frames.eta)
        case .video(let file):
            clear()
            writeResult(file.path + "\n")
        case .done(let report):
            clear()
            line(report.table())
        case .job(let job):
            writeResult("\(job.id)\n")
            line(
                "Job \(job.id) is queued: `swan attach \(job.id)` shows how it goes on, `swan cancel \(job.id)` stops it."
            )
        // Whoever ends the program prints it.
        case .error: break
        }
    }

    func abandon() { clear() }

    private func line(_ text: String) { say(text + "\n") }

    private func begin(_ run: PlannedRun) {
        videos = run.videos.count
        line(run.settings.summary)
        if let seeds = Self.seeds(run.videos) { line(seeds) }
        let memory = run.plan.device?.summary ?? "at most \(formatted(bytes: run.peakBytes)) of memory"
        line("on \(run.device); \(memory)")
    }

    /// The seeds in use, so that an interrupted run can be made again.
    private static func seeds(_ videos: [RunReport.Video]) -> String? {
        let seeds = videos.compactMap(\.seed)
        guard let first = seeds.first, let last = seeds.last else { return nil }
        return first == last ? "seed \(first)" : "seeds \(first) to \(last)"
    }

    private func showPart(_ video: Int, _ text: String, _ remaining: Double?) {
        var text = videos > 1 ? "video \(video + 1) of \(videos), \(text)" : text
        if let remaining { text += ", \(formatted(seconds: remaining)) left" }
        show(terminalWidth == nil ? "  " + text : "\(stage): \(text)")
    }

    private func show(_ text: String) {
        guard let terminalWidth else { return line(text) }
        // A line that wraps could not be rewritten.
        say("\r\u{1B}[K\(text.prefix(terminalWidth - 1))")
        hasLine = true
    }

    private func clear() {
        if hasLine { say("\r\u{1B}[K") }
        hasLine = false
    }
}

/// One JSON object per line.
struct JSONProgress: ProgressPrinter {
    private let write: (String) -> Void

    /// On standard output.
    init(_ results: ResultOutput) { write = { results.write($0) } }

    /// Wherever lines go.
    init(writing write: @escaping (String) -> Void) { self.write = write }

    func showOnly(_ plan: PlannedRun) { show(.plan(plan)) }

    func show(_ event: RunEvent) {
        if let line = try? encoded(event) { write(line + "\n") }
    }

    func abandon() {}

    /// An error as the last event.
    static func error(_ error: SwanError) {
        JSONProgress { Output.standardOutput($0) }.show(.error(.init(error)))
    }
}
