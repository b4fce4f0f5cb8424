import Foundation
import SwanDiagnostics
import SwanJobs
import SwanMedia
import SwanPipeline
import SwanTensor
import SwanTestSupport
import Testing

/// Guards what is kept of a job: the same bits come back, and nothing that belongs to another run.
@Suite struct JobWorkTests {
    private static func settings(steps: Int = 8) throws -> GenerationSettings {
        try JSONDecoder().decode(
            GenerationSettings.self,
            from: Data(
                """
                {"model":"swan-tiny","width":64,"height":48,"frames":9,"fps":12,"steps":\(steps),"solver":"unipc","shift":5,
                 "boundary":0.875,"guidanceHigh":4,"guidanceLow":3,"negativePrompt":"","lorasHigh":[],"lorasLow":[]}
                """.utf8))
    }

    private static func stages(_ text: String) throws -> [RunReport.StageTime] {
        try JSONDecoder().decode([RunReport.StageTime].self, from: Data(text.utf8))
    }

    private static let items = [VideoItem(prompt: "A cat", start: .seed(5), path: "a.mp4")]

    /// The work of job 1, as its next attempt sees it.
    private func work(_ store: JobStore, interval: Duration = .zero) throws -> JobWork {
        if try store.jobs().isEmpty { _ = try store.add(JobStoreTests.request("a.mp4")) }
        #expect(try store.claim(1, device: "cpu"))
        let lock = try #require(try FileLock(path: store.files(of: 1).lock))
        return try JobWork(store, 1, lock: lock, interval: interval)
    }

    private static let state = DenoisingState(
        steps: 3, latent: HostTensor([1, 1, 2, 2], [Float.pi, -0.0, .leastNonzeroMagnitude, 3e38]),
        memory: [
            "latest": HostTensor([1, 1, 2, 2], [1, 2, 3, 4]), "corrected": HostTensor([1, 1, 2, 2], [5, 6, 7, 8]),
        ])

