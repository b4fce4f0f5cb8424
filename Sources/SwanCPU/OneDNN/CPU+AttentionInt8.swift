public import SwanDiagnostics
public import SwanTensor

extension CPUBackend {
    /// See `AttentionOps.attentionKernel`.
    public var attentionKernel: String { tokenAttention.rawValue }

    /// See `AttentionOps.isAttentionExact`.
    public var isAttentionExact: Bool { tokenAttention == .exact }

    /// See `AttentionOps.fusesSelfAttention(tokens:heads:width:)`.
    public func fusesSelfAttention(tokens: Int, heads: Int, width: Int) -> Bool { tokenAttention == .int8 }

    /// See `AttentionOps.selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:)`.
    public func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float
    ) throws(SwanError) -> Tensor {
        guard tokenAttention == .int8, scale > 0 else {
            return try attentionBehindNorms(
                q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale)
        }
        let shapes = try SelfAttentionShapes(
            q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, activation: activationType)
        let (tokens, heads, width) = (shapes.attention.queries, shapes.attention.heads, shapes.attention.width)
        let normedQueries = try rmsNormRope(
            q.reshaped(shapes.rows), weight: queryNorm.weight, eps: queryNorm.eps, rope: rope)
        let normedKeys = try rmsNormRope(
            k.reshaped(shapes.rows), weight: keyNorm.weight, eps: keyNorm.eps, rope: rope)
        let (queries, keys, values) = (try floats(normedQueries), try floats(normedKeys), try floats(v))
        let (result, target) = try result([tokens, heads, width])
        let stride = heads * width
        var rounded = [EightBitHead?](repeating: nil, count: heads)
        rounded.withUnsafeMutableBufferPointer { rounded in
            library.parallel(heads) { head, _ in
                rounded[head] = EightBitHead(
                    keys: keys + head * width, values: values + head * width, stride: stride, count: tokens,
                    width: width)
            }
        }
        // Queries that one core takes at a time.
        let (length, ready) = (16, rounded)
        let parts = (tokens + length - 1) / length
        library.parallel(heads * parts) { index, _ in
            let (head, first) = (index / parts, index % parts * length)
            for query in first ..< min(first + length, tokens) {
                let place = query * stride + head * width
                ready[head]?.attend(queries + place, scale: scale, into: target + place)
            }
        }
        // Until here: their memory was read by its address.
        return withExtendedLifetime((normedQueries, normedKeys)) { result }
    }
}
