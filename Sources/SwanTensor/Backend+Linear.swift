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
    /// - Returns: `[rows, outputs]` in the activation type. Sums in float32.
    func linear(_ x: Tensor, _ weights: any LinearWeights, activation: Activation) throws(SwanError) -> Tensor

    /// Each element through `activation`; shaped like `x`.
    func activate(_ x: Tensor, _ activation: Activation) throws(SwanError) -> Tensor

    /// `geluTanh(gate) * up`, element by element: the gated feed-forward of T5.
    ///
    /// - Parameters:
    ///   - gate: activations of any shape.
    ///   - up: shaped like `gate`.
    func geluGate(_ gate: Tensor, _ up: Tensor) throws(SwanError) -> Tensor
}
