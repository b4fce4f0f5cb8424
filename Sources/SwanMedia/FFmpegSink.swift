import Dispatch
import FoundationEssentials
import Glibc
import SwanDiagnostics
import Synchronization

/// Feeds frames to an ffmpeg process through a bounded queue, so that encoding overlaps with whatever
/// makes the next frames.
final class FFmpegSink: FrameSink {
    let width: Int
    let height: Int
    private let output: OutputPath
    private let comment: String?
    private let part: PartialOutput
    private let process: ChildProcess
    private let pump: Pump
    private var isOpen = true

    init(
        _ output: OutputPath, width: Int, height: Int, fps: Int, comment: String?, tools: MediaTools,
        journal: (any OutputJournal)?
    ) throws(SwanError) {
        self.width = width
        self.height = height
        self.output = output
        self.comment = comment
        let ffmpeg = try tools.requireFFmpeg()
        part = try PartialOutput(output, journal)
        // Part of ffmpeg's grammar: "file:" keeps a name from being read as a protocol, and "%" numbers
        // frames, so that one in a folder's name is doubled.
        let target =
            output.format == .png
            ? "file:" + part.part.split(separator: "%", omittingEmptySubsequences: false).joined(separator: "%%") + "/"
                + output.name
            : "file:" + part.part
        let arguments =
            [
                "-hide_banner", "-nostdin", "-loglevel", "error", "-xerror", "-y", "-f", "rawvideo", "-pixel_format",
                "rgb24",
                "-video_size", "\(width)x\(height)", "-framerate", "\(fps)", "-i", "pipe:0",
            ] + output.format.encoderArguments + (comment.map { ["-metadata", "comment=\($0)"] } ?? []) + [target]
        process = try ChildProcess(ffmpeg, arguments, input: true, output: false)
        pump = Pump(descriptor: process.input)
    }

    deinit { cancel() }

    func write(frames rgb: [UInt8], count: Int) throws(SwanError) {
        try checkFrames(rgb, count, isOpen: isOpen)
        for frame in 0 ..< count {
            pump.push(rgb, frame * frameBytes ..< (frame + 1) * frameBytes)
            if pump.failure != nil { throw failed() }
        }
    }

    func finish(unless isStopped: () -> Bool) throws(SwanError) {
        guard isOpen else { throw SwanError(.fault, "A video was finished that has ended already.") }
        // Waits by looking every few milliseconds: a signal wakes neither the queue nor a wait for its end.
        while !pump.isIdle {
            if isStopped() { throw stopped() }
            usleep(2000)
        }
        process.closeInput()
        while !process.hasEnded {
            if isStopped() { throw stopped() }
            usleep(2000)
        }
        guard process.wait() == .code(0), pump.failure == nil else { throw failed() }
        if output.format == .gif, let comment {
            do throws(SwanError) {
                try GIFComment.insert(comment, intoFileAt: part.part, shownAs: output.path)
            } catch {
                cancel()
                throw error
            }
        }
        isOpen = false
        try part.publish()
    }

    func cancel() {
        guard isOpen else { return }
        isOpen = false
        // The process goes first: its end wakes a write that waits for room.
        process.kill()
        pump.drain()
        process.closeInput()
        part.discard()
    }

    /// Ends the sink after the encoder did, and says why.
    private func failed() -> SwanError {
        pump.drain()
        process.closeInput()
        let status = process.wait()
        let errors = process.errorText
        let failure = ProgramFailure(program: "ffmpeg", status: status, errors: errors)
        let free = freeBytes(at: output.folder)
        cancel()
        // Below a megabyte the disk counts as full, whatever words the encoder found for it.
        if errors.contains("No space left") || (free ?? .max) < 1_000_000 {
            return SwanError(
                .writeFailed,
                "Writing '\(output.path.printable())' failed after \(pump.written) frames: "
                    + "the disk has \(formatted(bytes: free ?? 0)) left for them and the rest.",
                advice: "Free some room, or choose an output on another disk.", cause: failure)
        }
        return SwanError(
            .encoderFailed, "The encoder stopped after \(pump.written) frames of '\(output.path.printable())'.",
            advice: "Its own words are above. A '.y4m' output needs no encoder.", cause: failure)
    }
}

