import Foundation
import SwanTensor
import SwanTestSupport
import Testing

@Suite("Attention")
struct AttentionTests {
    struct Size: CustomStringConvertible, Sendable {
        let queries, keys, heads, width: Int
        var description: String { "\(queries)×\(keys), \(heads) heads of \(width)" }
    }

    /// The forms that a bias comes in.
    enum Bias: String, CaseIterable, Sendable {
        case none, perKey, perHead, perQuery, full
        /// Whole tiles of keys removed, in front and behind.
        case mostlyRemoved
        /// A query without any key.
        case fullyMasked
    }

    static let sizes = [
        Size(queries: 1, keys: 1, heads: 1, width: 1), Size(queries: 113, keys: 203, heads: 3, width: 32),
        Size(queries: 203, keys: 113, heads: 2, width: 64), Size(queries: 7, keys: 1100, heads: 2, width: 128),
        Size(queries: 100, keys: 1023, heads: 1, width: 96), Size(queries: 50, keys: 61, heads: 1, width: 384),
        Size(queries: 5, keys: 18, heads: 3, width: 20),
    ]

    static func bias(_ form: Bias, _ size: Size, _ random: inout SeededRandom) -> (Shape, [Float])? {
        let (heads, queries, keys) = (size.heads, size.queries, size.keys)
        let shape: Shape =
            switch form {
            case .none: []
            case .perKey, .mostlyRemoved: [1, 1, keys]
            case .perHead: [heads, 1, keys]
            case .perQuery, .fullyMasked: [1, queries, keys]
            case .full: [heads, queries, keys]
            }
        guard form != .none else { return nil }
        var values = random.floats(shape.count, size: 3)
        switch form {
        case .mostlyRemoved:
            for key in 0 ..< keys where key < keys / 2 || key > keys / 2 + 3 { values[key] = -.infinity }
        case .fullyMasked:
            for key in 0 ..< keys { values[queries / 2 * keys + key] = -.infinity }
        default: break
        }
        return (shape, values)
    }

    @Test("matches the formula", arguments: TestDevice.requested, sizes)
    func parity(device: TestDevice, size: Size) throws {
        let backend = try device.open()
        var random = SeededRandom(11)
        let (heads, width) = (size.heads, size.width)
        // Logits of a size that gives weights of very different sizes.
        let (q, qs) = try backend.place(
            random.floats(size.queries * heads * width, size: 4), [size.queries, heads, width])
        let (k, ks) = try backend.place(random.floats(size.keys * heads * width, size: 2), [size.keys, heads, width])
        let (v, vs) = try backend.place(random.floats(size.keys * heads * width), [size.keys, heads, width])
        let scale = 1 / Float(width).squareRoot()
        for form in Bias.allCases {
            let bias = Self.bias(form, size, &random)
            let biasTensor = try bias.map { try backend.place($0.1, $0.0, as: .float32).0 }
            let result = try backend.attention(q: q, k: k, v: v, scale: scale, bias: biasTensor)
            #expect(result.shape == q.shape)

            var exact = [Double](repeating: 0, count: qs.count)
            var sizes = exact
            for head in 0 ..< heads {
                for query in 0 ..< size.queries {
                    var logits = [Double](repeating: 0, count: size.keys)
                    for key in 0 ..< size.keys {
                        let dot = (0 ..< width).reduce(0.0) {
                            $0 + qs[(query * heads + head) * width + $1] * ks[(key * heads + head) * width + $1]
                        }
                        logits[key] = dot * Double(scale)
                        if let (shape, values) = bias {
                            let place = (shape[0] == 1 ? 0 : head) * shape[1] + (shape[1] == 1 ? 0 : query)
                            logits[key] += Double(values[place * size.keys + key])
                        }
                    }
                    let largest = logits.max() ?? 0
                    let weights = logits.map { exp($0 - largest) }
                    let sum = weights.reduce(0, +)
                    for i in 0 ..< width {
                        let place = (query * heads + head) * width + i
                        for key in 0 ..< size.keys {
                            let value = vs[(key * heads + head) * width + i]
                            exact[place] += weights[key] / sum * value
                            sizes[place] += weights[key] / sum * abs(value)
                        }
                    }
                }
            }
            // A logit's rounding error moves its weight by as much: |logit| is at most 8 sqrt(width) + 3
            // here, rounded a few times; sums over keys add sqrt(keys).
            let growth = 8 * (8 * Double(width).squareRoot() + 3) + 2 * Double(size.keys).squareRoot()
            let distance = Distance(try backend.download(result), from: exact) {
                growth * 0x1p-24 * sizes[$0]
                    + backend.activationType.unitRoundoff
                    * (abs(exact[$0]) + (backend.activationType == .float32 ? 0 : 2 * sizes[$0]))
            }
            #expect(distance.isExplained, "\(form): \(distance)")
        }
    }

