import CKernelEmulation
import Foundation
import SwanTensor
import SwanTestSupport
import Testing

/// A bfloat16 value, the upper half of a float.
private func wide(_ bits: UInt16) -> Double { Double(Float(bitPattern: UInt32(bits) << 16)) }

private func narrow(_ value: Float) -> UInt16 {
    UInt16(truncatingIfNeeded: (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) >> 16)
}

/// Half the distance from 1 to bfloat16's next value.
private let roundoff = 0x1p-8

/// The kernels' text, run on the host thread by thread: index maps, tiles, fragments of matrix instructions, waits for
/// copies and order of sums are those of the GPU. One test at a time: a block's shared memory is one for the process.
@Suite("Kernels compute what they say", .serialized)
struct KernelArithmeticTests {
    typealias Attention = (
        UnsafePointer<UInt16>?, UnsafePointer<UInt16>?, UnsafePointer<UInt16>?, UnsafePointer<Float>?,
        UnsafeMutablePointer<UInt16>?, UInt32, UInt32, UInt32, UInt64, UInt64, Float
    ) -> Void

    enum Bias: String, CaseIterable {
        case full, perKey, mostKeysRemoved, aQueryWithoutKeys
    }

    static func compare(_ run: Attention, width: Int, queries: Int, keys: Int, heads: Int, bias form: Bias?) {
        var random = SeededRandom(UInt64(width + queries))
        let q = random.floats(queries * heads * width, size: 3).map(narrow)
        let k = random.floats(keys * heads * width, size: 2).map(narrow)
        let v = random.floats(keys * heads * width).map(narrow)
        var bias = random.floats(heads * queries * keys, size: 3)
        var (headStride, queryStride) = (queries * keys, keys)
        switch form {
        case .perKey: (headStride, queryStride) = (0, 0)
        case .mostKeysRemoved:
            for i in bias.indices where i % keys < keys / 2 || i % keys > keys / 2 + 3 { bias[i] = -.infinity }
        case .aQueryWithoutKeys:
            for i in bias.indices where i / keys % queries == queries / 2 { bias[i] = -.infinity }
        default: break
        }
        var o = [UInt16](repeating: 0xFFFF, count: q.count)
        let scale = 1 / Float(width).squareRoot()
        run(
            q, k, v, bias, &o, UInt32(queries), UInt32(keys), UInt32(heads), UInt64(headStride), UInt64(queryStride),
            scale)

        var (exact, sizes) = ([Double](repeating: 0, count: o.count), [Double](repeating: 0, count: o.count))
        for head in 0 ..< heads {
            for query in 0 ..< queries {
                let row = (query * heads + head) * width
                let logits = (0 ..< keys).map { key in
                    let other = (key * heads + head) * width
                    let dot = (0 ..< width).reduce(0.0) { $0 + wide(q[row + $1]) * wide(k[other + $1]) }
                    return dot * Double(scale)
                        + (form == nil ? 0 : Double(bias[head * headStride + query * queryStride + key]))
                }
                let largest = logits.max() ?? 0
                let weights = logits.map { exp($0 - largest) }
                let total = weights.reduce(0, +)
                for i in 0 ..< width {
                    for key in 0 ..< keys {
                        let term = weights[key] / total * wide(v[(key * heads + head) * width + i])
                        exact[row + i] += term
                        sizes[row + i] += abs(term)
                    }
                }
            }
        }
        // Each weight is rounded once, and the result.
        let distance = Distance(o.map { Float(wide($0)) }, from: exact) {
            roundoff * (sizes[$0] + abs(exact[$0])) + 1e-5
        }
        #expect(distance.isExplained, "\(queries)x\(keys), bias \(form?.rawValue ?? "none"): \(distance)")
    }

    @Test(
        "attention", arguments: [[1, 1, 1], [70, 203, 2], [130, 33, 1], [33, 300, 1]])
    func attention(size: [Int]) {
        let (queries, keys, heads) = (size[0], size[1], size[2])
        Self.compare(swan_emulate_attention_64, width: 64, queries: queries, keys: keys, heads: heads, bias: nil)
        Self.compare(swan_emulate_attention_128, width: 128, queries: queries, keys: keys, heads: heads, bias: nil)
        for form in Bias.allCases {
            Self.compare(
                swan_emulate_attention_64_bias, width: 64, queries: queries, keys: keys, heads: heads, bias: form)
        }
        Self.compare(
            swan_emulate_attention_96_parts, width: 96, queries: queries, keys: keys, heads: heads, bias: .perKey)
    }

