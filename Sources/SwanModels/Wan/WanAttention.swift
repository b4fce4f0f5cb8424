import SwanCheckpoint
import SwanDiagnostics
import SwanNN
import SwanTensor

/// Attention of a Wan block, over the video's tokens or from them to the text.
///
/// Queries and keys are normalised over the whole width, before the heads are split.
///
/// Source: Wan2.2 `wan/modules/model.py`, `WanSelfAttention` and `WanCrossAttention`.
package struct WanAttention {
    let query, key, value, output: Linear
    let queryNorm, keyNorm: RMSNorm
    let heads, headWidth: Int

    init(
        _ config: WanConfiguration, _ weights: WeightScope, _ format: EightBitFormat?, on backend: any Backend
    ) throws(SwanError) {
        let width = config.width
        query = try Linear(width, width, weights["q"], as: format, on: backend)
        key = try Linear(width, width, weights["k"], as: format, on: backend)
        value = try Linear(width, width, weights["v"], as: format, on: backend)
        output = try Linear(width, width, weights["o"], as: format, on: backend)
        queryNorm = try RMSNorm(width, eps: config.eps, weights["norm_q"], on: backend)
        keyNorm = try RMSNorm(width, eps: config.eps, weights["norm_k"], on: backend)
        heads = config.heads
        headWidth = config.headWidth
    }

    /// Keys and values of a context, `[rows, heads, headWidth]` each.
    package struct Context {
        let keys, values: Tensor
        /// Added to the logits of each key, float32 `[1, 1, rows]`; nil for none.
        var bias: Tensor?
    }

    /// - Parameters:
    ///   - context: `[rows, width]`.
    ///   - rope: turns the keys; nil for text.
    func context(
        _ context: LinearInput, rope: RotaryTable? = nil, on backend: any Backend
    ) throws(SwanError) -> Context {
        Context(
            keys: try split(keyNorm(key(context, on: backend), rope: rope, on: backend)),
            values: try split(value(context, on: backend)))
    }

    /// Attention to a context, a branch of the residual stream.
    ///
    /// - Parameters:
    ///   - x: `[tokens, width]`.
    ///   - rope: turns the queries; nil for attention to text.
    ///   - gate: of the branch, float32 `[groups, width]`; nil for one that is always open.
    ///   - residual: the stream, float32 `[tokens, width]`.
    /// - Returns: `[tokens, width]`, to be gated and added; nil where it was, see ``Linear``.
    func callAsFunction(
        _ x: LinearInput, context: Context, rope: RotaryTable? = nil, gate: Tensor?, onto residual: Tensor,
        on backend: any Backend
    ) throws(SwanError) -> Tensor? {
        let q = try split(queryNorm(query(x, on: backend), rope: rope, on: backend))
        let mixed = try backend.attention(
            q: q, k: context.keys, v: context.values, scale: scale, bias: context.bias)
        return try output(
            .activations(mixed.reshaped([mixed.shape[0], heads * headWidth])), gate: gate, onto: residual, on: backend)
    }

    /// Attention among the tokens themselves, a branch of the residual stream.
    ///
    /// - Parameters:
    ///   - x: `[tokens, width]`.
    ///   - rope: turns queries and keys.
    ///   - gate: of the branch, float32 `[groups, width]`.
    ///   - residual: the stream, float32 `[tokens, width]`.
    /// - Returns: `[tokens, width]`, to be gated and added; nil where it was, see ``Linear``.
    func callAsFunction(
        _ x: LinearInput, rope: RotaryTable, gate: Tensor, onto residual: Tensor, on backend: any Backend
    ) throws(SwanError) -> Tensor? {
        guard backend.fusesSelfAttention(tokens: x.count, heads: heads, width: headWidth) else {
            return try self(
                x, context: context(x, rope: rope, on: backend), rope: rope, gate: gate, onto: residual, on: backend)
        }
        return try output(
            backend.selfAttention(
                q: split(query(x, on: backend)), k: split(key(x, on: backend)), v: split(value(x, on: backend)),
                queryNorm: queryNorm.rows, keyNorm: keyNorm.rows, rope: rope, scale: scale, for: output.inputCoding),
            gate: gate, onto: residual, on: backend)
    }

    /// Of the logits.
    private var scale: Float { 1 / Float(headWidth).squareRoot() }

    private func split(_ x: Tensor) throws(SwanError) -> Tensor {
        try x.reshaped([x.shape[0], heads, headWidth])
    }
}
