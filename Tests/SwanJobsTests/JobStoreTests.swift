import Foundation
import SwanDiagnostics
import SwanJobs
import SwanTestSupport
import Testing

/// Guards the store: states, their order, and what is refused.
@Suite struct JobStoreTests {
    static func request(_ output: String, isDetached: Bool = true) -> JobRequest {
        JobRequest(
            isDetached: isDetached, prompt: "A cat", model: "swan-tiny", seed: UInt64.max, folder: "/videos",
            arguments: ["A cat", "--detach"], device: "auto", outputs: [output], environment: ["PATH": "/bin"])
    }

    @Test func aJobIsWhatWasQueued() throws {
        let folder = try TemporaryFolder()
        let (id, lock) = try JobStore(folder: folder.path + "/a/b").add(Self.request("a.mp4"), prompts: "A cat\n")
        #expect(lock == nil)
        // Another process, later.
        let store = try JobStore(folder: folder.path + "/a/b")
        let job = try store.job(id)
        #expect(job.state == .queued && job.isDetached && job.attempts == 0 && job.started == nil)
        #expect(
            job.seed == UInt64.max && job.arguments == ["A cat", "--detach"] && job.environment == ["PATH": "/bin"])
        #expect(job.outputs.map(\.path) == ["a.mp4"] && !job.outputs[0].isPublished)
        #expect(try String(contentsOfFile: store.files(of: id).prompts, encoding: .utf8) == "A cat\n")
        let mode = try FileManager.default.attributesOfItem(atPath: store.folder)[.posixPermissions] as? Int
        #expect(mode == 0o700, "nobody else reads the prompts")
    }

    @Test func statesFollowEachOther() throws {
        let folder = try TemporaryFolder()
        let store = try JobStore(folder: folder.path)
        let ids = try (0 ..< 3).map { try store.add(Self.request("\($0).mp4")).id }
        #expect(ids == [1, 2, 3])
        #expect(try store.claim(1, device: "cpu"))
        #expect(try !store.claim(1, device: "cpu"), "a job that runs cannot be claimed")
        try store.requeue(1)
        #expect(try store.jobs([.queued], detached: true).map(\.id) == [1, 2, 3], "before those that came later")
        #expect(try store.claim(1, device: "cpu"))
        #expect(try store.job(1).attempts == 2)

        try store.fail(1, SwanError(.fault, "broken", advice: "mend it"))
        try store.cancel(1)
        let failed = try store.job(1)
        #expect(failed.state == .failed && failed.failure?.error.description == "broken\nmend it")
        #expect(failed.failure?.error.code.kind == .fault)

        #expect(try store.requestCancel(2) == .cancelled)
        #expect(try store.requestCancel(2) == .ended(.cancelled))
        #expect(try !store.claim(2, device: "cpu"), "a job that was cancelled does not begin")
        #expect(try store.claim(3, device: "cpu"))
        #expect(try store.requestCancel(3) == .requested)
        #expect(try store.isCancelRequested(3))

        try store.retry(1)
        let again = try store.job(1)
        #expect(again.state == .queued && again.failure == nil && again.ended == nil)
        #expect(throws: SwanError.self) { try store.retry(1) }
        #expect(throws: SwanError.self) { try store.remove(3) }
        try store.remove(2)
        #expect(throws: SwanError.self) { try store.job(2) }
        #expect(try store.add(Self.request("x.mp4")).id == 4, "numbers are not used again")
    }

    /// The same file is not promised twice, however its path is written.
    @Test func twoJobsDoNotWriteOneFile() throws {
        let folder = try TemporaryFolder()
        let store = try JobStore(folder: folder.path)
        let (id, _) = try store.add(Self.request("a.mp4"))
        for path in ["a.mp4", "./a.mp4", "/videos/a.mp4", "/videos/b/../a.mp4"] {
            let error = #expect(throws: SwanError.self) { try store.add(Self.request(path)) }
            #expect(error?.code == .outputPlanned)
            #expect(try store.plannedJob(for: path, in: "/videos") == id)
        }
        #expect(try store.jobs().count == 1, "nothing is left of what was refused")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/jobs") == ["1"])
        try store.cancel(id)
        let (second, _) = try store.add(Self.request("a.mp4"))
        let error = #expect(throws: SwanError.self) { try store.retry(id) }
        #expect(error?.code == .outputPlanned)
        try store.cancel(second)
        try store.retry(id)
    }

    @Test func aRunWithoutAProcessIsLost() throws {
        let folder = try TemporaryFolder()
        let store = try JobStore(folder: folder.path)
        var (id, lock) = try store.add(Self.request("a.mp4", isDetached: false))
        #expect(lock != nil)
        try store.settleLostRuns()
        #expect(try store.job(id).state == .running)
        lock = nil
        try store.settleLostRuns()
        #expect(try store.job(id).failure?.code == SwanError.Code.runLost.name)
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path + "/jobs").isEmpty)
    }

    @Test func foreignStoresAreRefused() throws {
        let folder = try TemporaryFolder()
        try Data(repeating: 7, count: 5000).write(to: URL(filePath: folder.path + "/jobs.sqlite"))
        let damaged = #expect(throws: SwanError.self) { try JobStore(folder: folder.path) }
        #expect(damaged?.code == .storeDamaged && damaged?.code.kind == .data)
        let file = #expect(throws: SwanError.self) { try JobStore(folder: folder.path + "/jobs.sqlite") }
        #expect(file?.code == .storeUnavailable)

        let other = try TemporaryFolder()
        _ = try JobStore(folder: other.path)
        // SQLite's file format: the user version is the big-endian number at byte 60.
        let path = URL(filePath: other.path + "/jobs.sqlite")
        var bytes = try Data(contentsOf: path)
        bytes.replaceSubrange(60 ..< 64, with: [0, 0, 0, 9])
        try bytes.write(to: path)
        let newer = #expect(throws: SwanError.self) { try JobStore(folder: other.path) }
        #expect(newer?.code == .storeNewer)
    }

    /// Any number of processes may add and claim at once: each number is given once, each job claimed once.
    @Test func manyMayUseItAtOnce() async throws {
        let folder = try TemporaryFolder()
        _ = try JobStore(folder: folder.path)
        let counts = try await withThrowingTaskGroup(of: (ids: [Int], claims: Int).self) { group in
            for worker in 0 ..< 4 {
                group.addTask {
                    let store = try JobStore(folder: folder.path)
                    var (ids, claims): ([Int], Int) = ([], 0)
                    for index in 0 ..< 5 {
                        ids.append(try store.add(Self.request("\(worker)-\(index).mp4")).id)
                        for job in try store.jobs([.queued], detached: true)
                        where try store.claim(job.id, device: "cpu") {
                            claims += 1
                        }
                    }
                    return (ids, claims)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(counts.flatMap(\.ids).sorted() == Array(1 ... 20))
        #expect(counts.reduce(0) { $0 + $1.claims } == 20)
    }

    @Test func aLockIsHeldByWhoeverInheritsIt() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/lock"
        var lock = try FileLock(path: path)
        #expect(lock != nil)
        #expect(FileLock.isHeld(path))
        #expect(try FileLock(path: path) == nil)
        let child = try DetachedProcess(
            "/bin/sh", ["-c", "exec sleep 60"], environment: [:], log: folder.path + "/log", lock: lock)
        lock = nil
        #expect(FileLock.isHeld(path), "the process holds it")
        kill(child.id, SIGKILL)
        while child.end() == nil { usleep(1000) }
        #expect(!FileLock.isHeld(path))
    }
}
