import Dispatch
import FoundationEssentials
import Glibc
import SwanDiagnostics
import SwanMedia
import Synchronization
import Testing

/// What goes wrong after a video has begun.
@Suite struct FailureTests {
    let folder: TemporaryFolder
    let target: TemporaryFolder

    init() throws {
        folder = try TemporaryFolder()
        target = try TemporaryFolder()
    }

    private func open(_ name: String, tools: MediaTools = .installed, side: Int = 64) throws -> any FrameSink {
        try VideoWriter.open(path: target.file(name), width: side, height: side, fps: 16, tools: tools)
    }

    private func frames(_ count: Int, side: Int = 64) -> [UInt8] { Film.noise(count * side * side * 3) }

    @Test(arguments: ["a.mp4", "a.webm", "a.gif", "a.y4m", "new/%04d.png", "%04d.png"])
    func cancellingLeavesNothing(name: String) throws {
        let sink = try open(name)
        #expect(!target.names.isEmpty)
        try sink.write(frames: frames(20), count: 20)
        sink.cancel()
        #expect(target.names.isEmpty)
        sink.cancel()
        #expect(failure { try sink.write(frames: frames(1), count: 1) }?.code == .fault)
        #expect(failure { try sink.finish() }?.code == .fault)
    }

    @Test(arguments: ["a.mp4", "a.y4m", "%04d.png"])
    func forgettingLeavesNothing(name: String) throws {
        var sink: (any FrameSink)? = try open(name)
        try sink?.write(frames: frames(2), count: 2)
        sink = nil
        #expect(target.names.isEmpty)
    }

    /// The encoder reads a frame and a half and is killed, while frames are still being handed over. A
    /// SIGPIPE would end the test run.
    @Test(arguments: ["kill -9 $$", "echo 'something is wrong' >&2; exit 3", "exit 0"])
    func anEncoderThatDiesIsAnError(end: String) throws {
        let tools = try folder.tools(ffmpeg: "head -c 18432 > /dev/null; \(end)")
        let sink = try open("a.mp4", tools: tools)
        let error = failure {
            for _ in 0 ..< 200 { try sink.write(frames: frames(1), count: 1) }
            try sink.finish()
            return true
        }
        #expect(error?.code == .encoderFailed)
        #expect(target.names.isEmpty)
        #expect(failure { try sink.finish() }?.code == .fault)
        let cause = error?.cause.map { "\($0)" } ?? ""
        switch end {
        case "exit 0": break
        case "kill -9 $$": #expect(cause.contains("signal 9"))
        default: #expect(cause.contains("exit status 3") && cause.contains("something is wrong"))
        }
    }

    /// An encoder that fails at the end, after all its input, and says a lot: the last words are kept.
    @Test func theEncodersLastWordsAreKept() throws {
        let tools = try folder.tools(
            ffmpeg:
                "cat > /dev/null; i=0; while [ $i -lt 3000 ]; do echo \"line $i of many\" >&2; i=$((i+1)); done; exit 1"
        )
        let sink = try open("a.mp4", tools: tools)
        try sink.write(frames: frames(3), count: 3)
        let error = failure { try sink.finish() }
        #expect(error?.code == .encoderFailed)
        let cause = error?.cause.map { "\($0)" } ?? ""
        #expect(cause.hasSuffix("line 2999 of many") && cause.utf8.count < 9000)
        #expect(target.names.isEmpty)
    }

    /// Ctrl-C in a terminal goes to the process group, which the encoder has to itself.
    @Test func theEncoderStandsAlone() throws {
        let facts = folder.file("facts")
        let tools = try folder.tools(
            ffmpeg: "cut -d' ' -f1,5 /proc/$$/stat > \(facts); cat > /dev/null; exit 1")
        let sink = try open("a.mp4", tools: tools)
        _ = failure { try sink.finish() }
        let group = String(decoding: try folder.bytes("facts"), as: UTF8.self).split(whereSeparator: \.isWhitespace)
        #expect(group.count == 2 && group[0] == group[1] && group[1] != "\(getpgrp())")
    }

    /// An encoder that does not read holds the caller back once 8 frames wait: a frame is larger than what a
    /// socket buffers, so that the first of them counts until it has been read whole.
    @Test(.timeLimit(.minutes(5))) func theQueueIsBounded() async throws {
        let tools = try folder.tools(
            ffmpeg: "while [ ! -e \(folder.file("go")) ]; do sleep 0.05; done; cat > /dev/null; exit 1")
        let accepted = Counter()
        let (path, rgb) = (target.file("a.mp4"), frames(1, side: 512))
        // On a thread of its own: it waits for this test, which needs one of the shared pool.
        DispatchQueue(label: "feeder").async {
            let error = failure {
                let sink = try VideoWriter.open(path: path, width: 512, height: 512, fps: 16, tools: tools)
                for _ in 0 ..< 20 {
                    try sink.write(frames: rgb, count: 1)
                    accepted.value.withLock { $0 += 1 }
                }
                sink.cancel()
                return true
            }
            #expect(error == nil)
            accepted.value.withLock { $0 += 1000 }
        }
        while accepted.value.withLock({ $0 }) < 8 { try await Task.sleep(for: .milliseconds(20)) }
        try await Task.sleep(for: .milliseconds(300))
        #expect(accepted.value.withLock { $0 } == 8)
        try folder.write("go", [])
        while accepted.value.withLock({ $0 }) < 1000 { try await Task.sleep(for: .milliseconds(20)) }
        #expect(accepted.value.withLock { $0 } == 1020)
    }

