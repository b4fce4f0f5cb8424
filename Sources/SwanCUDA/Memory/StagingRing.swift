import SwanDiagnostics
import SwanTensor

/// Pinned pieces that host memory is copied through on its way to the device, in turns.
///
/// The driver may read pageable memory after a copy's call has returned, when its owner has given it back already.
/// What goes through here has been read when the call returns.
final class StagingRing {
    static let pieceBytes = 16 << 20
    private static let pieceCount = 4
    private let memory: [(memory: PinnedMemory, passed: any QueueMark)]
    /// The piece that is being filled, and how far it is.
    private var current = 0
    private var pieces = PieceCursor(bytes: pieceBytes)
    private let queue: Queue
    private let executor: any Executor

    init(_ executor: any Executor, _ queue: Queue) throws(SwanError) {
        (self.executor, self.queue) = (executor, queue)
        var pieces: [(memory: PinnedMemory, passed: any QueueMark)] = []
        for _ in 0 ..< Self.pieceCount {
            pieces.append((try executor.allocatePinned(Self.pieceBytes), try executor.makeMark()))
            executor.counts.pin(Self.pieceBytes)
        }
        memory = pieces
    }

    /// Enqueues a copy to the device.
    func copy(_ source: UnsafeRawBufferPointer, to target: UInt64) throws(SwanError) {
        try copy(source.count, to: target) { range, piece in
            piece.copyMemory(from: UnsafeRawBufferPointer(rebasing: source[range]))
        }
    }

    /// Enqueues a copy to the device of bytes that a function makes, right where they are copied from.
    ///
    /// - Parameters:
    ///   - count: bytes in all, a multiple of `unit`.
    ///   - unit: the function is asked for multiples of so many bytes; at most ``pieceBytes``.
    ///   - write: writes a range of the bytes; called by several threads at a time.
    func copy(
        _ count: Int, inUnitsOf unit: Int = 1, to target: UInt64,
        write: (_ range: Range<Int>, _ piece: UnsafeMutableRawBufferPointer) -> Void
    ) throws(SwanError) {
        var done = 0
        while done < count {
            guard let range = pieces.next(count - done, inUnitsOf: unit) else {
                try turn()
                continue
            }
            let piece = UnsafeMutableRawBufferPointer(rebasing: memory[current].memory.bytes[range])
            ParallelWork.cut(range.count, inUnitsOf: unit) { part in
                write(
                    done + part.lowerBound ..< done + part.upperBound,
                    UnsafeMutableRawBufferPointer(rebasing: piece[part]))
            }
            try executor.copy(UnsafeRawBufferPointer(piece), to: target + UInt64(done), on: queue)
            done += range.count
        }
    }

    /// Goes on with the next piece, whose last copies have to have passed.
    private func turn() throws(SwanError) {
        try memory[current].passed.record(on: queue)
        current = (current + 1) % memory.count
        try memory[current].passed.synchronize()
        pieces = PieceCursor(bytes: Self.pieceBytes)
    }
}
