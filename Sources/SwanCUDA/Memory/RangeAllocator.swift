/// Gives out ranges of a line of bytes, and takes them back.
///
/// A pure value: the same requests in the same order get the same places, so that a rehearsal tells exactly how
/// much a run needs. A request goes into the smallest gap that holds it, else to the end.
package struct RangeAllocator: Sendable, Hashable {
    /// Ranges begin at multiples of this many bytes: enough for every vector and every library.
    package static let alignment = 512

    /// Bytes that may be given out; nil for as many as are asked for.
    package let capacity: Int?
    /// Gaps below ``end``: sorted, disjoint, not touching each other or the end.
    private var gaps: [Range<Int>] = []
    /// Where the last range ends.
    private var end = 0
    /// The largest ``end`` so far: the capacity that all requests so far needed.
    package private(set) var peakBytes = 0
    /// Bytes that are given out.
    package private(set) var usedBytes = 0

    /// - Parameter capacity: rounded down to whole pieces.
    package init(capacity: Int?) { self.capacity = capacity.map { $0 / Self.alignment * Self.alignment } }

    /// What a request takes.
    package static func rounded(_ bytes: Int) -> Int { (max(bytes, 1) + alignment - 1) / alignment * alignment }

    /// Takes a range; nil when there is no room for it.
    package mutating func take(_ bytes: Int) -> Range<Int>? {
        let size = Self.rounded(bytes)
        var best: Int?
        for (index, gap) in gaps.enumerated()
        where gap.count >= size && gap.count < best.map({ gaps[$0].count }) ?? .max {
            best = index
        }
        if let best {
            let start = gaps[best].lowerBound
            if gaps[best].count == size {
                gaps.remove(at: best)
            } else {
                gaps[best] = start + size ..< gaps[best].upperBound
            }
            usedBytes += size
            return start ..< start + size
        }
        guard end + size <= capacity ?? .max else { return nil }
        defer { end += size }
        usedBytes += size
        peakBytes = max(peakBytes, end + size)
        return end ..< end + size
    }

    /// Takes a range back that ``take(_:)`` gave.
    package mutating func give(_ range: Range<Int>) {
        usedBytes -= range.count
        var range = range
        // The first gap behind the range.
        var low = 0
        var high = gaps.count
        while low < high {
            let middle = (low + high) / 2
            if gaps[middle].lowerBound < range.lowerBound { low = middle + 1 } else { high = middle }
        }
        if low < gaps.count, gaps[low].lowerBound == range.upperBound {
            range = range.lowerBound ..< gaps.remove(at: low).upperBound
        }
        if low > 0, gaps[low - 1].upperBound == range.lowerBound {
            range = gaps.remove(at: low - 1).lowerBound ..< range.upperBound
            low -= 1
        }
        if range.upperBound == end { end = range.lowerBound } else { gaps.insert(range, at: low) }
    }
}
