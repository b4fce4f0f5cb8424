import ArgumentParser
import FoundationEssentials
import Glibc
import SwanDiagnostics
import SwanJobs
import SwanPipeline
import SwanRuntime

/// `swan jobs`: what is queued, runs, and has been.
struct JobsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs",
        abstract: "List jobs, and look after them.",
        discussion: """
            Jobs come from `swan generate --detach`. They run in order, one on each device.

              swan jobs
              swan jobs --json | jq '.[] | select(.state == "failed") | .id'
              swan jobs retry 12
            """,
        subcommands: [
            ListJobsCommand.self, RetryCommand.self, RemoveCommand.self, SuperviseCommand.self, WorkCommand.self,
        ],
        defaultSubcommand: ListJobsCommand.self)
}

/// `swan jobs list`, which is `swan jobs`.
struct ListJobsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List jobs (the default).")

    @Flag(help: "List runs that were not queued, too.")
    var all = false
    @Flag(help: "Print a JSON array instead of a table.")
    var json = false

    func run() throws {
        let store = try JobStore.here()
        if try store.ensureSupervisor() {
            Output.standardError("Jobs wait and nobody ran them; that is started now.\n")
        }
        try store.settleLostRuns()
        let jobs = try store.jobs().filter { all || $0.isDetached }
        if json {
            Output.standardOutput(try encoded(jobs) + "\n")
        } else {
            Output.standardOutput(JobTable.text(jobs, store))
        }
    }
}

/// `swan jobs retry`.
struct RetryCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "retry", abstract: "Queue jobs again that failed or were cancelled.",
        discussion: """
            A job keeps its number and its place in the order. One that failed goes on from
            its last step.

              swan jobs retry 12
            """)

    @Argument(help: "The jobs' numbers.")
    var ids: [Int]

    func run() throws {
        let store = try JobStore.here()
        for id in ids {
            try store.retry(id)
            Output.standardError("Job \(id) is queued again.\n")
        }
        try store.ensureSupervisor()
    }
}

/// `swan jobs remove`.
struct RemoveCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Forget jobs and runs that have ended; their videos stay.")

    @Argument(help: "The jobs' numbers.")
    var ids: [Int]

    func run() throws {
        let store = try JobStore.here()
        for id in ids {
            try store.remove(id)
            Output.standardError("Job \(id) is forgotten.\n")
        }
    }
}

/// `swan jobs supervise`: what runs queued jobs.
struct SuperviseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "supervise", abstract: "Run queued jobs; for services. Else started when it is needed.",
        discussion: """
            Stays in the foreground, and ends when no job is left, unless it is told to stay.
            There is one for each user; while one runs, another ends at once.

              swan jobs supervise --stay
            """)

    @Flag(help: "Wait for jobs when there are none.")
    var stay = false

    func run() throws {
        Interrupts.install()
        let store = try JobStore.here()
        // Looked up now: it may be replaced by a newer one while jobs wait.
        let program = programPath
        let supervisor = Supervisor(store, devices: Runtime().deviceNames()) { (job, lock) throws(SwanError) in
            try DetachedProcess(
                program, ["jobs", "work", String(job.id)],
                environment: JobEnvironment.forJob(
                    job.environment, supervisor: ProcessInfo.processInfo.environment),
                log: store.files(of: job.id).errors, lock: lock)
        } say: { text in
            var now = time(nil)
            var parts = tm()
            localtime_r(&now, &parts)
            Output.standardError("\(JobTable.text(parts)) \(text)\n")
        }
        if try !supervisor.run(staysWhenIdle: stay, isStopped: { Interrupts.cancellation.isCancelled }) {
            Output.standardError("Another process runs this user's jobs already.\n")
        }
    }
}

/// Jobs as people read them.
enum JobTable {
    static func text(_ jobs: [Job], _ store: JobStore) -> String {
        guard !jobs.isEmpty else { return "No jobs. `swan generate \"…\" --detach` queues one.\n" }
        var rows = [["job", "state", "device", "queued", "progress", "output", "prompt"]]
        for job in jobs {
            var now = time_t(job.created)
            var parts = tm()
            localtime_r(&now, &parts)
            let output = job.outputs.first?.path ?? ""
            let more = job.outputs.count > 1 ? " and \(job.outputs.count - 1) more" : ""
            rows.append([
                String(job.id), job.state.rawValue, job.device ?? job.deviceAsked, text(parts), progress(job, store),
                output.printable(limit: 40) + more, job.prompt.printable(limit: 40),
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }
                .joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line + "\n"
        }.joined()
    }

    /// A moment of local time, as `2026-11-24 12:30`.
    static func text(_ parts: tm) -> String {
        func two(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return
            "\(parts.tm_year + 1900)-\(two(parts.tm_mon + 1))-\(two(parts.tm_mday)) \(two(parts.tm_hour)):\(two(parts.tm_min))"
    }

    private static func progress(_ job: Job, _ store: JobStore) -> String {
        switch job.state {
        case .done: return job.report.map { formatted(seconds: $0.seconds) } ?? ""
        case .failed: return (job.failure?.code).map { String($0) } ?? ""
        case .cancelled: return ""
        case .queued: return job.isCancelRequested ? "to be cancelled" : job.attempts > 0 ? "interrupted" : ""
        case .running:
            guard FileLock.isHeld(store.files(of: job.id).lock) else { return "interrupted" }
            if job.isCancelRequested { return "stopping" }
            var text = "begins"
            for line in JobLog(store.files(of: job.id)).newLines() {
                switch JobLog.event(line) {
                case .stage(let stage): text = stage.title
                case .step(let step):
                    text =
                        "step \(step.step) of \(step.of)" + (step.eta.map { ", \(formatted(seconds: $0)) left" } ?? "")
                case .frames(let frames): text = "frame \(frames.done) of \(frames.of)"
                default: break
                }
            }
            return text
        }
    }
}
