import Foundation
import SwanDiagnostics
import SwanJobs
import SwanTestSupport
import Testing

/// Guards which job begins when, and what becomes of jobs whose process ends.
@Suite struct SupervisorTests {
    /// What waits (number, device), what this machine has, what is busy, and what begins.
    @Test(
        arguments: [
            (
                [(1, "auto"), (2, "auto"), (3, "auto")], ["cuda:0", "cuda:1", "cpu"], [],
                [(1, "cuda:0"), (2, "cuda:1")]
            ),
            ([(1, "auto"), (2, "auto")], ["cuda:0", "cuda:1", "cpu"], ["cuda:0"], [(1, "cuda:1")]),
            ([(1, "auto"), (2, "cpu")], ["cuda:0", "cpu"], ["cuda:0"], [(2, "cpu")]),
            ([(1, "auto"), (2, "auto")], ["cpu"], [], [(1, "cpu")]),
            (
                [(1, "cuda:1"), (2, "auto"), (3, "cuda")], ["cuda:0", "cuda:1", "cpu"], [],
                [(1, "cuda:1"), (2, "cuda:0")]
            ),
            ([(1, "cpu"), (2, "reference")], ["cpu"], [], [(1, "cpu")]),
            ([(1, "reference")], ["cuda:0", "cpu"], ["cpu"], []),
            // A device that is not there: the job's process says so.
            ([(1, "cuda:7")], ["cpu"], [], [(1, "cuda:7")]),
        ] as [([(Int, String)], [String], [String], [(Int, String)])])
    func eachDeviceHasOneJob(
        waiting: [(Int, String)], devices: [String], busy: [String], begun: [(Int, String)]
    ) {
        let found = Supervisor.assign(waiting.map { (id: $0.0, device: $0.1) }, devices, Set(busy))
        #expect(found.map { "\($0.id) \($0.device)" } == begun.map { "\($0.0) \($0.1)" })
    }

    private struct Setup {
        let folder: TemporaryFolder
        let store: JobStore

        init(jobs: Int) throws {
            folder = try TemporaryFolder()
            store = try JobStore(folder: folder.path)
            for index in 0 ..< jobs { _ = try store.add(JobStoreTests.request("\(index).mp4")) }
        }

        /// Runs all jobs. A job's "process" is a shell, and what it would tell the store happens before it starts.
        func run(
            _ shell: @escaping (Job) throws(SwanError) -> String, isStopped: @escaping () -> Bool = { false }
        ) throws -> (order: [Int], said: [String]) {
            var (order, said): ([Int], [String]) = ([], [])
            let log = folder.path + "/log"
            let supervisor = Supervisor(store, devices: ["cpu"]) { (job, lock) throws(SwanError) in
                order.append(job.id)
                return try DetachedProcess("/bin/sh", ["-c", shell(job)], environment: [:], log: log, lock: lock)
            } say: {
                said.append($0)
            }
            #expect(try supervisor.run(staysWhenIdle: false, isStopped: isStopped))
            return (order, said)
        }
    }

    @Test func jobsRunInOrderAndOneFailureIsItsOwn() throws {
        let setup = try Setup(jobs: 4)
        let (order, _) = try setup.run { (job) throws(SwanError) in
            if job.id == 2 {
                try setup.store.fail(2, SwanError(.storeUnavailable, "full"))
                return "exit 74"
            }
            try setup.store.cancel(job.id)
            return "exit 0"
        }
        #expect(order == [1, 2, 3, 4])
        #expect(try setup.store.jobs().map(\.state) == [.cancelled, .failed, .cancelled, .cancelled])
    }

    /// A job whose process dies again and again without coming on fails, and the next one runs.
    @Test func aJobThatCrashesIsNotTriedForEver() throws {
        let setup = try Setup(jobs: 2)
        let (order, said) = try setup.run { (job) throws(SwanError) in
            if job.id == 1 { return "kill -9 $$" }
            try setup.store.cancel(2)
            return "exit 0"
        }
        #expect(order == [1, 1, 1, 2])
        let failed = try setup.store.job(1)
        #expect(failed.state == .failed && failed.attempts == Supervisor.crashesAllowed)
        #expect(failed.failure?.message.contains("signal 9") == true, "\(said)")
    }