/// A thread that writes frames into a socket, and a bounded queue before it.
private final class Pump: Sendable {
    /// Most frames that wait.
    private static let depth = 8

    private struct State {
        var written = 0
        var waiting = 0
        var failure: Int32?
    }

    private let descriptor: Int32
    private let state = Mutex(State())
    // A serial queue of its own: it gets a thread even while those of the shared pool are blocked.
    private let queue = DispatchQueue(label: "swan.media.frames")
    private let room = DispatchSemaphore(value: 0)

    init(descriptor: Int32) {
        self.descriptor = descriptor
        // Raised here and not given at birth: a semaphore may not be released below its first value.
        for _ in 0 ..< Self.depth { room.signal() }
    }

    /// Frames that have been handed over whole.
    var written: Int { state.withLock(\.written) }
    /// Whether every frame has been handed over or dropped.
    var isIdle: Bool { state.withLock { $0.waiting == 0 } }
    /// The error number of the first write that failed.
    var failure: Int32? { state.withLock(\.failure) }

    /// Queues one frame; waits while the queue is full. After a failure, frames are dropped.
    func push(_ bytes: [UInt8], _ range: Range<Int>) {
        room.wait()
        state.withLock { $0.waiting += 1 }
        queue.async { [self] in
            if failure == nil {
                let result = send(bytes, range)
                state.withLock {
                    $0.failure = result
                    if result == nil { $0.written += 1 }
                }
            }
            state.withLock { $0.waiting -= 1 }
            room.signal()
        }
    }

    /// Waits until nothing is queued.
    func drain() { queue.sync {} }

    private func send(_ bytes: [UInt8], _ range: Range<Int>) -> Int32? {
        bytes.withUnsafeBytes { buffer in
            var rest = buffer[range]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let count = Glibc.send(descriptor, part.baseAddress, part.count, Int32(MSG_NOSIGNAL))
                if count < 0 {
                    if errno == EINTR { continue }
                    return errno
                }
                rest = rest.dropFirst(count)
            }
            return nil
        }
    }
}

extension OutputFormat {
    /// What follows the input among ffmpeg's arguments, up to the metadata.
    fileprivate var encoderArguments: [String] {
        // BT.709 with limited range, converted so and labelled so: players assume it from 720 lines on and
        // BT.601 below, unless the file says.
        let convert =
            "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,"
            + "format=yuv420p,setparams=color_primaries=bt709:color_trc=bt709:colorspace=bt709:range=tv"
        let label = [
            "-pix_fmt", "yuv420p", "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709",
            "-color_range", "tv",
        ]
        switch self {
        case .mp4:
            // x264's loss stops being seen on film at 17 or 18. A quarter of the time of the preset medium at 17 (81 frames of
            // 832x480: 2.1 against 6.9 s of a processor for a moving scene with grain, 3.1 against 11.2 for noise), at
            // 42.6 and 42.7 dB, and 5 % more bytes. It begins after 10 frames instead of 40, so less is left at the end.
            return ["-vf", convert, "-c:v", "libx264", "-preset", "veryfast", "-crf", "16"] + label
                + ["-movflags", "+faststart", "-f", "mp4"]
        case .webm:
            return [
                "-vf", convert, "-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0", "-deadline", "good", "-cpu-used", "4",
            ]
                + ["-row-mt", "1"] + label + ["-f", "webm"]
        case .gif:
            return [
                "-vf", "split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=sierra2_4a", "-loop", "0", "-f", "gif",
            ]
        case .png:
            return ["-c:v", "png", "-pix_fmt", "rgb24", "-start_number", "1", "-f", "image2"]
        case .y4m:
            return []
        }
    }
}
