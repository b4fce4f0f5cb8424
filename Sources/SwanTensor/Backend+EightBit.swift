public import SwanDiagnostics

/// The weights of a linear layer in eight bits, on a device.
public protocol EightBitWeights: LinearWeights {
    /// How their rows are stored; rows that are multiplied with them are stored alike.
    var coding: EightBitCoding { get }
}

/// Products of eight-bit numbers, and what makes rows of such: see ``EightBitCoding`` and ``EightBitFormat`` for how a
/// row is stored.
///
/// Where an operation has an eight-bit result, that is the unrounded result of its other form, stored in eight bits; a
/// device may round to its activation type before.
///
/// A device may give rows of fp8 a larger scale than their own numbers need, where that spares it a pass over them: numbers
/// down to 2^-14 of the largest that a scale has room for are rounded as well as that one.
public protocol EightBitOps {
    /// Brings the weights of a linear layer to the device, each row stored in eight bits with a scale of its own.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs]`, any floating-point type; `inputs` a multiple of
    ///     ``EightBitFormat/rowMultiple``.
    ///   - bias: `[outputs]`, or nil for none.
    ///   - coding: how the rows are stored.
    func makeLinear(
        weight: HostTensor, bias: HostTensor?, as coding: EightBitCoding
    ) throws(SwanError) -> any EightBitWeights

    /// Brings weights to the device that are in eight bits already.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs]`; `inputs` a multiple of ``EightBitFormat/rowMultiple``.
    ///   - bias: `[outputs]`, or nil for none.
    func makeLinear(weight: EightBitWeight, bias: HostTensor?) throws(SwanError) -> any EightBitWeights

    /// Stores rows in eight bits: the same bits on every device, but for the numbers of a row whose scale is none.
    ///
    /// - Parameters:
    ///   - x: activations or float32 `[rows, width]`, at least one value.
    ///   - coding: how they are stored: as the weights are that they will be multiplied with.
    func quantizeRows(_ x: Tensor, to coding: EightBitCoding) throws(SwanError) -> QuantizedRows

    /// `x * weight^T + bias`.
    ///
    /// - Parameters:
    ///   - x: `[rows, inputs]`, stored as the weights are.
    ///   - weights: made by this backend.
    ///   - result: the element type of the result: the activation type or float32.
    /// - Returns: `[rows, outputs]`. Sums of int8 are exact; those of fp8 are in float32, or in what the device's matrix
    ///   units keep of it (14 bits on Hopper).
    func linear(_ x: QuantizedRows, _ weights: any EightBitWeights, result: DType) throws(SwanError) -> Tensor

    /// `activation(x * weight^T + bias)`, stored in eight bits.
    ///
    /// - Parameters: as of ``linear(_:_:result:)``.
    func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, activation: Activation, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows

    /// `residual += gate * (x * weight^T + bias)`, in the product itself, so that what it gives is neither written nor read
    /// between: how a branch of a transformer ends.
    ///
    /// - Parameters:
    ///   - x: `[rows, inputs]`, stored as the weights are.
    ///   - weights: made by this backend.
    ///   - gate: float32 `[groups, outputs]`; `groups` divides `rows`. Nil for a branch that is always open.
    ///   - residual: float32 `[rows, outputs]`, changed in place; may be rows of a larger tensor, and overlaps no other
    ///     argument.
    /// - Returns: nil; or, with the residual as it was, ``linear(_:_:result:)`` in activations, which has still to be gated
    ///   and added, where the device has no such product.
    func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, gate: Tensor?, onto residual: Tensor
    ) throws(SwanError) -> Tensor?

    /// ``NormalizationOps/layerNorm(_:weight:bias:eps:)``, stored in eight bits.
    func layerNorm(
        _ x: Tensor, weight: Tensor, bias: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows

    /// ``NormalizationOps/layerNormModulate(_:shift:scale:eps:)``, stored in eight bits.
    func layerNormModulate(
        _ x: Tensor, shift: Tensor, scale: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows

    /// ``NormalizationOps/addGatedLayerNorm(_:gate:to:weight:bias:eps:)``, stored in eight bits.
    func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows

    /// ``NormalizationOps/addLayerNormModulate(_:gate:to:shift:scale:eps:)``, stored in eight bits.
    func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows

    /// ``AttentionOps/selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:)``, `[tokens, heads * width]` stored in eight bits.
    func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float,
        to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows
}

extension EightBitOps where Self: NormalizationOps & LinearOps & MemoryOps {
    /// One after the other.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, activation: Activation, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        var y = try linear(x, weights, result: activationType)
        if activation != .identity { y = try activate(y, activation) }
        return try quantizeRows(y, to: coding)
    }

    /// The product, to be added.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, gate: Tensor?, onto residual: Tensor
    ) throws(SwanError) -> Tensor? {
        _ = try BranchShapes(x: x, weights: weights, gate: gate, residual: residual, activation: activationType)
        return try linear(x, weights, result: activationType)
    }

    /// One after the other.
    public func layerNorm(
        _ x: Tensor, weight: Tensor, bias: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try quantizeRows(layerNorm(x, weight: weight, bias: bias, eps: eps), to: coding)
    }

    /// One after the other.
    public func layerNormModulate(
        _ x: Tensor, shift: Tensor, scale: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try quantizeRows(layerNormModulate(x, shift: shift, scale: scale, eps: eps), to: coding)
    }

    /// One after the other.
    public func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try quantizeRows(
            addGatedLayerNorm(y, gate: gate, to: x, weight: weight, bias: bias, eps: eps), to: coding)
    }

    /// One after the other.
    public func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try quantizeRows(addLayerNormModulate(y, gate: gate, to: x, shift: shift, scale: scale, eps: eps), to: coding)
    }
}

