import ArgumentParser
import Dispatch
import FoundationEssentials
import Glibc
import SwanDiagnostics
import SwanJobs
import SwanPipeline

/// `swan jobs work`: one job, in the process that the supervisor starts for it.
struct WorkCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "work", abstract: "Run one job; started by the supervisor.", shouldDisplay: false)

    @Argument(help: "The job's number.")
    var id: Int

    func run() throws {
        let store = try JobStore.here()
        guard let lock = FileLock(inherited: DetachedProcess.lockDescriptor, path: store.files(of: id).lock) else {
            throw ValidationError("Jobs are started by the supervisor: see `swan help jobs supervise`.")
        }
        Interrupts.install()
        lock.noteHolder()
        let variables = ProcessInfo.processInfo.environment
        let seconds = variables["SWAN_KEEP_SECONDS"].flatMap(Double.init).map { min(max($0, 0), 3600) } ?? 5
        let work = try JobWork(store, id, lock: lock, interval: .seconds(seconds))
        let log = JSONProgress(writing: JobLog.appending(to: work.files))
        work.remark = log.line
        if work.job.attempts > 1 { log.line("Attempt \(work.job.attempts).") }
        Self.watch(id, store.folder)
        do {
            do {
                try work.settle()
                guard chdir(work.job.folder) == 0 else {
                    throw SwanError(
                        .folderGone,
                        "The folder \(work.job.folder.printable()), where the job was queued, is not there.",
                        advice: "Make it again, then: swan jobs retry \(id)", cause: SystemError("chdir"))
                }
                try GenerateRun(work, GenerateCommand.parse(work.job.arguments), progress: log).run()
            } catch let error as SwanError {
                throw error
            } catch {
                // Arguments that were good when the job was queued, and are not for this version.
                throw SwanError(.badCall, GenerateCommand.message(for: error), advice: "Queue the job again.")
            }
        } catch let error as SwanError {
            switch try work.fail(error) {
            case .failed: log.show(.error(.init(error)))
            case .cancelled: log.line("Cancelled.")
            default: log.line("Interrupted; it goes on when jobs are run again.")
            }
            throw ExitCode(error.code.kind.rawValue)
        }
    }

    /// Looks, on a thread of its own, whether somebody wants the job to stop.
    private static func watch(_ id: Int, _ folder: String) {
        DispatchQueue(label: "swan.job.cancel").async {
            guard let store = try? JobStore(folder: folder) else { return }
            while (try? store.isCancelRequested(id)) != true { usleep(100_000) }
            Interrupts.cancellation.cancel()
        }
    }
}

extension SwanError.Code {
    /// The folder that a job was queued in is gone.
    static let folderGone = Self("cli.folder-gone", .missing)
}
