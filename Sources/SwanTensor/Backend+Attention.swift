public import SwanDiagnostics

/// Attention.
public protocol AttentionOps {
    /// `softmax(q k^T * scale + bias) v` for each head; exact, no mask but `bias`.
    ///
    /// - Parameters:
    ///   - q: activations `[queries, heads, width]`.
    ///   - k: activations `[keys, heads, width]`, at least one key.
    ///   - v: activations `[keys, heads, width]`.
    ///   - scale: multiplies the logits; `1 / sqrt(width)` in Wan, 1 in UMT5.
    ///   - bias: float32, added to the scaled logits: `[heads or 1, queries or 1, keys]`. Minus
    ///     infinity removes a key; a query without any key left gives NaN. nil for none.
    /// - Returns: activations `[queries, heads, width]`. Softmax and sums in float32.
    func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?) throws(SwanError) -> Tensor

    /// Attention among the tokens of a video, from before the norms of its queries and keys:
    /// ``NormalizationOps/rmsNormRope(_:weight:eps:rope:)`` of both, then ``attention(q:k:v:scale:bias:)``.
    ///
    /// A device may keep more digits between the two than its activations have.
    ///
    /// - Parameters:
    ///   - q: activations `[tokens, heads, width]`, normalised over all heads.
    ///   - k: like `q`.
    ///   - v: like `q`.
    ///   - queryNorm: weight `[heads * width]`.
    ///   - keyNorm: weight `[heads * width]`.
    ///   - rope: tables of `tokens` rows and `width / 2` columns.
    ///   - scale: multiplies the logits.
    /// - Returns: activations `[tokens, heads, width]`.
    func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float
    ) throws(SwanError) -> Tensor

    /// Whether ``selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:)`` takes less than its two parts. Where it does not,
    /// whoever normalises first needs less memory: of the rows before the norm and behind it, one is there at a time.
    func fusesSelfAttention(tokens: Int, heads: Int, width: Int) -> Bool

    /// What computes attention, by its name for `--attention`: of the largest call so far, or, before there was one, of
    /// those that suit it.
    var attentionKernel: String { get }

    /// Whether attention's errors are those of rounding to the activations' type; false where a kernel with fewer bits was
    /// asked for.
    var isAttentionExact: Bool { get }

    /// A bias that depends on the distance between key and query alone:
    /// `result[h, q, k] = table[buckets[k - q + tokens - 1], h]`.
    ///
    /// - Parameters:
    ///   - table: float32 `[buckets, heads]`.
    ///   - buckets: float32 `[2 * tokens - 1]`, whole numbers below the table's rows; one outside gives NaN.
    /// - Returns: float32 `[heads, tokens, tokens]`.
    ///
    /// Source: T5's `compute_bias`.
    func distanceBias(_ table: Tensor, buckets: Tensor) throws(SwanError) -> Tensor
}

extension AttentionOps where Self: NormalizationOps & MemoryOps {
    /// One after the other.
    public func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float
    ) throws(SwanError) -> Tensor {
        try attentionBehindNorms(
            q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale)
    }

    /// ``selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:)`` by its parts.
    package func attentionBehindNorms(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float
    ) throws(SwanError) -> Tensor {
        let shapes = try SelfAttentionShapes(
            q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, activation: activationType)
        func normed(_ x: Tensor, _ norm: RowNorm) throws(SwanError) -> Tensor {
            try rmsNormRope(x.reshaped(shapes.rows), weight: norm.weight, eps: norm.eps, rope: rope).reshaped(x.shape)
        }
        return try attention(q: normed(q, queryNorm), k: normed(k, keyNorm), v: v, scale: scale, bias: nil)
    }

    /// Nothing is won.
    public func fusesSelfAttention(tokens: Int, heads: Int, width: Int) -> Bool { false }
}

extension AttentionOps {
    /// One plain way, where there is no choice.
    public var attentionKernel: String { "exact" }

    /// Exact.
    public var isAttentionExact: Bool { true }
}

