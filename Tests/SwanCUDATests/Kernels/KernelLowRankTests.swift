import CKernelEmulation
import SwanTensor
import SwanTestSupport
import Testing

extension KernelArithmeticTests {
    /// The kernel that merges low-rank changes; run after each other with the others, which share a block's memory.
    @Suite("of low rank", .serialized)
    struct LowRank {
        /// A matrix and its changes, as bits and as numbers.
        private struct Case {
            let x: HostTensor
            let changes: [LowRankChange]

            /// - Parameter ranks: of the changes, whose factors are stored in `type`.
            init(_ rows: Int, _ columns: Int, ranks: [Int], _ base: DType, factors type: DType) throws {
                var random = SeededRandom(UInt64(rows * columns))
                x = try HostTensor([rows, columns], random.floats(rows * columns)).rounded(to: base)
                var changes: [LowRankChange] = []
                for (index, rank) in ranks.enumerated() {
                    changes.append(
                        try LowRankChange(
                            up: HostTensor([rows, rank], random.floats(rows * rank)).rounded(to: type),
                            down: HostTensor([rank, columns], random.floats(rank * columns)).rounded(to: type),
                            factor: [0.5, -1.25, 3][index % 3]))
                }
                self.changes = changes
            }

            var list: [Float] { changes.flatMap { [Float($0.rank), $0.factor] } }

            /// Factors one behind the other.
            func factors<Element>(as type: Element.Type) -> [Element] {
                changes.flatMap { [$0.up, $0.down] }.flatMap { factor in
                    factor.bytes.withBytes { Array($0.bindMemory(to: type)) }
                }
            }

            /// Exact sums, and the sizes of what is added.
            func exact() throws -> (sums: [Double], sizes: [Double]) {
                let columns = x.shape[1]
                var sums = try x.floats().map(Double.init)
                var sizes = sums.map(abs)
                for change in changes {
                    let (up, down) = (try change.up.floats(), try change.down.floats())
                    for i in sums.indices {
                        for k in 0 ..< change.rank {
                            let term =
                                Double(change.factor) * Double(up[i / columns * change.rank + k])
                                * Double(down[k * columns + i % columns])
                            sums[i] += term
                            sizes[i] += abs(term)
                        }
                    }
                }
                return (sums, sizes)
            }
        }

        private func bits(_ tensor: HostTensor) -> [UInt16] {
            tensor.bytes.withBytes { Array($0.bindMemory(to: UInt16.self)) }
        }

        /// Tiles that are full and that are not, one change and several, ranks that fill a tile's depth and others.
        @Test(
            "sums to bfloat16, in another place and in the matrix's own",
            arguments: [
                ([1, 4], [1]), ([128, 128], [16]), ([130, 260], [3, 32]), ([70, 132], [17, 1, 5]),
            ] as [([Int], [Int])])
        func narrow(size: [Int], ranks: [Int]) throws {
            let (rows, columns) = (size[0], size[1])
            let given = try Case(rows, columns, ranks: ranks, .bfloat16, factors: .float16)
            let (x, factors) = (bits(given.x), given.factors(as: UInt16.self))
            var y = [UInt16](repeating: 0xFFFF, count: x.count)
            swan_emulate_add_low_rank_bfloat16(
                x, factors, given.list, &y, UInt32(ranks.count), UInt32(rows), 0, UInt32(rows), UInt32(columns))
            let (exact, sizes) = try given.exact()
            let found = y.map { Float(bitPattern: UInt32($0) << 16) }
            let distance = Distance(found, from: exact) { 0x1p-8 * abs(exact[$0]) + 32 * 0x1p-24 * sizes[$0] }
            #expect(distance.isExplained, "\(distance)")
            var own = x
            own.withUnsafeMutableBufferPointer {
                swan_emulate_add_low_rank_bfloat16(
                    $0.baseAddress, factors, given.list, $0.baseAddress, UInt32(ranks.count), UInt32(rows), 0,
                    UInt32(rows), UInt32(columns))
            }
            #expect(own == y)
            // The host's own sum, rounded once, but for ties that its roundings fall on the other side of.
            let host = try given.changes.reduce(given.x) { try $0.adding($1) }.rounded(to: .bfloat16)
            let others = zip(bits(host), y).count { $0 != $1 }
            #expect(others <= x.count / 1000, "\(others) of \(x.count) differ")
        }

        /// Parts of the rows find their rows of every change.
        @Test("sums to float32 in parts", arguments: [[203, 131], [5, 1], [129, 203]])
        func wide(size: [Int]) throws {
            let (rows, columns) = (size[0], size[1])
            let given = try Case(rows, columns, ranks: [9, 16, 2], .float16, factors: .float32)
            let (x, factors) = (bits(given.x), given.factors(as: Float.self))
            var y = [Float](repeating: .nan, count: x.count + 1)
            for first in stride(from: 0, to: rows, by: 128) {
                let count = min(128, rows - first)
                x.withUnsafeBufferPointer { x in
                    y.withUnsafeMutableBufferPointer { y in
                        swan_emulate_add_low_rank_float(
                            x.baseAddress.map { $0 + first * columns }, factors, given.list,
                            y.baseAddress.map { $0 + first * columns }, 3, UInt32(rows), UInt32(first), UInt32(count),
                            UInt32(columns))
                    }
                }
            }
            let (exact, sizes) = try given.exact()
            #expect(y.last?.isNaN == true)
            let distance = Distance(Array(y.dropLast()), from: exact) { 32 * 0x1p-24 * sizes[$0] }
            #expect(distance.isExplained, "\(distance)")
        }
    }
}
