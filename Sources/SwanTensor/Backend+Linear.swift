public import SwanDiagnostics

/// The weights of a linear layer in the form that their backend multiplies fastest.
public protocol LinearWeights: AnyObject {
    /// Features of the input.
    var inputs: Int { get }
    /// Features of the output.
    var outputs: Int { get }
}

/// A function applied to each element of a linear layer's result.
public enum Activation: String, Sendable, CaseIterable {
    /// The value itself.
    case identity
    /// GELU in its tanh form: `z/2 * (1 + tanh(sqrt(2/pi) * (z + 0.044715 z^3)))`.
    case geluTanh
    /// `z / (1 + exp(-z))`.
    case silu
}

/// Matrix products.
public protocol LinearOps {
    /// Brings the weights of a linear layer to the device.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs]`, any floating-point type; kept in float32 on the CPU.
    ///   - bias: `[outputs]`, or nil for none.
    func makeLinear(weight: HostTensor, bias: HostTensor?) throws(SwanError) -> any LinearWeights

    /// `activation(x * weight^T + bias)`.
    ///
    /// - Parameters:
    ///   - x: activations or float32 `[rows, inputs]`, at least one row.
    ///   - weights: made by this backend.
    ///   - activation: applied in float32, before the result is rounded.
    ///   - result: the element type of the result: the activation type, or float32 for what begins or leaves
    ///     the residual stream and for all of the timestep.
    /// - Returns: `[rows, outputs]` of the type `result`. Sums in float32.
    func linear(
        _ x: Tensor, _ weights: any LinearWeights, activation: Activation, result: DType
    ) throws(SwanError) -> Tensor

    /// Each element through `activation`; x is activations or float32, the result shaped and typed like `x`.
    func activate(_ x: Tensor, _ activation: Activation) throws(SwanError) -> Tensor

    /// `geluTanh(gate) * up`, element by element: the gated feed-forward of T5.
    ///
    /// - Parameters:
    ///   - gate: activations of any shape.
    ///   - up: shaped like `gate`.
    func geluGate(_ gate: Tensor, _ up: Tensor) throws(SwanError) -> Tensor
}

extension MemoryOps where Self: LinearOps {
    /// `activation(x * weight^T + bias)` in the activation type.
    public func linear(
        _ x: Tensor, _ weights: any LinearWeights, activation: Activation
    ) throws(SwanError) -> Tensor {
        try linear(x, weights, activation: activation, result: activationType)
    }
}

/// The sizes of a linear layer's weights, checked.
package struct LinearWeightShapes {
    /// Features of the input.
    package let inputs: Int
    /// Features of the output.
    package let outputs: Int

    /// Checks the arguments of ``LinearOps/makeLinear(weight:bias:)``.
    package init(weight: HostTensor, bias: HostTensor?) throws(SwanError) {
        let contract = Contract("makeLinear")
        try contract.rank(weight.shape, of: "weight", "outputs", "inputs")
        try contract.filled(weight.shape, of: "weight")
        (outputs, inputs) = (weight.shape[0], weight.shape[1])
        try contract.weight(weight, of: "weight", [outputs, inputs])
        if let bias { try contract.weight(bias, of: "bias", [outputs]) }
    }
}

/// The sizes of a matrix product, checked.
package struct LinearShapes {
    /// Rows of `x` and of the result.
    package let rows: Int

    /// Checks the arguments of ``LinearOps/linear(_:_:activation:result:)``.
    package init(
        x: Tensor, weights: any LinearWeights, activation: DType, result: DType
    ) throws(SwanError) {
        let contract = Contract("linear")
        try contract.require(
            result == .float32 || result == activation,
            "the wanted element type is \(result), expected float32 or \(activation)")
        try contract.type(x, of: "x", activation, .float32)
        try contract.rank(x.shape, of: "x", "rows", "inputs")
        try contract.filled(x.shape, of: "x")
        rows = x.shape[0]
        try contract.shape(x.shape, of: "x", is: [rows, weights.inputs])
    }
}

/// The sizes of an operation that works element by element on activations, checked.
package struct ElementwiseShapes {
    /// The shape of all tensors.
    package let shape: Shape
    /// The number of elements.
    package var count: Int { shape.count }

    /// Checks the arguments of ``LinearOps/activate(_:_:)``.
    package init(x: Tensor, activation: DType) throws(SwanError) {
        try Contract("activate").type(x, of: "x", activation, .float32)
        shape = x.shape
    }

    /// Checks the arguments of ``LinearOps/geluGate(_:_:)``.
    package init(gate: Tensor, up: Tensor, activation: DType) throws(SwanError) {
        let contract = Contract("geluGate")
        try contract.type(gate, of: "gate", activation)
        try contract.type(up, of: "up", activation)
        try contract.shape(up.shape, of: "up", is: gate.shape)
        shape = gate.shape
    }

    /// Checks the arguments of ``NormalizationOps/add(_:to:)``.
    package init(adding y: Tensor, to x: Tensor, activation: DType) throws(SwanError) {
        let contract = Contract("add")
        try contract.type(x, of: "x", .float32)
        try contract.type(y, of: "y", activation, .float32)
        try contract.shape(y.shape, of: "y", is: x.shape)
        try contract.apart(y, "y", x, "x")
        shape = x.shape
    }
}
