import ArgumentParser
import FoundationEssentials
import SwanDiagnostics
import SwanJobs

/// `swan logs`: what a job has printed so far.
struct LogsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logs",
        abstract: "Print what a job has said so far.",
        discussion: """
            swan logs 12
            swan logs 12 --json | jq 'select(.event == "done") | .data.seconds'
            """)

    @Argument(help: "The job's number.")
    var id: Int
    @Flag(help: "Print the events as JSON, one object a line.")
    var json = false

    func run() throws {
        let store = try JobStore.here()
        let job = try store.job(id)
        let files = store.files(of: id)
        let results = ResultOutput(Interrupts.cancellation)
        let text = TextProgress(log: results)
        for line in JobLog(files).newLines() {
            guard let event = JobLog.event(line) else { continue }
            if json {
                results.write(line + "\n")
            } else if case .error(let failure) = event {
                results.write("error: \(failure.message)\n\(failure.advice.isEmpty ? "" : failure.advice + "\n")")
            } else {
                text.show(event)
            }
        }
        guard !json else { return }
        // What the process itself wrote: the last words of one that crashed.
        if let data = FileManager.default.contents(atPath: files.errors), !data.isEmpty {
            results.write(String(decoding: data, as: UTF8.self))
        }
        if let failure = job.failure, failure.code == SwanError.Code.jobCrashed.name {
            results.write("error: \(failure.message)\n")
        }
    }
}
