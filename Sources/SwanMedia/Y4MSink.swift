import Glibc
import SwanDiagnostics

/// Writes YUV4MPEG2 without any other program.
final class Y4MSink: FrameSink {
    let width: Int
    let height: Int
    private let path: String
    private let part: PartialOutput?
    private var descriptor: Int32
    private var planes: [UInt8]

    /// Starts a file at a checked path.
    convenience init(
        _ output: OutputPath, width: Int, height: Int, fps: Int, journal: (any OutputJournal)?
    ) throws(SwanError) {
        let part = try PartialOutput(output, journal)
        let descriptor = Glibc.open(part.part, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw PartialOutput.failure(output.path, errno) }
        try self.init(descriptor: descriptor, path: output.path, part: part, width: width, height: height, fps: fps)
    }

    /// Writes to a descriptor, which the sink closes, and renames `part` at the end, where there is one.
    init(
        descriptor: Int32, path: String, part: PartialOutput?, width: Int, height: Int, fps: Int
    ) throws(SwanError) {
        self.width = width
        self.height = height
        self.path = path
        self.part = part
        self.descriptor = descriptor
        planes = [UInt8](repeating: 0, count: width * height * 3)
        try write(Array(Y4MHeader.line(width: width, height: height, fps: fps).utf8)[...])
    }

    deinit { cancel() }

    func write(frames rgb: [UInt8], count: Int) throws(SwanError) {
        try checkFrames(rgb, count, isOpen: descriptor >= 0)
        for frame in 0 ..< count {
            BT709.planes(ofRGB: rgb[frame * frameBytes ..< (frame + 1) * frameBytes], into: &planes)
            try write(Array("FRAME\n".utf8)[...])
            try write(planes[...])
        }
    }

    func finish(unless isStopped: () -> Bool) throws(SwanError) {
        guard descriptor >= 0 else { throw SwanError(.fault, "A video was finished that has ended already.") }
        if isStopped() { throw stopped() }
        let result = close(descriptor)
        descriptor = -1
        guard result == 0 else {
            let number = errno
            part?.discard()
            throw PartialOutput.failure(path, number)
        }
        try part?.publish()
    }

    func cancel() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        part?.discard()
    }

    private func write(_ bytes: ArraySlice<UInt8>) throws(SwanError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                // Made before the file goes, since its message tells what is free.
                let failure = PartialOutput.failure(path, errno, needing: rest.count)
                cancel()
                throw failure
            }
            rest = rest.dropFirst(count)
        }
    }
}
