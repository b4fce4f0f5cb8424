import SwanDiagnostics
import SwanTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What a pool of host memory has handed out.
public struct MemoryUse: Sendable, Hashable {
    /// Bytes of tensors and weights that are alive.
    public internal(set) var currentBytes = 0
    /// The largest ``currentBytes`` so far.
    public internal(set) var peakBytes = 0
    /// Bytes held back for tensors to come.
    public internal(set) var idleBytes = 0
    /// Buffers that the system was asked for; buffers that were used again are not counted.
    public internal(set) var systemAllocations = 0
}

/// A piece of host memory.
struct HostBuffer {
    let address: UnsafeMutableRawPointer
    let byteCount: Int
}

/// Aligned host memory that is used again once it is free.
///
/// A fresh buffer of some megabytes costs a page fault per 4 KiB at its first touch, which takes as
/// long as the arithmetic of a normalisation; a forward pass asks for the same few sizes over and
/// over, so a free buffer is kept for the next request of about its size.
///
/// Not thread-safe: it belongs to one backend and its queue.
final class BufferPool {
    /// Every buffer starts on a cache line: the widest vectors then never straddle two.
    static let alignment = 64

    private(set) var use = MemoryUse()
    /// Free buffers, smallest first.
    private var idle: [HostBuffer] = []
    /// Whether a buffer is filled with NaNs before it is handed out.
    private let poisons: Bool

    /// - Parameter poisons: fills every buffer with NaNs, so that a result that was not written
    ///   shows.
    init(poisons: Bool = false) { self.poisons = poisons }

    deinit {
        for buffer in idle { free(buffer.address) }
    }

    /// A buffer of at least `bytes` bytes with undefined contents.
    func take(_ bytes: Int) throws(SwanError) -> HostBuffer {
        guard bytes >= 0, bytes <= Int.max / 2 else {
            throw SwanError(.outOfMemory, "A tensor of \(bytes) bytes cannot exist on this machine.")
        }
        let size = Self.rounded(bytes)
        let buffer = if let old = recycled(size) { old } else { try fresh(size) }
        use.currentBytes += buffer.byteCount
        use.peakBytes = max(use.peakBytes, use.currentBytes)
        if poisons { memset(buffer.address, 0xFF, buffer.byteCount) }
        return buffer
    }

    /// Takes a buffer back.
    func give(_ buffer: HostBuffer) {
        use.currentBytes -= buffer.byteCount
        use.idleBytes += buffer.byteCount
        idle.insert(buffer, at: firstIdle(ofAtLeast: buffer.byteCount))
    }

    /// Forgets how much was in use before.
    func resetPeak() { use.peakBytes = use.currentBytes }

    /// Gives all idle memory back to the system.
    func releaseIdle() {
        for buffer in idle { free(buffer.address) }
        idle = []
        use.idleBytes = 0
    }

    /// Sizes are rounded up to a sixteenth of their power of two, so that nearly equal sizes share
    /// buffers and at most 1/16 is wasted.
    private static func rounded(_ bytes: Int) -> Int {
        let step = max(alignment, 1 << max(0, Int.bitWidth - 5 - max(bytes, 1).leadingZeroBitCount))
        return max(step, (bytes + step - 1) / step * step)
    }

    private func firstIdle(ofAtLeast size: Int) -> Int {
        var (low, high) = (0, idle.count)
        while low < high {
            let middle = (low + high) / 2
            if idle[middle].byteCount < size { low = middle + 1 } else { high = middle }
        }
        return low
    }

    private func recycled(_ size: Int) -> HostBuffer? {
        let index = firstIdle(ofAtLeast: size)
        // A much larger buffer would be missing when its own size is asked for next.
        guard index < idle.count, idle[index].byteCount <= size + size / 4 else { return nil }
        let buffer = idle.remove(at: index)
        use.idleBytes -= buffer.byteCount
        return buffer
    }

    private func fresh(_ size: Int) throws(SwanError) -> HostBuffer {
        // Sizes change between stages of a model: what lies idle is let go once it would add more
        // than a quarter to the peak.
        let room = max(use.peakBytes + use.peakBytes / 4, 64 << 20)
        while use.currentBytes + use.idleBytes + size > room, let largest = idle.popLast() {
            use.idleBytes -= largest.byteCount
            free(largest.address)
        }
        if let buffer = Self.allocate(size) {
            use.systemAllocations += 1
            return buffer
        }
        releaseIdle()
        guard let buffer = Self.allocate(size) else {
            throw SwanError(
                .outOfMemory,
                "\(formatted(bytes: size)) of memory are missing; \(formatted(bytes: use.currentBytes)) are in use.",
                advice: "Close other programs, or ask for a smaller or shorter video.")
        }
        use.systemAllocations += 1
        return buffer
    }

    private static func allocate(_ size: Int) -> HostBuffer? {
        // Large buffers ask for huge pages: 512 times fewer page faults and TLB entries.
        let hugePage = 2 << 20
        let isLarge = size >= 2 * hugePage
        var address: UnsafeMutableRawPointer?
        guard posix_memalign(&address, isLarge ? hugePage : alignment, size) == 0, let address else { return nil }
        #if os(Linux)
            if isLarge { _ = madvise(address, size, 14) }  // MADV_HUGEPAGE; only advice, so a refusal is fine
        #endif
        return HostBuffer(address: address, byteCount: size)
    }
}