extension EightBitOps where Self: AttentionOps {
    /// One after the other.
    public func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float,
        to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        let o = try selfAttention(
            q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale)
        return try quantizeRows(o.reshaped([o.shape[0], o.shape[1] * o.shape[2]]), to: coding)
    }
}

/// The sizes of rows that are rounded to eight bits, checked.
package struct QuantizeShapes {
    /// Rows of `x`.
    package let rows: Int
    /// Values per row.
    package let width: Int

    /// Checks the arguments of ``EightBitOps/quantizeRows(_:to:)``.
    package init(x: Tensor, activation: DType) throws(SwanError) {
        let contract = Contract("quantizeRows")
        try contract.type(x, of: "x", activation, .float32)
        try contract.rank(x.shape, of: "x", "rows", "width")
        try contract.filled(x.shape, of: "x")
        (rows, width) = (x.shape[0], x.shape[1])
    }
}

extension LinearWeightShapes {
    /// Checks the arguments of ``EightBitOps/makeLinear(weight:bias:as:)``.
    package init(eightBit weight: HostTensor, bias: HostTensor?) throws(SwanError) {
        try self.init(weight: weight, bias: bias)
        try checkRows()
    }

    /// Checks the arguments of ``EightBitOps/makeLinear(weight:bias:)``.
    package init(_ weight: EightBitWeight, bias: HostTensor?) throws(SwanError) {
        (outputs, inputs) = (weight.values.shape[0], weight.values.shape[1])
        if let bias { try Contract("makeLinear").weight(bias, of: "bias", [outputs]) }
        try checkRows()
    }

    private func checkRows() throws(SwanError) {
        try Contract("makeLinear").require(
            inputs % EightBitFormat.rowMultiple == 0,
            "weight has rows of \(inputs) values, expected a multiple of \(EightBitFormat.rowMultiple) for eight bits")
    }
}

extension LinearShapes {
    /// Checks the arguments of ``EightBitOps/linear(_:_:result:)``.
    package init(
        x: QuantizedRows, weights: any EightBitWeights, activation: DType, result: DType
    ) throws(SwanError) {
        let contract = Contract("linear")
        try contract.require(
            result == .float32 || result == activation,
            "the wanted element type is \(result), expected float32 or \(activation)")
        try contract.filled(x.values.shape, of: "x")
        try contract.require(
            x.coding == weights.coding,
            "x is stored as \(x.coding.rawValue), expected the weights' \(weights.coding.rawValue)")
        rows = x.values.shape[0]
        try contract.shape(x.values.shape, of: "x", is: [rows, weights.inputs])
    }
}

/// The sizes of a product that is added to rows, checked.
package struct BranchShapes {
    /// Rows of `x`.
    package let rows: Int
    /// Rows of `gate`; 1 without one.
    package let groups: Int

    /// Checks the arguments of ``EightBitOps/linear(_:_:gate:onto:)``.
    package init(
        x: QuantizedRows, weights: any EightBitWeights, gate: Tensor?, residual: Tensor, activation: DType
    ) throws(SwanError) {
        rows = try LinearShapes(x: x, weights: weights, activation: activation, result: .float32).rows
        let contract = Contract("linear")
        try contract.type(residual, of: "residual", .float32)
        try contract.shape(residual.shape, of: "residual", is: [rows, weights.outputs])
        for (tensor, name) in [(x.values, "x"), (x.scales, "the scales of x")] {
            try contract.apart(tensor, name, residual, "residual")
        }
        guard let gate else {
            groups = 1
            return
        }
        try contract.type(gate, of: "gate", .float32)
        try contract.rank(gate.shape, of: "gate", "groups", "outputs")
        groups = gate.shape[0]
        try contract.shape(gate.shape, of: "gate", is: [groups, weights.outputs])
        try contract.require(
            groups > 0 && rows % groups == 0, "gate has \(groups) rows, expected a divisor of the \(rows) of x")
        try contract.apart(gate, "gate", residual, "residual")
    }
}
