import CKernelEmulation
import Foundation
import SwanTensor
import SwanTestSupport
import Testing

private func narrow(_ value: Float) -> UInt16 {
    UInt16(truncatingIfNeeded: (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) >> 16)
}

private func wide(_ bits: UInt16) -> Double { Double(Float(bitPattern: UInt32(bits) << 16)) }

extension KernelArithmeticTests {
    /// The kernels of eight-bit attention; run after each other with the others, which share a block's memory.
    ///
    /// Of the two that multiply, Hopper's has no host form; the formula of its header stands in for it, and is what the
    /// other one is held against.
    @Suite("of attention in eight bits", .serialized)
    struct AttentionInt8 {
        private let heads = 3, width = 128

        /// What the kernels make of queries, keys and values.
        private struct Rounded {
            var q, k, v: [Int8]
            var qScales, kScales, channels, bounds: [Float]
            let tiles: Int
        }

        /// Queries and keys have the same norm and are turned by the same angles.
        private struct Norm {
            let weight, cosines, sines: [Float]
        }

        private func round(_ q: [UInt16], _ k: [UInt16], _ v: [UInt16], _ norm: Norm? = nil) -> Rounded {
            let all = heads * width
            let (queries, keys) = (q.count / all, k.count / all)
            let (parts, tiles) = ((keys + 63) / 64, (keys + 127) / 128)
            var ranges = [Float](repeating: .nan, count: parts * 3 * all)
            var result = Rounded(
                q: .init(repeating: 99, count: q.count), k: .init(repeating: 99, count: k.count),
                v: .init(repeating: 99, count: all * tiles * 128),
                qScales: .init(repeating: .nan, count: heads * queries),
                kScales: .init(repeating: .nan, count: heads * tiles), channels: .init(repeating: .nan, count: 3 * all),
                bounds: .init(repeating: .nan, count: (all + 255) / 256), tiles: tiles)
            let (count, headCount) = (UInt32(keys), UInt32(heads))
            let factor = 1 / Float(width).squareRoot() * 1.442695041 / 128
            if let norm {
                var factors = [Float](repeating: .nan, count: keys)
                swan_emulate_rms_factors_384(k, &factors, count, 1e-6)
                swan_emulate_attention_int8_ranges_normed(
                    k, factors, norm.weight, norm.cosines, norm.sines, v, &ranges, count)
                swan_emulate_attention_int8_channels(
                    ranges, &result.channels, &result.bounds, UInt32(parts), count)
                swan_emulate_attention_int8_normed_queries(
                    q, norm.weight, norm.cosines, norm.sines, &result.q, &result.qScales, UInt32(queries), 1e-6, factor)
                swan_emulate_attention_int8_keys_normed(
                    k, factors, norm.weight, norm.cosines, norm.sines, result.channels, &result.k, &result.kScales,
                    count, headCount)
            } else {
                swan_emulate_attention_int8_ranges(k, v, &ranges, count)
                swan_emulate_attention_int8_channels(
                    ranges, &result.channels, &result.bounds, UInt32(parts), count)
                swan_emulate_attention_int8_queries(
                    q, &result.q, &result.qScales, UInt32(queries), headCount, factor)
                swan_emulate_attention_int8_keys(
                    k, result.channels, &result.k, &result.kScales, count, headCount)
            }
            swan_emulate_attention_int8_values(v, result.channels, &result.v, count, headCount, UInt32(tiles * 128))
            return result
        }

        /// The keys of each 16 in the order in which values have them.
        private let order = [0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15]

        /// Attention by the formula of `attention_int8_sm90.cu`.
        ///
        /// - Parameter rounds: whether weights are rounded to 1/255 of the largest in their tile.
        private func attention(
            _ x: Rounded, query: Int, head: Int, queries: Int, keys: Int, rounds: Bool
        ) -> [Double] {
            let logits = (0 ..< keys).map { key in
                let (a, b) = ((query * heads + head) * width, (key * heads + head) * width)
                let dot = (0 ..< width).reduce(0) { $0 + Int(x.q[a + $1]) * Int(x.k[b + $1]) }
                return Double(dot) * Double(x.qScales[head * queries + query])
                    * Double(x.kScales[head * x.tiles + key / 128])
            }
            let most = logits.max() ?? 0
            let weights = logits.indices.map { key in
                guard rounds else { return exp2(logits[key] - most) }
                let tile = logits[key / 128 * 128 ..< min(keys, key / 128 * 128 + 128)].max() ?? 0
                return (255 * exp2(logits[key] - tile)).rounded() / 255 * exp2(tile - most)
            }
            let sum = weights.reduce(0, +)
            return (0 ..< width).map { channel in
                let row = (channel * heads + head) * x.tiles * 128
                let total = (0 ..< keys).reduce(0.0) { total, key in
                    let place = key / 16 * 16 + (order.firstIndex(of: key % 16) ?? 0)
                    return total + weights[key] * Double(x.v[row + place])
                }
                let all = heads * width
                return Double(x.channels[all + head * width + channel])
                    + Double(x.channels[2 * all + head * width + channel]) * total / sum
            }
        }