    /// A stop while the encoder still works on its last frames: nothing of the video stays.
    @Test(arguments: ["cat > /dev/null; sleep 60", "sleep 60"])
    func finishingCanBeStopped(encoder: String) throws {
        let tools = try folder.tools(ffmpeg: encoder)
        let sink = try open("a.mp4", tools: tools, side: 512)
        try sink.write(frames: frames(4, side: 512), count: 4)
        var looks = 0
        let error = failure {
            try sink.finish(unless: {
                looks += 1
                return looks == 20
            })
            return true
        }
        #expect(error?.code == .cancelled)
        #expect(target.names.isEmpty)
    }

    /// Cancelling does not wait for an encoder that has stopped reading.
    @Test(.timeLimit(.minutes(5))) func cancellingWakesAFullQueue() throws {
        let tools = try folder.tools(ffmpeg: "sleep 3600")
        let sink = try open("a.mp4", tools: tools, side: 512)
        try sink.write(frames: frames(8, side: 512), count: 8)
        sink.cancel()
        #expect(target.names.isEmpty)
    }

    /// A limit on the file's size stands for a full disk.
    @Test(arguments: ["a.mp4", "a.webm", "%04d.png"])
    func aFullDiskIsAnError(name: String) throws {
        let tools = try folder.tools(ffmpeg: "ulimit -f 1; exec $real \"$@\"")
        let sink = try open(name, tools: tools)
        let error = failure {
            try sink.write(frames: frames(30), count: 30)
            try sink.finish()
            return true
        }
        #expect(error?.code == .encoderFailed || error?.code == .writeFailed)
        #expect(error?.code.kind == .io)
        #expect(target.names.isEmpty)
    }

    @Test func noSpaceIsToldFromOtherFailures() throws {
        let tools = try folder.tools(
            ffmpeg: "cat > /dev/null; echo 'av_interleaved_write_frame(): No space left on device' >&2; exit 1")
        let sink = try open("a.mp4", tools: tools)
        try sink.write(frames: frames(3), count: 3)
        let error = failure { try sink.finish() }
        #expect(error?.code == .writeFailed)
        #expect(error?.message.contains("left") == true)
    }

    @Test func y4mOnAFullDisk() throws {
        let descriptor = Glibc.open("/dev/full", O_WRONLY | O_CLOEXEC)
        let error = failure { try VideoWriter.y4m(descriptor: descriptor, width: 64, height: 64, fps: 16) }
        #expect(error?.code == .writeFailed)
        #expect(error?.message.contains("more were needed") == true)
        let cause = error?.cause.map { "\($0)" } ?? ""
        #expect(cause.contains("No space left"))
    }

    /// Something takes the name while the video is made: neither is lost.
    @Test(arguments: [("a.mp4", "a-2.mp4"), ("a.y4m", "a-2.y4m"), ("new/%04d.png", "new-2")])
    func aNameTakenMeanwhileIsNotOverwritten(name: String, kept: String) throws {
        let sink = try open(name)
        try sink.write(frames: frames(3), count: 3)
        let taken = name.hasPrefix("new") ? "new" : name
        try target.write(taken, [7])
        let error = failure { try sink.finish() }
        #expect(error?.code == .outputExists)
        #expect(error?.advice.contains(target.file(kept)) == true)
        #expect(target.names == [taken, kept].sorted())
        #expect(try target.bytes(taken) == [7])
        let file = kept == "new-2" ? "new-2/0003.png" : kept
        #expect(try FrameReader.read(path: target.file(file)).frames == (kept == "new-2" ? 1 : 3))
    }

    @Test func aFrameFileTakenMeanwhileIsNotOverwritten() throws {
        let sink = try open("%04d.png")
        try sink.write(frames: frames(3), count: 3)
        try target.write("0002.png", [7])
        let error = failure { try sink.finish() }
        #expect(error?.code == .outputExists)
        #expect(try target.bytes("0002.png") == [7])
        #expect(target.names.filter { $0.hasSuffix(".png") } == ["0002.png"])
        // The three frames are kept together, beside the folder.
        let kept = target.path + "-2"
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: kept).sorted() == ["0001.png", "0002.png", "0003.png"])
        try FileManager.default.removeItem(atPath: kept)
    }

    /// Two sinks at once, both fed from the shared pool's threads.
    @Test func severalVideosAtOnce() async throws {
        let paths = (0 ..< 4).map { target.file("\($0).mp4") }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for path in paths {
                group.addTask {
                    let sink = try VideoWriter.open(path: path, width: 64, height: 64, fps: 16)
                    for _ in 0 ..< 5 { try sink.write(frames: Film.noise(4 * 64 * 64 * 3), count: 4) }
                    try sink.finish()
                }
            }
            try await group.waitForAll()
        }
        for path in paths { #expect(try FrameReader.read(path: path).frames == 20) }
    }
}

/// A number that threads share.
private final class Counter: Sendable {
    let value = Mutex(0)
}
