public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// Layer normalisation with affine weights.
public struct LayerNorm {
    private let weight, bias: Tensor
    private let eps: Float

    /// Binds `weight` and `bias`, each `[width]`.
    public init(_ width: Int, eps: Float, _ scope: WeightScope, on backend: any Backend) throws(SwanError) {
        weight = try backend.upload(scope.tensor("weight", [width]), as: .float32)
        bias = try backend.upload(scope.tensor("bias", [width]), as: .float32)
        self.eps = eps
    }

    /// - Parameters:
    ///   - x: float32 `[rows, width]`.
    ///   - backend: the device that holds the weights.
    public func callAsFunction(_ x: Tensor, on backend: any Backend) throws(SwanError) -> Tensor {
        try backend.layerNorm(x, weight: weight, bias: bias, eps: eps)
    }

    /// The norm of the residual stream with a branch, which is added in place.
    ///
    /// - Parameters:
    ///   - y: the branch, activations `[tokens, width]`; nil where it was added.
    ///   - gate: float32 `[groups, width]`.
    ///   - x: residual stream, float32 `[tokens, width]`; holds the sum when this returns.
    ///   - coding: how the layers that read the norm take it; nil for activations.
    ///   - backend: the device that holds the weights.
    public func callAsFunction(
        adding y: Tensor?, gate: Tensor, to x: Tensor, for coding: EightBitCoding?, on backend: any Backend
    ) throws(SwanError) -> LinearInput {
        guard let y else {
            guard let coding else { return .activations(try self(x, on: backend)) }
            return .quantized(try backend.layerNorm(x, weight: weight, bias: bias, eps: eps, to: coding))
        }
        guard let coding else {
            return .activations(
                try backend.addGatedLayerNorm(y, gate: gate, to: x, weight: weight, bias: bias, eps: eps))
        }
        return .quantized(
            try backend.addGatedLayerNorm(y, gate: gate, to: x, weight: weight, bias: bias, eps: eps, as: coding))
    }
}

/// Root-mean-square normalisation over the whole width.
public struct RMSNorm {
    private let weight: Tensor
    private let eps: Float

    /// For operations that normalise on their way.
    public var rows: RowNorm { RowNorm(weight: weight, eps: eps) }

    /// Binds `weight` `[width]`.
    public init(_ width: Int, eps: Float, _ scope: WeightScope, on backend: any Backend) throws(SwanError) {
        weight = try backend.upload(scope.tensor("weight", [width]), as: .float32)
        self.eps = eps
    }

    /// - Parameters:
    ///   - x: `[rows, width]`.
    ///   - rope: turns the heads' channel pairs after the normalisation; nil for none.
    ///   - backend: the device that holds the weights.
    public func callAsFunction(_ x: Tensor, rope: RotaryTable? = nil, on backend: any Backend)
        throws(SwanError) -> Tensor
    {
        if let rope { return try backend.rmsNormRope(x, weight: weight, eps: eps, rope: rope) }
        return try backend.rmsNorm(x, weight: weight, eps: eps)
    }
}