    @Test func aJobThatCannotStartFails() throws {
        let setup = try Setup(jobs: 2)
        let (order, _) = try setup.run { (job) throws(SwanError) in
            if job.id == 1 { throw SwanError(.notStarted, "no room") }
            try setup.store.cancel(2)
            return "exit 0"
        }
        #expect(order == [1, 2])
        #expect(try setup.store.job(1).failure?.code == "jobs.not-started")
    }

    /// A supervisor that is started anew neither starts a job twice whose process lives, nor forgets one whose process
    /// is gone.
    @Test func anotherSupervisorTakesOver() throws {
        let setup = try Setup(jobs: 2)
        let files = setup.store.files(of: 1)
        #expect(try setup.store.claim(1, device: "cpu"))
        var lock = try FileLock(path: files.lock)
        let child = try DetachedProcess(
            "/bin/sh", ["-c", "sleep 0.5"], environment: [:], log: setup.folder.path + "/log", lock: lock)
        lock = nil
        var wasAlive = true
        let (order, _) = try setup.run { (job) throws(SwanError) in
            if job.id == 1 { wasAlive = child.end() == nil }
            try setup.store.cancel(job.id)
            return "exit 0"
        }
        #expect(order == [1, 2])
        #expect(!wasAlive, "job 1 was started again while its process lived")
        #expect(try setup.store.job(1).attempts == 2)
    }

    @Test func aCancelledJobWithoutAProcessIsCancelled() throws {
        let setup = try Setup(jobs: 1)
        #expect(try setup.store.claim(1, device: "cpu"))
        #expect(try setup.store.requestCancel(1) == .requested)
        let (order, _) = try setup.run { (_) throws(SwanError) in "exit 0" }
        #expect(order.isEmpty)
        #expect(try setup.store.job(1).state == .cancelled)
    }

    @Test func thereIsOneForEachUser() throws {
        let setup = try Setup(jobs: 1)
        let lock = try FileLock(path: setup.store.supervisorLock)
        let other = Supervisor(setup.store, devices: ["cpu"]) { (_, _) throws(SwanError) in
            throw SwanError(.fault, "started")
        } say: { _ in
        }
        #expect(try !other.run(staysWhenIdle: false, isStopped: { false }))
        #expect(try setup.store.job(1).state == .queued)
        withExtendedLifetime(lock) {}
    }

    @Test func stoppingPassesTheWishOn() throws {
        let setup = try Setup(jobs: 2)
        var rounds = 0
        let (order, _) = try setup.run { (_) throws(SwanError) in
            "trap 'exit 0' TERM; while :; do sleep 0.02; done"
        } isStopped: {
            rounds += 1
            return rounds > 5
        }
        #expect(order == [1])
        #expect(!FileLock.isHeld(setup.store.files(of: 1).lock), "its process has ended")
        #expect(try setup.store.job(2).state == .queued)
    }

    /// Also to a process that an earlier supervisor started, which is known by its lock alone.
    @Test func stoppingReachesTheProcessesOfAnEarlierOne() throws {
        let setup = try Setup(jobs: 1)
        let path = setup.store.files(of: 1).lock
        #expect(try setup.store.claim(1, device: "cpu"))
        var lock = try FileLock(path: path)
        let child = try DetachedProcess(
            "/bin/sh", ["-c", "trap 'exit 7' TERM; echo $$ > \(path); while :; do sleep 0.02; done"],
            environment: ["PATH": "/usr/bin:/bin"], log: setup.folder.path + "/log", lock: lock)
        lock = nil
        while try String(contentsOfFile: path, encoding: .utf8).isEmpty { usleep(1000) }
        var rounds = 0
        _ = try setup.run { (_) throws(SwanError) in
            "exit 0"
        } isStopped: {
            rounds += 1
            return rounds > 2
        }
        var end = child.end()
        while end == nil {
            usleep(1000)
            end = child.end()
        }
        #expect(end == 7 << 8, "asked to stop, and not killed")
    }
}
