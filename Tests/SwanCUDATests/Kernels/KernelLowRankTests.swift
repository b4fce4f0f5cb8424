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

            /// - Parameters:
            ///   - ranks: of the changes, whose factors are stored in `type`.
            ///   - multipliers: of the changes in turn; not all are numbers of 16 bits.
            ///   - edit: changes numbers of the matrix, of `up` and of `down`, before they are rounded; once a change.
            init(
                _ rows: Int, _ columns: Int, ranks: [Int], _ base: DType, factors type: DType,
                multipliers: [Float] = [0.3, -1.25, 3],
                edit: (inout [Float], inout [Float], inout [Float]) -> Void = { _, _, _ in }
            ) throws {
                var random = SeededRandom(UInt64(rows * columns))
                var values = random.floats(rows * columns)
                var changes: [LowRankChange] = []
                for (index, rank) in ranks.enumerated() {
                    var (up, down) = (random.floats(rows * rank), random.floats(rank * columns))
                    edit(&values, &up, &down)
                    changes.append(
                        try LowRankChange(
                            up: HostTensor([rows, rank], up).rounded(to: type),
                            down: HostTensor([rank, columns], down).rounded(to: type),
                            factor: multipliers[index % multipliers.count]))
                }
                x = try HostTensor([rows, columns], values).rounded(to: base)
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

        /// Tiles that are full and that are not, one change and several, ranks that fill a tile's depth and others,
        /// factors whose rows are vectors of four and others.
        @Test(
            "sums to bfloat16, in another place and in the matrix's own",
            arguments: [
                ([1, 4], [1]), ([128, 128], [16]), ([130, 260], [3, 32]), ([70, 132], [17, 1, 5]),
                ([130, 36], [100, 4]), ([20, 132], [70]),
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
        @Test(
            "sums to float32 in parts, of factors in float32",
            arguments: [
                ([203, 131], [9, 16, 2]), ([5, 1], [9, 16, 2]), ([129, 203], [9, 16, 2]), ([130, 132], [8, 36, 4]),
            ] as [([Int], [Int])])
        func wide(size: [Int], ranks: [Int]) throws {
            let (rows, columns) = (size[0], size[1])
            let given = try Case(rows, columns, ranks: ranks, .float16, factors: .float32)
            let (exact, sizes) = try given.exact()
            let distance = Distance(sums(given, .float32, rowsAtOnce: 128), from: exact) { 8 * 0x1p-24 * sizes[$0] }
            #expect(distance.isExplained, "\(distance)")
        }

        /// Sums to float32 of factors in bfloat16 or float32, at most so many rows at a time.
        private func sums(_ given: Case, _ type: DType, rowsAtOnce: Int) -> [Float] {
            let x = bits(given.x)
            let (rows, columns) = (given.x.shape[0], given.x.shape[1])
            var y: [Float] = []
            for first in stride(from: 0, to: rows, by: rowsAtOnce) {
                let count = min(rowsAtOnce, rows - first)
                let part = Array(x[first * columns ..< (first + count) * columns])
                var sums = [Float](repeating: .nan, count: part.count + 1)
                let (changes, all) = (UInt32(given.changes.count), UInt32(rows))
                if type == .float32 {
                    swan_emulate_add_low_rank_float(
                        part, given.factors(as: Float.self), given.list, &sums, changes, all, UInt32(first),
                        UInt32(count), UInt32(columns))
                } else {
                    swan_emulate_add_low_rank_bfloat16_float(
                        part, given.factors(as: UInt16.self), given.list, &sums, changes, all, UInt32(first),
                        UInt32(count), UInt32(columns))
                }
                #expect(sums.popLast()?.isNaN == true)
                y += sums
            }
            return y
        }

        /// What 16-bit results would hide: no digit of a sum or of the multiplier is lost.
        @Test(
            "sums to float32 of factors in bfloat16",
            arguments: [([130, 132], [64]), ([20, 260], [100, 12]), ([70, 4], [5, 130])] as [([Int], [Int])])
        func precise(size: [Int], ranks: [Int]) throws {
            let (rows, columns) = (size[0], size[1])
            let given = try Case(rows, columns, ranks: ranks, .bfloat16, factors: .bfloat16)
            let (exact, sizes) = try given.exact()
            let distance = Distance(sums(given, .bfloat16, rowsAtOnce: rows), from: exact) { 8 * 0x1p-24 * sizes[$0] }
            #expect(distance.isExplained, "\(distance)")
        }

        enum Extreme: String, CaseIterable {
            case infiniteUp, noNumberInDown, infiniteAndNoNumberInMatrix, largestFloats, productsBeyondRange
        }

        /// Infinities spoil their row or column and no other element, and nothing does that has a finite sum.
        @Test("numbers that matrix units cannot sum", arguments: Extreme.allCases, [DType.bfloat16, .float32])
        func extremes(_ extreme: Extreme, type: DType) throws {
            let (rows, columns, rank) = (20, 132, 20)
            let given = try Case(
                rows, columns, ranks: [rank, 7], type == .float32 ? .float16 : .bfloat16, factors: type,
                multipliers: extreme == .productsBeyondRange ? [1e-20] : [0.3]
            ) { x, up, down in
                switch extreme {
                case .infiniteUp:
                    up[2] = .infinity
                    up[up.count / rows * 15] = -.infinity
                case .noNumberInDown: down[3] = .nan
                case .infiniteAndNoNumberInMatrix:
                    x[1] = .infinity
                    x[columns + 2] = .nan
                    x[300] = -.infinity
                case .largestFloats:
                    // A float32 that is infinite once it is rounded to bfloat16.
                    up[1] = type == .float32 ? .greatestFiniteMagnitude : 0x1.fep127
                    down = down.map { $0 * 1e-30 }
                case .productsBeyondRange:
                    up = up.map { $0 * 1e20 }
                    down = down.map { $0 * 1e20 }
                }
            }
            let (exact, sizes) = try given.exact()
            let found = sums(given, type, rowsAtOnce: 12)
            // Those that are summed one by one have an error for each term.
            let distance = Distance(found, from: exact) { 32 * 0x1p-24 * sizes[$0] }
            #expect(distance.isExplained, "\(distance)")
            let strange = exact.count { !$0.isFinite }
            switch extreme {
            case .infiniteUp: #expect(strange == 2 * columns)
            case .noNumberInDown: #expect(strange == rows)
            case .infiniteAndNoNumberInMatrix: #expect(strange == 3)
            case .largestFloats, .productsBeyondRange: #expect(strange == 0)
            }
        }
    }
}