        @Test("their numbers give attention", arguments: [(5, 200), (130, 128), (3, 1)])
        func attention(queries: Int, keys: Int) {
            var random = SeededRandom(31)
            let all = heads * width
            // One channel of keys lies far off, and one is large, as trained models have them; so does one of values.
            var k = random.floats(keys * all, size: 2)
            var v = random.floats(keys * all)
            for i in stride(from: 0, to: k.count, by: width) {
                k[i + 77] += 20
                k[i + 5] *= 8
                v[i + 64] += 15
            }
            let (q, keyBits, values) = (random.floats(queries * all, size: 3).map(narrow), k.map(narrow), v.map(narrow))
            let x = round(q, keyBits, values)
            var (error, size) = (0.0, 0.0)
            for query in Set([0, queries / 2, queries - 1]) {
                for head in 0 ..< heads {
                    let found = attention(
                        x, query: query, head: head, queries: queries, keys: keys, rounds: false)
                    let logits = (0 ..< keys).map { key in
                        let (a, b) = ((query * heads + head) * width, (key * heads + head) * width)
                        return (0 ..< width).reduce(0.0) { $0 + wide(q[a + $1]) * wide(keyBits[b + $1]) }
                            / Double(width).squareRoot()
                    }
                    let most = logits.max() ?? 0
                    let weights = logits.map { exp($0 - most) }
                    let sum = weights.reduce(0, +)
                    for channel in 0 ..< width where channel != 64 {
                        let exact =
                            (0 ..< keys).reduce(0.0) {
                                $0 + weights[$1] * wide(values[($1 * heads + head) * width + channel])
                            } / sum
                        error += (found[channel] - exact) * (found[channel] - exact)
                        size += exact * exact
                    }
                }
            }
            // Logits of deviation 5: an error of a hundredth in them is one of a twentieth in weights.
            #expect((error / size).squareRoot() < 0.05, "\((error / size).squareRoot())")
        }

        @Test("the kernel multiplies them", arguments: [(5, 200), (130, 128), (1, 1), (129, 385)])
        func products(queries: Int, keys: Int) {
            var random = SeededRandom(35)
            let all = heads * width
            var q = random.floats(queries * all, size: 3).map(narrow)
            // A row of nonsense, in one head, spoils itself alone.
            let spoilt = queries > 1 ? 1 : nil
            if let spoilt { q[spoilt * all + width + 3] = 0x7FC0 }
            let v = random.floats(keys * all).map(narrow)
            let x = round(q, random.floats(keys * all, size: 2).map(narrow), v)
            var o = [UInt16](repeating: 0x7FC0, count: queries * all)
            swan_emulate_attention_int8_sm80(
                x.q, x.k, x.v, x.qScales, x.kScales, x.channels, &o, UInt32(queries), UInt32(keys), UInt32(heads))
            var (error, size) = (0.0, 0.0)
            for query in Set([0, 1, queries / 2, queries - 1]) where query < queries {
                for head in 0 ..< heads {
                    let first = query * all + head * width
                    let row = o[first ..< first + width].map(wide)
                    if query == spoilt && head == 1 {
                        let all = row.allSatisfy { $0.isNaN }
                        #expect(all)
                        continue
                    }
                    let formula = attention(
                        x, query: query, head: head, queries: queries, keys: keys, rounds: true)
                    for (found, exact) in zip(row, formula) {
                        error += (found - exact) * (found - exact)
                        size += exact * exact
                    }
                }
            }
            // In eight bits: the same, rounded to one of the numbers of a scale that none of v is too large for.
            var narrowed = [UInt8](repeating: 0x7F, count: queries * all)
            var scales = [Float](repeating: .nan, count: queries)
            swan_emulate_attention_int8_sm80_fp8(
                x.q, x.k, x.v, x.qScales, x.kScales, x.channels, &narrowed, x.bounds, &scales, UInt32(queries),
                UInt32(keys), UInt32(heads))
            let largest = v.map { abs(wide($0)) }.max() ?? 0
            #expect(scales.allSatisfy { $0 == Float(largest) / 448 })
            for (byte, bits) in zip(narrowed, o) {
                let value = wide(bits)
                let found = Double(EightBitFormat.fp8.decode(byte)) * largest / 448
                // A bit of bfloat16 may decide between two neighbours.
                let allowed = max(abs(value) * 0.0665, largest / 448 * 0x1p-9)
                let isRight = value.isNaN ? found.isNaN : abs(found - value) <= allowed
                if !isRight {
                    Issue.record("\(found) instead of \(value)")
                    return
                }
            }
            // The result is rounded to bfloat16, and a weight near a half may have been rounded the other way.
            #expect((error / size).squareRoot() < 0.003, "\((error / size).squareRoot())")
        }

