public import SwanDiagnostics

/// Takes the frames of one video, in order, and makes a file of them.
///
/// Frames are RGB with 8 bits each, `[count, height, width, 3]`, sRGB as displays expect it. A sink
/// belongs to one owner and is used from one thread at a time. Nothing is visible under the output's
/// name before ``finish()`` has returned; a sink that is released without it is cancelled.
public protocol FrameSink: AnyObject {
    /// The width of a frame in pixels.
    var width: Int { get }
    /// The height of a frame in pixels.
    var height: Int { get }

    /// Adds frames. Returns when they are queued or written; at most 8 frames wait, then the call does.
    ///
    /// - Parameters:
    ///   - rgb: `count * height * width * 3` bytes.
    ///   - count: number of frames.
    /// - Throws: `media.write-failed` (disk full) or `media.encoder-failed`, also for frames of earlier
    ///   calls; the sink is then cancelled and nothing is left on disk. `fault` if the sizes disagree, or after
    ///   the sink has ended.
    func write(frames rgb: [UInt8], count: Int) throws(SwanError)

    /// Completes the file and gives it its name.
    ///
    /// - Parameter isStopped: asked until the encoder has ended; once it says so, the sink is cancelled.
    /// - Throws: as ``write(frames:count:)``; `cancelled`; `media.output-exists` if something took the name
    ///   meanwhile: the video is then kept under the next free name, which the message tells.
    func finish(unless isStopped: () -> Bool) throws(SwanError)

    /// Stops, and removes what has been written. Does nothing after the sink has ended.
    func cancel()
}

extension FrameSink {
    /// Completes the file and gives it its name, however long the encoder takes.
    public func finish() throws(SwanError) { try finish(unless: { false }) }

    /// The bytes of one frame.
    var frameBytes: Int { width * height * 3 }

    /// Cancels, and says so.
    func stopped() -> SwanError {
        cancel()
        return SwanError(.cancelled, "Stopped on request.")
    }

    /// Checks the arguments of `write`.
    func checkFrames(_ rgb: [UInt8], _ count: Int, isOpen: Bool) throws(SwanError) {
        guard isOpen else { throw SwanError(.fault, "Frames were given to a video that has ended already.") }
        let (expected, overflow) = frameBytes.multipliedReportingOverflow(by: count)
        guard count >= 0, !overflow, rgb.count == expected else {
            throw SwanError(
                .fault,
                "\(rgb.count) bytes were given for \(count) frames of \(width)x\(height) (expected 3 per pixel).")
        }
    }
}
