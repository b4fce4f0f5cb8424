import SwanDiagnostics
import SwanTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Pinned pieces that host memory is copied through on its way to the device, in turns.
///
/// The driver may read pageable memory after a copy's call has returned, when its owner has given it back already.
/// What goes through here has been read when the call returns.
final class StagingRing {
    static let pieceBytes = 16 << 20
    private static let pieceCount = 4
    private let pieces: [(memory: PinnedMemory, passed: any QueueMark)]
    /// The piece that is being filled, and how far it is.
    private var current = 0
    private var filled = 0
    private let queue: Queue
    private let executor: any Executor

    init(_ executor: any Executor, _ queue: Queue) throws(SwanError) {
        (self.executor, self.queue) = (executor, queue)
        var pieces: [(memory: PinnedMemory, passed: any QueueMark)] = []
        for _ in 0 ..< Self.pieceCount {
            pieces.append((try executor.allocatePinned(Self.pieceBytes), try executor.makeMark()))
            executor.counts.pin(Self.pieceBytes)
        }
        self.pieces = pieces
    }

    /// Enqueues a copy to the device.
    func copy(_ source: UnsafeRawBufferPointer, to target: UInt64) throws(SwanError) {
        var done = 0
        while done < source.count {
            if filled == Self.pieceBytes { try turn() }
            let count = min(Self.pieceBytes - filled, source.count - done)
            let piece = UnsafeMutableRawBufferPointer(
                rebasing: pieces[current].memory.bytes[filled ..< filled + count])
            copyInParallel(UnsafeRawBufferPointer(rebasing: source[done ..< done + count]), to: piece)
            try executor.copy(UnsafeRawBufferPointer(piece), to: target + UInt64(done), on: queue)
            filled = min((filled + count + 255) / 256 * 256, Self.pieceBytes)
            done += count
        }
    }

    /// Goes on with the next piece, whose last copies have to have passed.
    private func turn() throws(SwanError) {
        try pieces[current].passed.record(on: queue)
        current = (current + 1) % pieces.count
        try pieces[current].passed.synchronize()
        filled = 0
    }
}

/// One core reads some 10 GB/s, which is less than the bus takes: several copy side by side.
private func copyInParallel(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
    final class Part {
        let source: UnsafeRawPointer
        let target: UnsafeMutableRawPointer
        let count: Int
        init(_ source: UnsafeRawPointer, _ target: UnsafeMutableRawPointer, _ count: Int) {
            (self.source, self.target, self.count) = (source, target, count)
        }
    }
    guard let from = source.baseAddress, let to = target.baseAddress else { return }
    let threads = min(8, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 2)), max(1, source.count >> 20))
    let size = (source.count / threads + 4095) / 4096 * 4096
    var started: [pthread_t] = []
    for index in 1 ..< max(1, threads) where index * size < source.count {
        let part = Part(from + index * size, to + index * size, min(size, source.count - index * size))
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(part)
        let result = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let part = Unmanaged<Part>.fromOpaque(raw).takeRetainedValue()
                part.target.copyMemory(from: part.source, byteCount: part.count)
                return nil
            }, argument.toOpaque())
        if result == 0 {
            started.append(thread)
        } else {
            let part = argument.takeRetainedValue()
            part.target.copyMemory(from: part.source, byteCount: part.count)
        }
    }
    to.copyMemory(from: from, byteCount: min(size, source.count))
    for thread in started { pthread_join(thread, nil) }
}