    @Test func whatIsKeptComesBack() throws {
        let folder = try TemporaryFolder()
        let store = try JobStore(folder: folder.path)
        do {
            let first = try work(store)
            first.begin(try Self.settings(), Self.items)
            #expect(try first.state(of: 0) == nil)
            first.keep(Self.state, of: 0, stages: try Self.stages(#"[{"stage":"high","seconds":2}]"#))
            #expect(try first.fail(SwanError(.cancelled, "")) == .queued, "stopped, and not cancelled")
        }
        let second = try work(store)
        second.begin(try Self.settings(), Self.items)
        let found = try #require(try second.state(of: 0))
        #expect(found.steps == 3)
        #expect(try found.latent.floats().map(\.bitPattern) == Self.state.latent.floats().map(\.bitPattern))
        #expect(Set(found.memory.keys) == ["latest", "corrected"])
        #expect(try found.memory["corrected"]?.floats() == [5, 6, 7, 8])
        #expect(second.job.earlierStages.map(\.seconds) == [2])
        let more = try Self.stages(#"[{"stage":"high","seconds":1},{"stage":"low","seconds":1}]"#)
        second.keep(Self.state, of: 0, stages: more)
        #expect(try store.job(1).earlierStages.map(\.seconds) == [3, 1], "both attempts' time")
    }

    @Test func anotherRunsStateIsNotUsed() throws {
        let folder = try TemporaryFolder()
        let store = try JobStore(folder: folder.path)
        let work = try work(store)
        work.begin(try Self.settings(), Self.items)
        work.keep(Self.state, of: 0, stages: [])
        var remarks: [String] = []
        work.remark = { remarks.append($0) }
        work.begin(try Self.settings(steps: 9), Self.items)
        #expect(try work.state(of: 0) == nil)
        work.begin(try Self.settings(), [VideoItem(prompt: "A dog", start: .seed(5), path: "a.mp4")])
        #expect(try work.state(of: 0) == nil)
        work.begin(try Self.settings(), Self.items)
        #expect(try work.state(of: 0) != nil)
        let path = work.files.path + "/video-0.safetensors"
        try Data(contentsOf: URL(filePath: path)).dropLast(3).write(to: URL(filePath: path))
        #expect(try work.state(of: 0) == nil)
        #expect(remarks.count == 4 && remarks.last?.contains("cannot be read") == true, "\(remarks)")
    }

    /// A whole video whose name somebody else has taken meanwhile: the job fails, and the queue with it does not.
    @Test func aTakenNameFailsTheJob() throws {
        let folder = try TemporaryFolder()
        let store = try JobStore(folder: folder.path + "/state")
        let part = folder.path + "/.swan-1.part.mp4"
        let output = try OutputPath.check(folder.path + "/a.mp4", width: 16, height: 16, checksEncoder: false)
        try Data("video".utf8).write(to: URL(filePath: part))
        try Data("other".utf8).write(to: URL(filePath: folder.path + "/a.mp4"))
        _ = try store.add(JobStoreTests.request(folder.path + "/a.mp4"))
        let work = try work(store)
        var facts = stat()
        #expect(lstat(part, &facts) == 0)
        let identity = FileIdentity(device: UInt64(facts.st_dev), number: UInt64(facts.st_ino))
        try work.completed(output, part: part, identity)
        let error = try #require(#expect(throws: SwanError.self) { try work.settle() })
        #expect(try work.fail(error) == .failed)
        #expect(try store.job(1).failure?.code == "media.output-exists")
        // With the name free again, the whole video gets it, and nothing is made anew.
        try FileManager.default.removeItem(atPath: folder.path + "/a.mp4")
        try work.settle()
        #expect(try store.job(1).outputs[0].isPublished)
        #expect(try Data(contentsOf: URL(filePath: folder.path + "/a.mp4")) == Data("video".utf8))
    }

    @Test func keepingIsCheap() throws {
        let folder = try TemporaryFolder()
        let work = try work(try JobStore(folder: folder.path), interval: .seconds(3600))
        work.begin(try Self.settings(), Self.items)
        #expect(!work.isDue(0, isLast: false))
        #expect(work.isDue(0, isLast: true))
    }

    /// A run goes on where nothing can be kept.
    @Test func aStateThatCannotBeKeptIsSaidOnce() throws {
        let folder = try TemporaryFolder()
        let work = try work(try JobStore(folder: folder.path))
        work.begin(try Self.settings(), Self.items)
        var remarks: [String] = []
        work.remark = { remarks.append($0) }
        try FileManager.default.removeItem(atPath: work.files.path)
        for _ in 0 ..< 2 { work.keep(Self.state, of: 0, stages: []) }
        #expect(remarks.count == 1)
    }

    /// A run under another name is no reason to call the job's video done, or to count its time twice.
    @Test func tryingAgainBeginsAnew() throws {
        let folder = try TemporaryFolder()
        let store = try JobStore(folder: folder.path + "/state")
        let path = folder.path + "/a.mp4"
        let output = try OutputPath.check(path, width: 16, height: 16, checksEncoder: false)
        _ = try store.add(JobStoreTests.request(path))
        do {
            let work = try work(store)
            work.begin(try Self.settings(), Self.items)
            try work.completed(output, part: folder.path + "/.part.mp4", FileIdentity(device: 1, number: 2))
            try work.keptElsewhere(output)
            work.keep(Self.state, of: 0, stages: try Self.stages(#"[{"stage":"high","seconds":2}]"#))
            #expect(work.hasKept(0))
            #expect(try work.fail(SwanError(.storeUnavailable, "taken")) == .failed)
        }
        try Data("other".utf8).write(to: URL(filePath: path))
        try store.retry(1)
        #expect(try !store.job(1).outputs[0].isPublished)
        #expect(try store.job(1).earlierStages.map(\.seconds) == [2], "one that failed goes on")
        do {
            let work = try work(store)
            #expect(try !work.isPublished(0))
            _ = try store.requestCancel(1)
            #expect(try work.fail(SwanError(.cancelled, "")) == .cancelled)
            #expect(!work.hasKept(0))
        }
        try store.retry(1)
        #expect(try store.job(1).earlierStages.isEmpty, "nothing is left of a cancelled one")
    }

    @Test func endsDecideWhatIsKept() throws {
        let folder = try TemporaryFolder()
        let store = try JobStore(folder: folder.path)
        do {
            let failing = try work(store)
            failing.begin(try Self.settings(), Self.items)
            failing.keep(Self.state, of: 0, stages: [])
            #expect(try failing.fail(SwanError(.storeUnavailable, "full")) == .failed)
        }
        try store.retry(1)
        let again = try work(store)
        again.begin(try Self.settings(), Self.items)
        #expect(try again.state(of: 0) != nil, "a job that failed goes on")
        #expect(try store.requestCancel(1) == .requested)
        #expect(try again.fail(SwanError(.cancelled, "")) == .cancelled)
        #expect(try FileManager.default.contentsOfDirectory(atPath: again.files.path) == ["lock"])
    }
}
