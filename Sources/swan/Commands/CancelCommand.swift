import ArgumentParser
import Glibc
import SwanDiagnostics
import SwanJobs

/// `swan cancel`: stops jobs.
struct CancelCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cancel",
        abstract: "Stop jobs: running ones within a step, waiting ones at once.",
        discussion: """
            Waits until a running job has stopped; no half-written file is left. Videos that
            it has finished stay.

              swan cancel 12
              swan cancel --all
            """)

    @Argument(help: "The jobs' numbers.")
    var ids: [Int] = []
    @Flag(help: "Stop every job that waits or runs.")
    var all = false

    func validate() throws {
        if ids.isEmpty != all { throw ValidationError("Name jobs, or give --all.") }
    }

    func run() throws {
        let store = try JobStore.here()
        // Those that wait first, so that none of them begins in place of one that was stopped.
        let named = all ? try store.jobs([.queued, .running], detached: true).map(\.id).reversed() : ids
        var stopping: [Int] = []
        for id in named {
            guard try store.job(id).isDetached else {
                throw SwanError(
                    .jobState, "Run \(id) was not queued.", advice: "Stop it in its terminal, with Ctrl-C.")
            }
            switch try store.requestCancel(id) {
            case .cancelled: say(id)
            case .requested: stopping.append(id)
            case .ended(let state):
                if all { continue }
                throw SwanError(
                    .jobState, "Job \(id) is \(state.rawValue) already.",
                    advice: "`swan jobs` lists what runs and waits.")
            }
        }
        try store.ensureSupervisor()
        for id in stopping {
            while try !store.job(id).state.isEnded || FileLock.isHeld(store.files(of: id).lock) { usleep(50_000) }
            let state = try store.job(id).state
            if state == .cancelled { say(id) } else { Output.standardError("Job \(id) was \(state.rawValue) first.\n") }
        }
    }

    private func say(_ id: Int) { Output.standardError("Job \(id) is cancelled.\n") }
}