    @Test("add and addGated change x alone, rows beyond the grid in turns")
    func residuals() {
        var random = SeededRandom(8)
        let (rows, width, perGroup) = (6, 1284, 2)
        let count = rows * width
        let (y, x) = (random.floats(count).map(narrow), random.floats(count + 4))
        let gate = random.floats(rows / perGroup * width)
        var (sum, gated) = (x, x)
        swan_emulate_add_bfloat16(y, &sum, UInt64(count))
        swan_emulate_add_gated_1284(y, gate, &gated, UInt32(rows), UInt32(perGroup), 4)
        for i in 0 ..< count {
            let (a, b, g) = (Double(x[i]), wide(y[i]), Double(gate[i / width / perGroup * width + i % width]))
            #expect(sum[i] == Float(a + b), "\(i)")
            #expect(abs(Double(gated[i]) - (a + b * g)) <= 0x1p-24 * (abs(a + b * g) + abs(b * g)), "\(i)")
        }
        #expect(sum.suffix(4) == x.suffix(4) && gated.suffix(4) == x.suffix(4))
    }

    @Test("layerNormModulate", arguments: HardRows.allCases)
    func modulate(kind: HardRows) {
        var random = SeededRandom(5)
        for width in [1284, 203] {
            let (rows, perGroup) = (6, 2)
            let x = (0 ..< rows).flatMap { _ in kind.values(width, &random) }
            let (shift, scale) = (random.floats(3 * width), random.floats(3 * width))
            var y = [UInt16](repeating: 0xFFFF, count: x.count)
            let run = width == 203 ? swan_emulate_modulate_203 : swan_emulate_modulate_1284
            run(x, shift, scale, &y, UInt32(rows), UInt32(perGroup), 1e-6)
            var (exact, bounds): ([Double], [Double]) = ([], [])
            for row in 0 ..< rows {
                let values = x[row * width ..< (row + 1) * width].map(Double.init)
                let mean = values.reduce(0, +) / Double(width)
                let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
                let factor = 1 / (variance + Double(Float(1e-6))).squareRoot()
                let largest = values.map(abs).max() ?? 0
                for i in 0 ..< width {
                    let place = row / perGroup * width + i
                    let value = (values[i] - mean) * factor * (1 + Double(scale[place])) + Double(shift[place])
                    exact.append(value)
                    bounds.append((4 * largest * factor + 16 * (abs(value) + 2)) * 0x1p-24 + roundoff * abs(value))
                }
            }
            let distance = Distance(y.map { Float(wide($0)) }, from: exact) { bounds[$0] }
            #expect(distance.isExplained, "\(width): \(distance)")
        }
    }

    /// What rounding does to the norm of hard rows, the test of layerNormModulate shows.
    @Test("the norm of a sum is that of the sum, bit by bit", arguments: [203, 1284])
    func normsOfSums(width: Int) {
        var random = SeededRandom(9)
        let (rows, perGroup) = (6, 2)
        let count = rows * width
        var y = random.floats(count).map(narrow)
        y[4 * width + width / 2] = 0x7FC0
        let x = random.floats(count, size: 3)
        let modulate = width == 203 ? swan_emulate_modulate_203 : swan_emulate_modulate_1284
        func expectNorm(of x: [Float], _ shift: [Float], _ scale: [Float], _ perGroup: Int, _ found: [UInt16]) {
            var exact = [UInt16](repeating: 0xFFFF, count: count)
            modulate(x, shift, scale, &exact, UInt32(rows), UInt32(perGroup), 1e-6)
            #expect(found == exact)
            // The NaN is in the fifth row's norm, whole.
            #expect((0 ..< count).allSatisfy { wide(found[$0]).isNaN == ($0 / width == 4) })
        }

        let (shift, scale) = (random.floats(3 * width), random.floats(3 * width))
        let gate = random.floats(3 * width)
        var (sum, h) = (x, [UInt16](repeating: 0xFFFF, count: count))
        func expectSum(isGated: Bool) {
            for i in 0 ..< count where i != 4 * width + width / 2 {
                let factor = isGated ? Double(gate[i / width / perGroup * width + i % width]) : 1
                let (a, b) = (Double(x[i]), wide(y[i]) * factor)
                #expect(abs(Double(sum[i]) - (a + b)) <= 0x1p-24 * (abs(a + b) + (isGated ? abs(b) : 0)), "\(i)")
            }
        }
        // Only the narrower rows have a gate; the others' kernel reads none.
        let run = width == 203 ? swan_emulate_add_layer_norm_modulate_203 : swan_emulate_add_layer_norm_modulate_1284
        run(y, width == 203 ? gate : nil, &sum, shift, scale, &h, UInt32(rows), UInt32(perGroup), 1e-6)
        expectSum(isGated: width == 203)
        expectNorm(of: sum, shift, scale, perGroup, h)

        // A modulation by weights less 1, which is exact between 1/2 and 2, is a norm with affine weights.
        let (weight, bias) = (random.floats(width).map { 1.25 + $0 / 2 }, random.floats(width))
        sum = x
        let runGated = width == 203 ? swan_emulate_add_gated_layer_norm_203 : swan_emulate_add_gated_layer_norm_1284
        runGated(y, gate, &sum, weight, bias, &h, UInt32(rows), UInt32(perGroup), 1e-6)
        expectSum(isGated: true)
        expectNorm(of: sum, bias, weight.map { $0 - 1 }, rows, h)
    }

