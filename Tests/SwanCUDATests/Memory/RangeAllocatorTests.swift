import SwanCUDA
import SwanTestSupport
import Testing

/// Guards that memory is never given out twice, comes back whole, and that the peak of one sequence of requests is
/// the capacity that the same sequence needs.
@Suite("Ranges of memory")
struct RangeAllocatorTests {
    /// Takes and gives back at random; returns what was taken.
    private static func exercise(_ allocator: inout RangeAllocator, seed: UInt64) -> [Range<Int>?] {
        var random = SeededRandom(seed)
        var held: [Range<Int>] = []
        var taken: [Range<Int>?] = []
        for _ in 0 ..< 2000 {
            if held.isEmpty || random.next() % 5 < 3 {
                let range = allocator.take(Int(random.next() % 100_000))
                taken.append(range)
                guard let range else { continue }
                for other in held { #expect(!other.overlaps(range)) }
                #expect(range.lowerBound % RangeAllocator.alignment == 0)
                held.append(range)
            } else {
                allocator.give(held.remove(at: Int(random.next() % UInt64(held.count))))
            }
            #expect(allocator.usedBytes == held.reduce(0) { $0 + $1.count })
            #expect(allocator.peakBytes >= held.map(\.upperBound).max() ?? 0)
        }
        for range in held { allocator.give(range) }
        return taken
    }

    @Test("the peak of a sequence is what the same sequence needs", arguments: [1, 2, 3] as [UInt64])
    func rehearsed(seed: UInt64) {
        var endless = RangeAllocator(capacity: nil)
        let places = Self.exercise(&endless, seed: seed)
        #expect(endless.usedBytes == 0 && places.allSatisfy { $0 != nil })
        var exact = RangeAllocator(capacity: endless.peakBytes)
        #expect(Self.exercise(&exact, seed: seed) == places)
        #expect(exact.take(endless.peakBytes) == 0 ..< endless.peakBytes, "what came back is not whole")
        var small = RangeAllocator(capacity: endless.peakBytes - 1)
        #expect(Self.exercise(&small, seed: seed).contains(nil))
    }

    @Test("a request takes the smallest gap that holds it")
    func smallestGap() {
        var allocator = RangeAllocator(capacity: nil)
        let all = [4096, 512, 1024, 512, 4096].compactMap { allocator.take($0) }
        allocator.give(all[0])
        allocator.give(all[2])
        #expect(allocator.take(600) == all[2])
        #expect(allocator.take(4000) == all[0])
        #expect(allocator.take(0)?.count == 512)
    }
}
