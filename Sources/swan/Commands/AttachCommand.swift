import ArgumentParser
import Glibc
import SwanDiagnostics
import SwanJobs
import SwanPipeline

/// `swan attach`: a job's progress, as an attached run prints it.
struct AttachCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "attach",
        abstract: "Show a job's progress until it ends.",
        discussion: """
            Prints what the run would print in the foreground, from its beginning, and ends
            with the job's exit status. Ctrl-C leaves the job alone and ends with 130. Any
            number of terminals may watch.

              swan attach 12
              swan attach 12 --json | jq .
            """)

    @Argument(help: "The job's number.")
    var id: Int
    @Flag(help: "Print one JSON object per event on standard output.")
    var json = false

    func run() throws {
        Interrupts.install()
        let store = try JobStore.here()
        guard try store.job(id).isDetached else {
            throw SwanError(
                .jobState, "Run \(id) was not queued, so that its terminal shows it.",
                advice: "`swan jobs` lists jobs that can be attached to.")
        }
        try store.ensureSupervisor()
        let results = ResultOutput(Interrupts.cancellation)
        let text = TextProgress(results)
        let log = JobLog(store.files(of: id))
        func showNew() {
            for line in log.newLines() {
                guard let event = JobLog.event(line) else { continue }
                // How a job ended is told at the end, as the error of this call.
                if case .error = event { continue }
                if json { results.write(line + "\n") } else { text.show(event) }
            }
        }
        var hasSaidItWaits = false
        while true {
            showNew()
            let job = try store.job(id)
            if job.state.isEnded, !FileLock.isHeld(store.files(of: id).lock) {
                showNew()
                text.abandon()
                return try end(job)
            }
            if let number = results.failure {
                throw SwanError(
                    .resultsUnwritable, "Standard output cannot be written to (\(SystemError(number: number).text)).",
                    advice: "The job goes on: swan attach \(id)")
            }
            if Interrupts.cancellation.isCancelled {
                text.abandon()
                Output.standardError(
                    "Detached; job \(id) goes on. `swan attach \(id)` shows it again, `swan cancel \(id)` stops it.\n")
                throw ExitCode(SwanError.Kind.interrupted.rawValue)
            }
            if job.state == .queued, !hasSaidItWaits, !json {
                let before = try store.jobs([.queued, .running], detached: true).count { $0.id < id }
                Output.standardError("Job \(id) waits\(before > 0 ? " behind \(before) others" : "").\n")
                hasSaidItWaits = true
            }
            usleep(100_000)
        }
    }

    private func end(_ job: Job) throws {
        switch job.state {
        case .failed: throw job.failure?.error ?? SwanError(.jobState, "Job \(id) failed.")
        case .cancelled:
            throw SwanError(
                .cancelled, "Job \(id) was cancelled.", advice: "To make it after all: swan jobs retry \(id)")
        default: break
        }
    }
}
