import FoundationEssentials
import Glibc
public import SwanDiagnostics
import SwanMedia

/// Starts queued jobs, one at a time on each device, and looks after what becomes of them.
///
/// Jobs are processes of their own, which outlive the supervisor: one that is started anew finds them by their locks.
/// So a supervisor may end at any moment, and nothing is lost with it but somebody who starts the next job.
public final class Supervisor {
    /// Processes that end by themselves so often, without their job having come on meanwhile, fail it.
    package static let crashesAllowed = 3

    private let store: JobStore
    private let devices: [String]
    private let start: (Job, FileLock) throws(SwanError) -> DetachedProcess
    private let say: (String) -> Void
    /// Jobs whose process may live, by number.
    private var workers: [Int: Worker] = [:]

    /// A job's process.
    private struct Worker {
        let device: String
        /// Nil for one that an earlier supervisor started.
        let child: DetachedProcess?
    }

    /// Prepares to run jobs.
    ///
    /// - Parameters:
    ///   - store: where the jobs are kept.
    ///   - devices: the devices of this machine; GPUs before the CPU.
    ///   - start: starts a job's process, which is to hold the given lock from its first moment on.
    ///   - say: told what happens.
    public init(
        _ store: JobStore, devices: [String],
        start: @escaping (Job, FileLock) throws(SwanError) -> DetachedProcess, say: @escaping (String) -> Void
    ) {
        (self.store, self.devices, self.start, self.say) = (store, devices, start, say)
    }

    /// Runs jobs until none is left, or for ever.
    ///
    /// - Parameters:
    ///   - staysWhenIdle: whether to wait for more when there is nothing to do.
    ///   - isStopped: asked several times a second; once it says so, running jobs are asked to keep what they have and
    ///     go back into the queue, and the call returns when they have, or after half a minute.
    /// - Returns: false when another process of this user runs jobs already.
    /// - Throws: `jobs.store-unavailable` for the lock. What the database throws later is said and tried again.
    public func run(staysWhenIdle: Bool, isStopped: () -> Bool) throws(SwanError) -> Bool {
        while true {
            // Given up below, by hand: a scope's end would be too late, or sooner than it is written.
            var lock = try FileLock(path: store.supervisorLock)
            guard lock != nil else { return false }
            say("The supervisor \(getpid()) runs jobs on \(devices.joined(separator: ", ")).")
            while true {
                if isStopped() {
                    stop()
                    return true
                }
                let isIdle: Bool
                do throws(SwanError) {
                    isIdle = try round()
                } catch {
                    // A full disk, say. Jobs that run go on; nothing is gained by ending.
                    say("\(error)")
                    usleep(2_000_000)
                    isIdle = false
                }
                if isIdle, !staysWhenIdle { break }
                usleep(100_000)
            }
            withExtendedLifetime(lock) {}
            lock = nil
            say("The supervisor \(getpid()) has nothing left to do.")
            // Whoever added a job while the lock was held relies on its holder: look once more without it.
            guard try hasWork() else { return true }
        }
    }

    /// Whether a job waits, or was left by its process.
    private func hasWork() throws(SwanError) -> Bool {
        try !store.jobs([.queued, .running], detached: true).isEmpty
    }

    /// One look at everything. Returns whether there is nothing to do.
    private func round() throws(SwanError) -> Bool {
        for job in try store.jobs([.running], detached: true) where workers[job.id] == nil {
            workers[job.id] = Worker(device: job.device ?? "", child: nil)
        }
        // A device is busy until the process is gone, and its memory with it, not just until the job has ended.
        var busy: Set<String> = []
        for (id, worker) in workers {
            let end = worker.child?.end()
            let lives = worker.child == nil ? FileLock.isHeld(store.files(of: id).lock) : end == nil
            if lives {
                busy.insert(worker.device)
            } else {
                workers[id] = nil
                try settle(id, end)
            }
        }
        let queued = try store.jobs([.queued], detached: true)
        let waiting = queued.filter { workers[$0.id] == nil }
        for (id, device) in Self.assign(waiting.map { ($0.id, $0.deviceAsked) }, devices, busy) {
            try begin(id, on: device)
        }
        return busy.isEmpty && queued.isEmpty
    }

