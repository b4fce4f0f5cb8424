import Foundation
import SwanCUDA
import SwanTensor
import SwanTestSupport
import Testing

/// Guards what weights pass through on their way to a GPU: every byte once, whole blocks, by any number of threads.
@Suite("Staging")
struct StagingTests {
    @Test("pieces are filled with whole units from multiples of 256 on", arguments: [1, 4, 128, 1024, 1000])
    func pieces(unit: Int) {
        let piece = 16 << 10
        var (cursor, used) = (PieceCursor(bytes: piece), [Range<Int>]())
        // One tensor behind the other, some of which share a piece, and some of which take several.
        for total in [unit, 3 * unit, (40 << 10) / unit * unit, unit, 2 * unit] {
            var (left, rounds) = (total, 0)
            while left > 0, rounds < 1000 {
                rounds += 1
                guard let range = cursor.next(left, inUnitsOf: unit) else {
                    (cursor, used) = (PieceCursor(bytes: piece), [])
                    continue
                }
                #expect(range.count > 0 && range.count % unit == 0 && range.count <= left)
                #expect(range.lowerBound % 256 == 0 && range.upperBound <= piece)
                #expect(!used.contains { $0.overlaps(range) })
                used.append(range)
                left -= range.count
            }
            #expect(left == 0)
        }
        var full = PieceCursor(bytes: 1024)
        #expect(full.next(1024, inUnitsOf: 1024) == 0 ..< 1024)
        #expect(full.next(4, inUnitsOf: 4) == nil)
    }

    @Test("work is cut into parts that make up the whole", arguments: [1, 2, 3, 8])
    func parts(most: Int) {
        final class Seen: @unchecked Sendable {
            let lock = NSLock()
            var parts: [Range<Int>] = []
        }
        for (count, unit) in [(0, 1), (1, 1), (4095, 1), (4097, 1), (1_000_000, 4), (128 * 777, 128), (8192 * 5, 8192)]
        {
            let seen = Seen()
            ParallelWork.cut(count, inUnitsOf: unit, most: most) { part in
                seen.lock.withLock { seen.parts.append(part) }
            }
            let parts = seen.parts.sorted { $0.lowerBound < $1.lowerBound }
            #expect(parts.count <= most && parts.allSatisfy { !$0.isEmpty && $0.count % unit == 0 })
            #expect(parts.first?.lowerBound ?? 0 == 0 && parts.last?.upperBound ?? 0 == count)
            #expect(zip(parts, parts.dropFirst()).allSatisfy { $0.upperBound == $1.lowerBound })
        }
    }

    @Test("values made in parts are those made at once", arguments: [DType.q4K, .q80, .float8E4M3, .float64, .int8])
    func values(dtype: DType) throws {
        var random = SeededRandom(51)
        let count = 256 * 97
        let bytes = (0 ..< (dtype.bytes(elements: count) ?? 0)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        let host = try HostTensor([97, 256], dtype, bytes.withUnsafeBytes { HostBytes(copying: $0) })
        try expectParts(host)
        // With a scale for each row, as files of float8 have them.
        guard QuantizedWeight.types.contains(dtype) else { return }
        let scales = random.floats(97)
        try expectParts(
            HostTensor(
                QuantizedWeight(
                    [97, 256], dtype, bytes.withUnsafeBytes { HostBytes(copying: $0) }, scales: scales, .row)))
    }

    private func expectParts(_ host: HostTensor) throws {
        let exact = try host.floats()
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * exact.count, alignment: 64)
        defer { memory.deallocate() }
        memory.initializeMemory(as: UInt8.self, repeating: 0xEE)
        ParallelWork.cut(4 * exact.count, inUnitsOf: 4 * host.dtype.blockElements, most: 5) { part in
            let piece = UnsafeMutableRawBufferPointer(rebasing: memory[part])
            if let floats = piece.bindMemory(to: Float.self).baseAddress {
                host.copyFloats(part.lowerBound / 4 ..< part.upperBound / 4, to: floats)
            }
        }
        let found = memory.bindMemory(to: Float.self)
        #expect(exact.indices.allSatisfy { found[$0].bitPattern == exact[$0].bitPattern })
    }
}
