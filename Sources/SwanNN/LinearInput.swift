public import SwanDiagnostics
public import SwanTensor

/// Rows on their way into linear layers: activations, or eight-bit numbers where all of the layers take such.
public enum LinearInput {
    /// Activations or float32 `[rows, width]`.
    case activations(Tensor)
    /// Eight-bit `[rows, width]`, and a scale for each row.
    case quantized(QuantizedRows)
}

/// What stands in front of linear layers, in the format that they take: nil for activations.
extension Backend {
    /// See ``NormalizationOps/layerNormModulate(_:shift:scale:eps:)``.
    public func layerNormModulate(
        _ x: Tensor, shift: Tensor, scale: Tensor, eps: Float, for format: EightBitFormat?
    ) throws(SwanError) -> LinearInput {
        guard let format else { return .activations(try layerNormModulate(x, shift: shift, scale: scale, eps: eps)) }
        return .quantized(try layerNormModulate(x, shift: shift, scale: scale, eps: eps, to: format))
    }

    /// See ``NormalizationOps/addLayerNormModulate(_:to:shift:scale:eps:)``.
    public func addLayerNormModulate(
        _ y: Tensor, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float, for format: EightBitFormat?
    ) throws(SwanError) -> LinearInput {
        guard let format else {
            return .activations(try addLayerNormModulate(y, to: x, shift: shift, scale: scale, eps: eps))
        }
        return .quantized(try addLayerNormModulate(y, to: x, shift: shift, scale: scale, eps: eps, as: format))
    }

    /// Rows for several layers, rounded once.
    public func linearInput(_ x: Tensor, for format: EightBitFormat?) throws(SwanError) -> LinearInput {
        guard let format else { return .activations(x) }
        return .quantized(try quantizeRows(x, to: format))
    }
}

extension EightBitFormat {
    /// The format that several layers share; nil where they differ, so that each rounds its rows itself.
    public static func shared(by layers: Linear...) -> EightBitFormat? {
        guard let format = layers.first?.inputFormat, layers.allSatisfy({ $0.inputFormat == format }) else {
            return nil
        }
        return format
    }
}