    /// Which waiting jobs begin on which devices: in order, each device with one job.
    ///
    /// A job for a device that this machine lacks is given it all the same, and fails with that message.
    package static func assign(
        _ waiting: [(id: Int, device: String)], _ devices: [String], _ busy: Set<String>
    ) -> [(id: Int, device: String)] {
        var taken = busy
        var begun: [(id: Int, device: String)] = []
        // The CPU serves `auto` only where nothing else does.
        let forAuto = devices.contains { $0 != "cpu" } ? devices.filter { $0 != "cpu" } : devices
        for (id, asked) in waiting {
            // The plain reference computes on the CPU as well.
            let place =
                switch asked {
                case "auto": forAuto.first { !taken.contains($0) }
                case "cuda": Optional("cuda:0")
                case "reference": Optional("cpu")
                default: Optional(asked)
                }
            guard let place, taken.insert(place).inserted else { continue }
            begun.append((id, place))
        }
        return begun
    }

    private func begin(_ id: Int, on device: String) throws(SwanError) {
        let files = store.files(of: id)
        try JobStore.makeFolder(files.path, permissions: 0o700)
        // Held by this process until the job's own holds it: whoever looks meanwhile sees a job that is alive.
        guard let lock = try FileLock(path: files.lock), try store.claim(id, device: device) else { return }
        do throws(SwanError) {
            let process = try start(try store.job(id), lock)
            workers[id] = Worker(device: device, child: process)
            say("Job \(id) begins on \(device), process \(process.id).")
        } catch {
            try store.fail(id, error)
            say("Job \(id) could not be started: \(error)")
        }
    }

    /// Decides what becomes of a job whose process is gone.
    ///
    /// - Parameter raw: how the process ended, where it was this one's child.
    private func settle(_ id: Int, _ raw: Int32?) throws(SwanError) {
        // Most have ended their job themselves.
        guard let job = try? store.job(id), job.state == .running else { return }
        if job.isCancelRequested {
            try? store.settleOutputs(of: id)
            try store.cancel(id)
            say("Job \(id) is cancelled.")
        } else if let raw {
            let end = ExitStatus(raw: raw)
            guard job.crashes + 1 < Self.crashesAllowed else {
                try? store.settleOutputs(of: id)
                try store.fail(
                    id,
                    SwanError(
                        .jobCrashed,
                        "The job's process ended \(job.crashes + 1) times by itself without coming on, at last with \(end).",
                        advice:
                            "`swan logs \(id)` shows what it said. Signal 9 often means that the machine's memory was full."
                    ))
                say("Job \(id) has failed: its process ended with \(end).")
                return
            }
            try store.requeue(id, hasCrashed: true)
            say("Job \(id)'s process ended with \(end); it is tried again.")
        } else {
            try store.requeue(id)
            say("Job \(id) was interrupted and goes on.")
        }
    }

    /// Asks running jobs to keep what they have, and waits for them.
    private func stop() {
        say("The supervisor \(getpid()) stops.")
        for (id, worker) in workers {
            if let process = worker.child?.id ?? FileLock.holder(store.files(of: id).lock) { kill(process, SIGTERM) }
        }
        for _ in 0 ..< 300 {
            workers = workers.filter { id, worker in
                worker.child.map { $0.end() == nil } ?? FileLock.isHeld(store.files(of: id).lock)
            }
            if workers.isEmpty { return }
            usleep(100_000)
        }
    }

    /// Starts a supervisor in the background if there is work for one and none runs.
    ///
    /// - Parameters:
    ///   - store: where the jobs are kept.
    ///   - executable: the program.
    ///   - arguments: what makes it a supervisor.
    ///   - environment: all variables that it gets.
    /// - Returns: whether one was started.
    /// - Throws: `jobs.not-started`, and what the store throws.
    @discardableResult
    public static func ensure(
        _ store: JobStore, executable: String, arguments: [String], environment: [String: String]
    ) throws(SwanError) -> Bool {
        guard try !store.jobs([.queued, .running], detached: true).isEmpty,
            !FileLock.isHeld(store.supervisorLock)
        else { return false }
        _ = try DetachedProcess(executable, arguments, environment: environment, log: store.supervisorLog)
        return true
    }
}
