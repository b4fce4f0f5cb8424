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
}
