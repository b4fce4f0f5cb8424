public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// A linear layer, `x * weight^T + bias`.
public struct Linear {
    private let weights: any LinearWeights

    /// Binds `weight` `[outputs, inputs]` and, unless `bias` is false, `bias` `[outputs]`.
    ///
    /// - Parameter weightShape: the stored shape where it is not `[outputs, inputs]`, with as many
    ///   elements: patch embeddings and 1×1 convolutions are stored with more axes.
    public init(
        _ inputs: Int, _ outputs: Int, bias: Bool = true, weightShape: Shape? = nil, _ scope: WeightScope,
        on backend: any Backend
    ) throws(SwanError) {
        let weight = try scope.tensor("weight", weightShape ?? [outputs, inputs]).reshaped([outputs, inputs])
        weights = try backend.makeLinear(weight: weight, bias: bias ? scope.tensor("bias", [outputs]) : nil)
    }

    /// Takes weights that are bound already.
    public init(weight: HostTensor, bias: HostTensor?, on backend: any Backend) throws(SwanError) {
        weights = try backend.makeLinear(weight: weight, bias: bias)
    }

    /// - Parameters:
    ///   - x: `[rows, inputs]`, activations or float32.
    ///   - result: the element type of the result, float32 or nil for the activation type.
    /// - Returns: `[rows, outputs]`.
    public func callAsFunction(
        _ x: Tensor, activation: Activation = .identity, result: DType? = nil, on backend: any Backend
    ) throws(SwanError) -> Tensor {
        try backend.linear(x, weights, activation: activation, result: result ?? backend.activationType)
    }
}
