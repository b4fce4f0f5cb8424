import SwanDiagnostics
import SwanHub
import Synchronization

/// Shows how a download goes on: a line that is rewritten on a terminal, plain lines in a log, or events.
final class PullPrinter: Sendable {
    private struct Line<Body: Encodable>: Encodable {
        let event: String
        let data: Body
    }

    private struct File: Encodable {
        let path: String
        let bytes: Int
    }

    private struct State {
        var last: ContinuousClock.Instant?
        var isShown = false
    }

    private let isJSON: Bool
    private let terminalWidth = Output.terminalWidth
    private let state = Mutex(State())

    init(isJSON: Bool) { self.isJSON = isJSON }

    func event(_ event: PullEvent) {
        switch event {
        case .note(let text): isJSON ? write("note", text) : line(text)
        case .plan(let plan): isJSON ? write("plan", plan) : line(plan.text)
        case .file(let path, let bytes):
            if isJSON { write("file", File(path: path, bytes: bytes)) }
        case .progress(let progress): show(progress)
        }
    }

    /// A list instead of a download.
    func end(_ plan: PullPlan) {
        if isJSON { return write("plan", plan) }
        Output.standardOutput(plan.text + "\n")
        for file in plan.list {
            Output.standardOutput(
                "  \(file.isHere ? "here " : "fetch")  \(file.path.printable())  \(formatted(bytes: file.bytes))\n")
        }
    }

    func end(_ report: PullReport) {
        abandon()
        if isJSON { return write("done", report) }
        let rate =
            report.seconds > 0 && report.fetchedBytes > 0
            ? " in \(formatted(seconds: report.seconds)), \(formatted(bytes: Int(Double(report.fetchedBytes) / report.seconds)))/s"
            : ""
        let verified =
            report.isVerified
            ? "all are verified" : report.fetchedBytes > 0 ? "what was fetched is verified" : "--verify verifies them"
        line(
            "\(report.name): \(report.files) files, \(formatted(bytes: report.fetchedBytes)) fetched\(rate); \(verified)."
        )
        Output.standardOutput(report.path + "\n")
    }

    /// Takes the line away that was shown last.
    func abandon() {
        state.withLock { state in
            if state.isShown { Output.standardError("\r\u{1B}[K") }
            state.isShown = false
        }
    }

    private func line(_ text: String) {
        abandon()
        Output.standardError(text + "\n")
    }

    private func show(_ progress: PullProgress) {
        // On a terminal each one, in events one a second, in a log one every ten seconds.
        let pause: Duration = isJSON ? .seconds(1) : terminalWidth == nil ? .seconds(10) : .zero
        let isDue = state.withLock { state in
            let now = ContinuousClock.now
            if let last = state.last, now - last < pause, progress.done < progress.of { return false }
            state.last = now
            return true
        }
        guard isDue else { return }
        if isJSON { return write("progress", progress) }
        let text = progress.text
        guard let terminalWidth else { return line("  " + text) }
        state.withLock { $0.isShown = true }
        Output.standardError("\r\u{1B}[K\(text.prefix(terminalWidth - 1))")
    }

    private func write(_ event: String, _ body: some Encodable) {
        guard let text = try? encoded(Line(event: event, data: body)) else { return }
        state.withLock { _ in _ = Output.standardOutput(text + "\n") }
    }
}
