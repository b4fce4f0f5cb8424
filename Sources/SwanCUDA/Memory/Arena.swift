import SwanDiagnostics
import SwanTensor

/// The device's memory of one backend, in a few pieces that are asked of the driver, and given out from there.
///
/// Everything is used in the order of one stream, so that what is given back can be given out again at once. With
/// ``reserve(_:)`` there is one piece of the planned size, and a run asks the driver for nothing more.
final class Arena {
    /// Memory that the driver gave.
    private struct Piece {
        let base: UInt64
        let size: Int
        var ranges: RangeAllocator
    }

    private let executor: any Executor
    private var pieces: [Piece] = []
    /// The least that is asked of the driver.
    private static let smallestPiece = 256 << 20

    init(_ executor: any Executor) { self.executor = executor }

    deinit {
        for piece in pieces { executor.freeMemory(piece.base) }
    }

    /// Bytes that the driver gave.
    var reservedBytes: Int { pieces.reduce(0) { $0 + $1.size } }

    /// Bytes that were in use at most, gaps counted: what ``reserve(_:)`` has to be given.
    var peakBytes: Int { pieces.reduce(0) { $0 + $1.ranges.peakBytes } }

    /// Asks the driver for one piece of this size, which all that follows is taken from.
    func reserve(_ bytes: Int) throws(SwanError) {
        releaseUnused()
        guard bytes > 0 else { return }
        try addPiece(RangeAllocator.rounded(bytes))
    }

    /// Gives pieces back to the driver that hold nothing.
    func releaseUnused() {
        pieces.removeAll { piece in
            guard piece.ranges.usedBytes == 0 else { return false }
            executor.freeMemory(piece.base)
            return true
        }
    }

    private func addPiece(_ bytes: Int) throws(SwanError) {
        // A rehearsal's memory has no end.
        let base = try executor.allocateMemory(bytes)
        pieces.append(
            Piece(base: base, size: bytes, ranges: RangeAllocator(capacity: executor.isRehearsal ? nil : bytes)))
        executor.counts.driverAllocations += 1
    }

    /// Takes memory.
    func take(_ bytes: Int) throws(SwanError) -> UInt64 {
        executor.counts.allocations += 1
        for index in pieces.indices {
            if let range = pieces[index].ranges.take(bytes) {
                note(range.count)
                return pieces[index].base + UInt64(range.lowerBound)
            }
        }
        try addPiece(max(RangeAllocator.rounded(bytes), Self.smallestPiece))
        guard let range = pieces[pieces.count - 1].ranges.take(bytes) else {
            throw SwanError(.fault, "A piece of the device's memory is too small for what it was made for.")
        }
        note(range.count)
        return pieces[pieces.count - 1].base + UInt64(range.lowerBound)
    }

    /// Takes memory back.
    func give(_ address: UInt64, _ bytes: Int) {
        let size = RangeAllocator.rounded(bytes)
        guard
            let index = pieces.firstIndex(where: {
                address >= $0.base && address < $0.base + UInt64(max($0.size, $0.ranges.peakBytes))
            })
        else { return }
        let start = Int(address - pieces[index].base)
        pieces[index].ranges.give(start ..< start + size)
        executor.counts.currentBytes -= size
    }

    private func note(_ bytes: Int) {
        executor.counts.currentBytes += bytes
        executor.counts.peakBytes = max(executor.counts.peakBytes, executor.counts.currentBytes)
    }
}

/// A tensor's memory on the device: given back, in the stream's order, with the last tensor that has it.
final class DeviceStorage: TensorStorage {
    let address: UInt64
    let arena: Arena

    init(bytes: Int, in arena: Arena) throws(SwanError) {
        self.arena = arena
        address = try arena.take(bytes)
        super.init(byteCount: bytes)
    }

    deinit { arena.give(address, byteCount) }
}