/// The sizes of a bias by distance, checked.
package struct DistanceBiasShapes {
    /// Rows and columns of the table.
    package let buckets, heads: Int
    /// Queries and keys.
    package let tokens: Int

    /// Checks the arguments of ``AttentionOps/distanceBias(_:buckets:)``.
    package init(table: Tensor, buckets: Tensor) throws(SwanError) {
        let contract = Contract("distanceBias")
        try contract.type(table, of: "table", .float32)
        try contract.rank(table.shape, of: "table", "buckets", "heads")
        try contract.filled(table.shape, of: "table")
        try contract.type(buckets, of: "buckets", .float32)
        try contract.rank(buckets.shape, of: "buckets", "2 * tokens - 1")
        try contract.require(
            buckets.shape[0] % 2 == 1, "buckets has \(buckets.shape[0]) entries, expected an odd number")
        (self.buckets, heads) = (table.shape[0], table.shape[1])
        tokens = (buckets.shape[0] + 1) / 2
    }
}

/// The sizes of an attention, checked.
package struct AttentionShapes {
    /// Rows of `q`.
    package let queries: Int
    /// Rows of `k` and `v`.
    package let keys: Int
    /// Heads.
    package let heads: Int
    /// Channels of a head.
    package let width: Int
    /// Elements from one head's bias to the next: 0 when all heads share it.
    package let biasHeadStride: Int
    /// Elements from one query's bias to the next: 0 when all queries share it.
    package let biasQueryStride: Int

    /// Checks the arguments of ``AttentionOps/attention(q:k:v:scale:bias:)``.
    package init(q: Tensor, k: Tensor, v: Tensor, bias: Tensor?, activation: DType) throws(SwanError) {
        let contract = Contract("attention")
        try contract.type(q, of: "q", activation)
        try contract.type(k, of: "k", activation)
        try contract.type(v, of: "v", activation)
        try contract.rank(q.shape, of: "q", "queries", "heads", "width")
        try contract.filled(q.shape, of: "q")
        try contract.rank(k.shape, of: "k", "keys", "heads", "width")
        try contract.filled(k.shape, of: "k")
        (queries, heads, width) = (q.shape[0], q.shape[1], q.shape[2])
        keys = k.shape[0]
        try contract.shape(k.shape, of: "k", is: [keys, heads, width])
        try contract.shape(v.shape, of: "v", is: k.shape)
        guard let bias else {
            (biasHeadStride, biasQueryStride) = (0, 0)
            return
        }
        try contract.type(bias, of: "bias", .float32)
        let found = bias.shape
        try contract.require(
            found.rank == 3 && (found[0] == heads || found[0] == 1) && (found[1] == queries || found[1] == 1)
                && found[2] == keys,
            "bias has shape \(found), expected [\(heads) or 1, \(queries) or 1, \(keys)]")
        biasQueryStride = found[1] == 1 ? 0 : keys
        biasHeadStride = found[0] == 1 ? 0 : found[1] * keys
    }
}

/// The sizes of an attention with the norms of its queries and keys, checked.
package struct SelfAttentionShapes {
    /// Of the attention.
    package let attention: AttentionShapes
    /// Queries or keys of all heads, `[tokens, heads * width]`.
    package var rows: Shape { [attention.queries, attention.heads * attention.width] }

    /// Checks the arguments of ``AttentionOps/selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:)``.
    package init(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, activation: DType
    ) throws(SwanError) {
        let contract = Contract("selfAttention")
        try contract.type(q, of: "q", activation)
        try contract.rank(q.shape, of: "q", "tokens", "heads", "width")
        try contract.filled(q.shape, of: "q")
        try contract.shape(k.shape, of: "k", is: q.shape)
        attention = try AttentionShapes(q: q, k: k, v: v, bias: nil, activation: activation)
        try contract.vector(queryNorm.weight, of: "queryNorm.weight", attention.heads * attention.width)
        try contract.vector(keyNorm.weight, of: "keyNorm.weight", attention.heads * attention.width)
        for (table, name) in [(rope.cosines, "rope.cosines"), (rope.sines, "rope.sines")] {
            try contract.type(table, of: name, .float32)
            try contract.require(
                attention.width % 2 == 0, "heads have \(attention.width) channels, expected an even number")
            try contract.shape(table.shape, of: name, is: [attention.queries, attention.width / 2])
        }
    }
}