    /// What its parts do, other tests show.
    @Test("of rows from before their norms is that of rows behind them", arguments: TestDevice.requested)
    func selfAttention(device: TestDevice) throws {
        let backend = try device.open()
        var random = SeededRandom(12)
        for (tokens, heads, width) in [(50, 3, 32), (1, 1, 2), (33, 2, 128)] {
            let (all, shape) = (heads * width, [tokens, heads, width] as Shape)
            let (q, _) = try backend.place(random.floats(tokens * all, size: 3), shape)
            let (k, _) = try backend.place(random.floats(tokens * all, size: 5), shape)
            let (v, _) = try backend.place(random.floats(tokens * all), shape)
            func norm(_ eps: Float) throws -> RowNorm {
                RowNorm(weight: try backend.place(random.floats(all), [all], as: .float32).0, eps: eps)
            }
            let (queryNorm, keyNorm) = (try norm(1e-6), try norm(0.5))
            let angles = random.floats(tokens * width / 2, size: 3)
            let rope = RotaryTable(
                cosines: try backend.place(angles.map(cosf), [tokens, width / 2], as: .float32).0,
                sines: try backend.place(angles.map(sinf), [tokens, width / 2], as: .float32).0)
            func normed(_ x: Tensor, _ norm: RowNorm) throws -> Tensor {
                try backend.rmsNormRope(x.reshaped([tokens, all]), weight: norm.weight, eps: norm.eps, rope: rope)
                    .reshaped(shape)
            }
            let whole = try backend.selfAttention(
                q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: 0.3)
            let parts = try backend.attention(
                q: normed(q, queryNorm), k: normed(k, keyNorm), v: v, scale: 0.3, bias: nil)
            #expect(whole.shape == shape && whole.dtype == backend.activationType)
            #expect(try backend.download(whole).map(\.bitPattern) == backend.download(parts).map(\.bitPattern))
        }
    }

    @Test("refuses broken contracts", arguments: TestDevice.requested)
    func contracts(device: TestDevice) throws {
        let backend = try device.open()
        let q = try backend.zeros([3, 2, 8], backend.activationType)
        let k = try backend.zeros([5, 2, 8], backend.activationType)
        let bias = try backend.zeros([1, 2, 5], .float32)
        expectMismatch("attention: bias has shape [1, 2, 5], expected [2 or 1, 3 or 1, 5].") {
            _ = try backend.attention(q: q, k: k, v: k, scale: 1, bias: bias)
        }
        expectMismatch("attention: v has shape [3, 2, 8], expected [5, 2, 8].") {
            _ = try backend.attention(q: q, k: k, v: q, scale: 1, bias: nil)
        }
        expectMismatch("attention: k has shape [0, 2, 8], which holds no element.") {
            let none = try k.rows(0 ..< 0)
            _ = try backend.attention(q: q, k: none, v: none, scale: 1, bias: nil)
        }
        let norm = RowNorm(weight: try backend.zeros([16], .float32), eps: 1e-6)
        let angles = try backend.zeros([3, 4], .float32)
        func refused(
            _ text: String, k: Tensor? = nil, keyNorm: RowNorm? = nil, sines: Tensor? = nil
        ) {
            expectMismatch(text) {
                _ = try backend.selfAttention(
                    q: q, k: k ?? q, v: q, queryNorm: norm, keyNorm: keyNorm ?? norm,
                    rope: RotaryTable(cosines: angles, sines: sines ?? angles), scale: 1)
            }
        }
        refused("selfAttention: k has shape [5, 2, 8], expected [3, 2, 8].", k: k)
        refused(
            "selfAttention: keyNorm.weight has shape [8], expected [16].",
            keyNorm: RowNorm(weight: try backend.zeros([8], .float32), eps: 1))
        refused(
            "selfAttention: rope.sines has shape [3, 8], expected [3, 4].", sines: try backend.zeros([3, 8], .float32))
    }
}