        @Test(
            "results in eight bits of values that are none, endless or nothing", arguments: [Float.nan, .infinity, 0])
        func scales(value: Float) {
            var random = SeededRandom(37)
            let (queries, keys) = (3, 20)
            let all = heads * width
            var v = random.floats(keys * all).map { value == 0 ? 0 : narrow($0) }
            if value != 0 { v[5 * all + width + 9] = narrow(value) }
            let x = round(
                random.floats(queries * all).map(narrow), random.floats(keys * all).map(narrow), v)
            var bytes = [UInt8](repeating: 0xEE, count: queries * all)
            var scales = [Float](repeating: -1, count: queries)
            swan_emulate_attention_int8_sm80_fp8(
                x.q, x.k, x.v, x.qScales, x.kScales, x.channels, &bytes, x.bounds, &scales, UInt32(queries),
                UInt32(keys), UInt32(heads))
            if value == 0 {
                let scale = EightBitFormat.fp8.scale(largestBits: 0).scale
                #expect(scales.allSatisfy { $0 == scale } && bytes.allSatisfy { $0 & 0x7F == 0 })
            } else {
                // As of rows with such a number everywhere else.
                let isSpoilt = scales.allSatisfy { $0.isNaN }
                #expect(isSpoilt)
            }
        }

        /// Both are roundings of one number: they are next to each other, but for where one of them is at a half.
        @Test(
            "rows from before their norm give the numbers of rows behind it", arguments: [(5, 200), (130, 128), (3, 9)])
        func normed(queries: Int, keys: Int) {
            var random = SeededRandom(33)
            let all = heads * width
            let most = max(queries, keys)
            let angles = random.floats(most * width / 2).map { 3.2 * $0 }
            let norm = Norm(
                weight: random.floats(all).map { 1 + $0 / 2 }, cosines: angles.map(cosf), sines: angles.map(sinf))
            let (q, k) = (random.floats(queries * all, size: 3), random.floats(keys * all, size: 7))
            let v = random.floats(keys * all).map(narrow)
            let (queryBits, keyBits) = (q.map(narrow), k.map(narrow))
            func turned(_ x: [UInt16]) -> [Double] {
                var y = [Double](repeating: 0, count: x.count)
                for row in 0 ..< x.count / all {
                    let values = x[row * all ..< (row + 1) * all].map(wide)
                    let factor = 1 / (values.reduce(0) { $0 + $1 * $1 } / Double(all) + 1e-6).squareRoot()
                    for i in stride(from: 0, to: all, by: 2) {
                        let angle = row * width / 2 + i % width / 2
                        let (c, s) = (Double(norm.cosines[angle]), Double(norm.sines[angle]))
                        let a = values[i] * factor * Double(norm.weight[i])
                        let b = values[i + 1] * factor * Double(norm.weight[i + 1])
                        (y[row * all + i], y[row * all + i + 1]) = (a * c - b * s, a * s + b * c)
                    }
                }
                return y
            }
            // The numbers of channels before the rotation and behind it, as the registers of the matrix units have them.
            let before = (0 ..< width).map { channel in
                let (part, thread, place) = (channel / 32, channel % 32 / 8, channel % 8)
                return 16 * (2 * part + place / 4) + 2 * thread + place % 2 + 8 * (place / 2 % 2)
            }
            let behind = (0 ..< width).map { channel in
                let (thread, place) = (channel % 64 / 16, channel / 64 * 16 + channel % 16)
                return 16 * (place / 4) + 8 * (place / 2 % 2) + 2 * thread + place % 2
            }
            #expect(before.sorted() == Array(0 ..< width) && behind.sorted() == Array(0 ..< width))
            func rotated(_ x: ArraySlice<Double>) -> [Double] {
                let x = x.map { wide(narrow(Float($0))) }
                return behind.map { i in
                    (0 ..< width).reduce(0) { $0 + ((i & before[$1]).nonzeroBitCount % 2 == 0 ? x[$1] : -x[$1]) }
                }
            }
            let found = round(queryBits, keyBits, v, norm)
            let (exactQueries, exactKeys) = (turned(queryBits), turned(keyBits))
            let scale = Double(1 / Float(width).squareRoot() * 1.442695041 / 128)
            for head in 0 ..< heads {
                for query in 0 ..< queries {
                    let place = (query * heads + head) * width
                    let exact = rotated(exactQueries[place ..< place + width])
                    let step = (exact.map(abs).max() ?? 0) / 127
                    #expect(abs(Double(found.qScales[head * queries + query]) / (step * scale) - 1) < 2e-3)
                    for i in 0 ..< width { #expect(abs(Double(found.q[place + i]) - exact[i] / step) < 0.6) }
                }
                // The mean of every eighth key.
                let sampled = stride(from: 0, to: keys, by: 8)
                let mean = (0 ..< width).map { i in
                    sampled.reduce(0.0) { $0 + exactKeys[($1 * heads + head) * width + i] } / Double((keys + 7) / 8)
                }
                for tile in 0 ..< (keys + 127) / 128 {
                    let rows = (tile * 128 ..< min(keys, tile * 128 + 128)).map { key in
                        let place = (key * heads + head) * width
                        return rotated(zip(exactKeys[place ..< place + width], mean).map { $0 - $1 }[...])
                    }
                    let step = (rows.joined().map(abs).max() ?? 0) / 127
                    #expect(abs(Double(found.kScales[head * found.tiles + tile]) / step - 1) < 2e-3)
                    for (row, exact) in rows.enumerated() {
                        let place = ((tile * 128 + row) * heads + head) * width
                        for i in 0 ..< width { #expect(abs(Double(found.k[place + i]) - exact[i] / step) < 0.6) }
                    }
                }
            }
        }

        @Test("a NaN spoils, among the queries, its own scale, among keys that of its tile, among values its channel")
        func notANumber() {
            var random = SeededRandom(32)
            let (queries, keys) = (4, 130)
            let all = heads * width
            var q = random.floats(queries * all).map(narrow)
            var k = random.floats(keys * all).map(narrow)
            var v = random.floats(keys * all).map(narrow)
            q[(2 * heads + 1) * width + 7] = 0x7FC0
            k[(129 * heads + 2) * width + 9] = 0x7FC0
            v[(3 * heads + 0) * width + 11] = 0x7FC0
            let x = round(q, k, v)
            for head in 0 ..< heads {
                for query in 0 ..< queries {
                    #expect(x.qScales[head * queries + query].isNaN == (head == 1 && query == 2))
                }
                for tile in 0 ..< 2 { #expect(x.kScales[head * 2 + tile].isNaN == (head == 2 && tile == 1)) }
                for channel in 0 ..< width {
                    let isSpoilt = head == 0 && channel == 11
                    #expect(x.channels[all + head * width + channel].isNaN == isSpoilt)
                }
            }
        }

        @Test("values that are all alike, and rows of nothing, have no step")
        func nothing() {
            let all = heads * width
            let q = [UInt16](repeating: 0, count: 2 * all)
            let k = [UInt16](repeating: narrow(3), count: 20 * all)
            let v = [UInt16](repeating: narrow(-7), count: 20 * all)
            let x = round(q, k, v)
            #expect(x.qScales.allSatisfy { $0 == 0 } && x.q.allSatisfy { $0 == 0 })
            #expect(x.channels[2 * all ..< 3 * all].allSatisfy { $0 == 0 })
            let found = attention(x, query: 1, head: 2, queries: 2, keys: 20, rounds: true)
            #expect(found.allSatisfy { $0 == -7 })
            // Behind the last key there is nothing.
            for row in 0 ..< all { #expect(x.v[row * 128 + 32 ..< (row + 1) * 128].allSatisfy { $0 == 0 }) }
        }
    }
}
