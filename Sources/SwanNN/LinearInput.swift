public import SwanDiagnostics
public import SwanTensor

/// Rows on their way into linear layers: activations, or eight-bit numbers where all of the layers take such.
public enum LinearInput {
    /// Activations or float32 `[rows, width]`.
    case activations(Tensor)
    /// Eight-bit `[rows, width]`, and a scale for each row.
    case quantized(QuantizedRows)

    /// How many there are.
    public var count: Int {
        switch self {
        case .activations(let x): x.shape[0]
        case .quantized(let x): x.values.shape[0]
        }
    }
}

/// What stands in front of linear layers, stored as they take it: nil for activations.
extension Backend {
    /// See ``NormalizationOps/layerNormModulate(_:shift:scale:eps:)``.
    public func layerNormModulate(
        _ x: Tensor, shift: Tensor, scale: Tensor, eps: Float, for coding: EightBitCoding?
    ) throws(SwanError) -> LinearInput {
        guard let coding else { return .activations(try layerNormModulate(x, shift: shift, scale: scale, eps: eps)) }
        return .quantized(try layerNormModulate(x, shift: shift, scale: scale, eps: eps, to: coding))
    }

    /// See ``NormalizationOps/addLayerNormModulate(_:gate:to:shift:scale:eps:)``; a branch that is nil was added.
    public func addLayerNormModulate(
        _ y: Tensor?, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float, for coding: EightBitCoding?
    ) throws(SwanError) -> LinearInput {
        guard let y else { return try layerNormModulate(x, shift: shift, scale: scale, eps: eps, for: coding) }
        guard let coding else {
            return .activations(try addLayerNormModulate(y, gate: gate, to: x, shift: shift, scale: scale, eps: eps))
        }
        return .quantized(
            try addLayerNormModulate(y, gate: gate, to: x, shift: shift, scale: scale, eps: eps, as: coding))
    }

    /// See ``AttentionOps/selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:)``; the heads of a token are a row.
    public func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float,
        for coding: EightBitCoding?
    ) throws(SwanError) -> LinearInput {
        guard let coding else {
            let o = try selfAttention(
                q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale)
            return .activations(try o.reshaped([o.shape[0], o.shape[1] * o.shape[2]]))
        }
        return .quantized(
            try selfAttention(
                q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale, to: coding))
    }

    /// Rows for several layers, rounded once.
    public func linearInput(_ x: Tensor, for coding: EightBitCoding?) throws(SwanError) -> LinearInput {
        guard let coding else { return .activations(x) }
        return .quantized(try quantizeRows(x, to: coding))
    }
}

extension EightBitCoding {
    /// How several layers take their rows; nil where they differ, so that each rounds its rows itself.
    public static func shared(by layers: Linear...) -> EightBitCoding? {
        guard let coding = layers.first?.inputCoding, layers.allSatisfy({ $0.inputCoding == coding }) else {
            return nil
        }
        return coding
    }
}
