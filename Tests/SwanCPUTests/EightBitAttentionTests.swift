import Foundation
import SwanCPU
import SwanTensor
import SwanTestSupport
import Testing

@Suite("Attention in eight bits on the CPU")
struct EightBitAttentionTests {
    private struct Case {
        let tokens, heads, width: Int
        var q, k, v: [Float]
        let weights, angles: [Float]

        init(_ tokens: Int, _ heads: Int, _ width: Int) {
            (self.tokens, self.heads, self.width) = (tokens, heads, width)
            var random = SeededRandom(51)
            let count = tokens * heads * width
            (q, k, v) = (random.floats(count), random.floats(count), random.floats(count))
            // As trained models have them: a channel of keys far off, one that is large, and values around something.
            for i in stride(from: 0, to: count, by: width) {
                k[i + 3] += 9
                k[i + 5] *= 4
                v[i + 7] += 15
            }
            weights = random.floats(heads * width).map { 1 + $0 / 2 }
            angles = random.floats(tokens * width / 2).map { 3 * $0 }
        }

        /// Queries and keys behind their norms, values, and the result, `[tokens, heads, width]`.
        func run(_ attention: CPUAttention) throws -> (q: [Float], k: [Float], result: [Float]) {
            let backend = try CPUBackend(attention: attention)
            #expect(backend.fusesSelfAttention(tokens: tokens, heads: heads, width: width) == (attention == .int8))
            #expect(backend.isAttentionExact == (attention == .exact) && backend.attentionKernel == attention.rawValue)
            func put(_ values: [Float], _ shape: Shape) throws -> Tensor {
                try backend.upload(HostTensor(shape, values), as: .float32)
            }
            let shape: Shape = [tokens, heads, width]
            let (q, k, v) = (try put(q, shape), try put(k, shape), try put(v, shape))
            let norm = RowNorm(weight: try put(weights, [heads * width]), eps: 1e-6)
            let rope = RotaryTable(
                cosines: try put(angles.map(cosf), [tokens, width / 2]),
                sines: try put(angles.map(sinf), [tokens, width / 2]))
            func normed(_ x: Tensor) throws -> [Float] {
                try backend.download(
                    backend.rmsNormRope(
                        x.reshaped([tokens, heads * width]), weight: norm.weight, eps: norm.eps, rope: rope))
            }
            let result = try backend.selfAttention(
                q: q, k: k, v: v, queryNorm: norm, keyNorm: norm, rope: rope, scale: 1 / Float(width).squareRoot())
            return (try normed(q), try normed(k), try backend.download(result))
        }

        /// The roundings, as `docs/attention.md` describes them, in double precision.
        func formula(_ q: [Float], _ k: [Float], query: Int, head: Int) -> [Double] {
            let block = EightBitCoding.rotatedInt8.block(of: width)
            func row(_ x: [Float], _ token: Int) -> [Double] {
                (0 ..< width).map { Double(x[(token * heads + head) * width + $0]) }
            }
            func rotated(_ x: [Double]) -> [Double] {
                x.indices.map { i in
                    (0 ..< block).reduce(0) {
                        $0 + Double(EightBitCoding.element(i % block, $1)) * x[i / block * block + $1]
                    }
                }
            }
            func rounded(_ x: [Double], _ step: Double) -> [Double] {
                x.map { ($0 / step).rounded(.toNearestOrEven) * step }
            }
            let sampled = stride(from: 0, to: tokens, by: 8).map { row(k, $0) }
            let mean = (0 ..< width).map { i in sampled.reduce(0) { $0 + $1[i] } / Double(sampled.count) }
            let turned = rotated(row(q, query))
            let a = rounded(turned, (turned.map(abs).max() ?? 0) / 127)
            var (weights, most): ([Double], Double) = ([], -.infinity)
            var tiles: [(logits: [Double], most: Double)] = []
            for first in stride(from: 0, to: tokens, by: 128) {
                let rows = (first ..< min(first + 128, tokens)).map { rotated(zip(row(k, $0), mean).map { $0 - $1 }) }
                let step = (rows.joined().map(abs).max() ?? 0) / 127
                let logits = rows.map { b in
                    zip(a, rounded(b, step)).reduce(0) { $0 + $1.0 * $1.1 } / Double(block)
                        / Double(width).squareRoot()
                }
                tiles.append((logits, logits.max() ?? 0))
                most = max(most, logits.max() ?? 0)
            }
            for tile in tiles {
                weights += tile.logits.map {
                    (255 * exp($0 - tile.most)).rounded() / 255 * exp(tile.most - most)
                }
            }
            let sum = weights.reduce(0, +)
            return (0 ..< width).map { channel in
                let values = (0 ..< tokens).map { Double(v[($0 * heads + head) * width + channel]) }
                let (least, most) = (values.min() ?? 0, values.max() ?? 0)
                let (middle, step) = ((least + most) / 2, (most - least) / 254)
                let total = zip(weights, values).reduce(0) { $0 + $1.0 * (($1.1 - middle) / step).rounded() * step }
                return middle + total / sum
            }
        }
    }

    private func distance(_ a: [Float], _ b: [Float], width: Int) -> Double {
        // Values around something say nothing of errors.
        let kept = a.indices.filter { $0 % width != 7 }
        let error = kept.reduce(0.0) { $0 + Double(a[$1] - b[$1]) * Double(a[$1] - b[$1]) }
        return (error / kept.reduce(0.0) { $0 + Double(b[$1]) * Double(b[$1]) }).squareRoot()
    }

    @Test("rounds what a GPU's kernels round", arguments: [(300, 2, 64), (130, 3, 128), (9, 1, 32)])
    func formula(tokens: Int, heads: Int, width: Int) throws {
        let given = Case(tokens, heads, width)
        let (q, k, found) = try given.run(.int8)
        var (error, size) = (0.0, 0.0)
        for query in Set([0, tokens / 2, tokens - 1]) {
            for head in 0 ..< heads {
                let exact = given.formula(q, k, query: query, head: head)
                for channel in 0 ..< width where channel != 7 {
                    let value = Double(found[(query * heads + head) * width + channel])
                    error += (value - exact[channel]) * (value - exact[channel])
                    size += exact[channel] * exact[channel]
                }
            }
        }
        // A number near a half may have been rounded the other way.
        #expect((error / size).squareRoot() < 0.003, "\((error / size).squareRoot())")
        let (_, _, exact) = try given.run(.exact)
        let share = distance(found, exact, width: width)
        #expect(share > 0.002 && share < 0.04, "\(share)")
    }

    @Test("a NaN spoils its query, and among values its channel")
    func notANumber() throws {
        let (tokens, heads, width) = (140, 2, 32)
        var given = Case(tokens, heads, width)
        given.q[(5 * heads + 1) * width + 4] = .nan
        given.v[(20 * heads + 1) * width + 9] = .nan
        let found = try given.run(.int8).result
        for (i, value) in found.enumerated() {
            let (token, head, channel) = (i / width / heads, i / width % heads, i % width)
            // A row's norm is over all heads.
            #expect(value.isNaN == (token == 5 || head == 1 && channel == 9), "\(i)")
        }
    }

    @Test("values that are alike, and queries of nothing")
    func nothing() throws {
        var given = Case(20, 1, 16)
        given.q = given.q.map { _ in 0 }
        given.v = given.v.map { _ in -7 }
        #expect(try given.run(.int8).result.allSatisfy { $0 == -7 })
    }
}
