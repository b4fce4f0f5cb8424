public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// A linear layer, `x * weight^T + bias`, in the device's activation type or in eight bits.
public struct Linear {
    private enum Weights {
        case dense(any LinearWeights)
        case eightBit(any EightBitWeights)
    }

    private let weights: Weights

    /// Binds `weight` `[outputs, inputs]` and, unless `bias` is false, `bias` `[outputs]`.
    ///
    /// - Parameters:
    ///   - inputs: values in a row that goes in.
    ///   - outputs: values in a row that comes out.
    ///   - bias: whether the layer has one.
    ///   - weightShape: the stored shape where it is not `[outputs, inputs]`, with as many
    ///     elements: patch embeddings and 1×1 convolutions are stored with more axes.
    ///   - scope: where the tensors `weight` and `bias` are.
    ///   - format: the eight-bit numbers that weights and rows are rounded to; nil for none. Weights that a file holds in
    ///     that format, with a scale for each row or one for all, are taken as they are, and rows for them are not
    ///     rotated; others become the format's `EightBitFormat.coding`. Layers whose rows are no multiple of
    ///     `EightBitFormat.rowMultiple` stay as they are.
    ///   - backend: the device that gets the weights.
    public init(
        _ inputs: Int, _ outputs: Int, bias: Bool = true, weightShape: Shape? = nil, _ scope: WeightScope,
        as format: EightBitFormat? = nil, on backend: any Backend
    ) throws(SwanError) {
        let weight = try scope.tensor("weight", weightShape ?? [outputs, inputs]).reshaped([outputs, inputs])
        let bias = bias ? try scope.tensor("bias", [outputs]) : nil
        if let format, inputs % EightBitFormat.rowMultiple == 0 {
            if let stored = try EightBitWeight(stored: weight, as: format) {
                weights = .eightBit(try backend.makeLinear(weight: stored, bias: bias))
            } else {
                weights = .eightBit(try backend.makeLinear(weight: weight, bias: bias, as: format.coding))
            }
        } else {
            weights = .dense(try backend.makeLinear(weight: weight, bias: bias))
        }
    }

    /// Takes weights that are bound already.
    public init(weight: HostTensor, bias: HostTensor?, on backend: any Backend) throws(SwanError) {
        weights = .dense(try backend.makeLinear(weight: weight, bias: bias))
    }

    /// How the rows that are multiplied are stored; nil for activations.
    public var inputCoding: EightBitCoding? {
        if case .eightBit(let weights) = weights { weights.coding } else { nil }
    }

    /// - Parameters:
    ///   - x: `[rows, inputs]`, activations or float32.
    ///   - activation: applied to the product with its bias.
    ///   - result: the element type of the result, float32 or nil for the activation type.
    ///   - backend: the device that holds the weights.
    /// - Returns: `[rows, outputs]`.
    public func callAsFunction(
        _ x: Tensor, activation: Activation = .identity, result: DType? = nil, on backend: any Backend
    ) throws(SwanError) -> Tensor {
        try self(.activations(x), activation: activation, result: result, on: backend)
    }

    /// - Parameters:
    ///   - x: `[rows, inputs]`; activations are rounded if the layer is in eight bits.
    ///   - activation: applied to the product with its bias.
    ///   - result: the element type of the result, float32 or nil for the activation type.
    ///   - backend: the device that holds the weights.
    /// - Returns: `[rows, outputs]`.
    public func callAsFunction(
        _ x: LinearInput, activation: Activation = .identity, result: DType? = nil, on backend: any Backend
    ) throws(SwanError) -> Tensor {
        let type = result ?? backend.activationType
        switch weights {
        case .dense(let weights):
            guard case .activations(let x) = x else {
                throw SwanError(.fault, "Rows in eight bits were given to a layer that is not.")
            }
            return try backend.linear(x, weights, activation: activation, result: type)
        case .eightBit(let weights):
            let y = try backend.linear(rows(x, weights, on: backend), weights, result: type)
            return activation == .identity ? y : try backend.activate(y, activation)
        }
    }

    /// The end of a branch: `residual += gate * self(x)`, within the product where the device does that.
    ///
    /// - Parameters:
    ///   - x: `[rows, inputs]`; activations are rounded if the layer is in eight bits.
    ///   - gate: float32 `[groups, outputs]`; nil for a branch that is always open.
    ///   - residual: float32 `[rows, outputs]`, changed in place.
    ///   - backend: the device that holds the weights.
    /// - Returns: nil; or, with the residual as it was, activations `[rows, outputs]` that have still to be gated and added:
    ///   what comes next may do so on its way.
    public func callAsFunction(
        _ x: LinearInput, gate: Tensor?, onto residual: Tensor, on backend: any Backend
    ) throws(SwanError) -> Tensor? {
        guard case .eightBit(let weights) = weights else { return try self(x, on: backend) }
        return try backend.linear(rows(x, weights, on: backend), weights, gate: gate, onto: residual)
    }

    /// The result as other layers take it.
    ///
    /// - Parameters:
    ///   - x: `[rows, inputs]`.
    ///   - activation: applied to the product with its bias.
    ///   - coding: how those layers take their rows; nil for activations.
    ///   - backend: the device that holds the weights.
    public func callAsFunction(
        _ x: LinearInput, activation: Activation = .identity, for coding: EightBitCoding?, on backend: any Backend
    ) throws(SwanError) -> LinearInput {
        if case .eightBit(let weights) = weights, let coding {
            return .quantized(
                try backend.linear(rows(x, weights, on: backend), weights, activation: activation, to: coding))
        }
        return try backend.linearInput(self(x, activation: activation, on: backend), for: coding)
    }

    private func rows(
        _ x: LinearInput, _ weights: any EightBitWeights, on backend: any Backend
    ) throws(SwanError) -> QuantizedRows {
        switch x {
        case .activations(let x): try backend.quantizeRows(x, to: weights.coding)
        case .quantized(let x): x
        }
    }
}