    @Test("rmsNormRope")
    func rope() {
        var random = SeededRandom(6)
        let (rows, width, pairs) = (7, 384, 32)
        let x = random.floats(rows * width, size: 3).map(narrow)
        let weight = random.floats(width)
        let (cosines, sines) = (random.floats(rows * pairs), random.floats(rows * pairs))
        var y = [UInt16](repeating: 0xFFFF, count: x.count)
        swan_emulate_rope_384(x, weight, cosines, sines, &y, UInt32(rows), 1e-6)
        var exact = [Double](repeating: 0, count: x.count)
        for row in 0 ..< rows {
            let values = x[row * width ..< (row + 1) * width].map(wide)
            let factor = 1 / (values.reduce(0) { $0 + $1 * $1 } / Double(width) + 1e-6).squareRoot()
            for i in stride(from: 0, to: width, by: 2) {
                let angle = row * pairs + i / 2 % pairs
                let (c, s) = (Double(cosines[angle]), Double(sines[angle]))
                let (a, b) = (values[i] * factor * Double(weight[i]), values[i + 1] * factor * Double(weight[i + 1]))
                (exact[row * width + i], exact[row * width + i + 1]) = (a * c - b * s, a * s + b * c)
            }
        }
        let distance = Distance(y.map { Float(wide($0)) }, from: exact) { roundoff * abs(exact[$0]) + 64 * 0x1p-24 }
        #expect(distance.isExplained, "\(distance)")
    }

    @Test("normSiLU keeps zeros and history in front, and a NaN in its place")
    func normSiLU() {
        var random = SeededRandom(7)
        let (channels, zeros, kept, positions) = (96, 7, 5, 37)
        var x = random.floats(positions * channels).map(narrow)
        for i in 0 ..< channels { x[3 * channels + i] = 0 }
        x[5 * channels + 1] = 0x7FC0
        let gamma = random.floats(channels)
        let history = random.floats(kept * channels).map(narrow)
        var y = [UInt16](repeating: 0xFFFF, count: (zeros + kept + positions) * channels)
        swan_emulate_norm_silu_96(x, gamma, history, &y, UInt64(zeros), UInt64(zeros + kept), UInt64(positions))
        var exact = [Double](repeating: 0, count: zeros * channels) + history.map(wide)
        for position in 0 ..< positions {
            let values = x[position * channels ..< (position + 1) * channels].map(wide)
            let length = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
            for i in 0 ..< channels {
                let divisor = length < 1e-12 ? 1e-12 : length
                let z = values[i] / divisor * Double(channels).squareRoot() * Double(gamma[i])
                exact.append(z / (1 + exp(-z)))
            }
        }
        let distance = Distance(y.map { Float(wide($0)) }, from: exact) {
            $0 < (zeros + kept) * channels ? 0 : roundoff * abs(exact[$0]) + 1e-5 * abs(exact[$0]) + 1e-30
        }
        #expect(distance.isExplained, "\(distance)")
    }

    @Test("noise is the host's, bit by bit")
    func noise() throws {
        for (seed, mean) in [(UInt32(0), Float(0)), (3, 1), (.max, -0.3)] {
            let noise = Noise(seed: seed, deviation: 0.02, mean: mean)
            for first in [0, 5, 1 << 33] {
                let count = 1024
                let places = noise.dropping(first)
                var narrowed = [UInt16](repeating: 0xFFFF, count: count + 1)
                swan_emulate_noise_bfloat16(
                    &narrowed, UInt64(count), UInt64(first), UInt64(seed), noise.mean, noise.scale)
                #expect(narrowed.last == 0xFFFF)
                #expect(
                    try narrowed.dropLast().map { Float(wide($0)) }
                        == HostTensor([count], .bfloat16, places).floats(), "\(seed), \(first)")
                var floats = [Float](repeating: .nan, count: 203)
                swan_emulate_noise_float(&floats, 203, UInt64(first), UInt64(seed), noise.mean, noise.scale)
                #expect(try floats == HostTensor([203], .float32, places).floats(), "\(seed), \(first)")
            }
        }
    }
}
