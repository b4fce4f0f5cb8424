public import SwanDiagnostics
public import SwanTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Weights as they are multiplied: one row per input, so that the inner loop runs over outputs.
private final class ReferenceLinear: LinearWeights {
    let inputs: Int
    let outputs: Int
    let transposed: [Double]
    let bias: [Double]

    init(_ weight: [Float], bias: [Float]?, inputs: Int, outputs: Int) {
        self.inputs = inputs
        self.outputs = outputs
        transposed = (0 ..< inputs * outputs).map { Double(weight[$0 % outputs * inputs + $0 / outputs]) }
        self.bias = bias?.map(Double.init) ?? Array(repeating: 0, count: outputs)
    }
}

extension Activation {
    /// The function's value, in float64.
    func callAsFunction(_ z: Double) -> Double {
        switch self {
        case .identity: z
        case .geluTanh: z / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (z + 0.044715 * z * z * z)))
        case .silu: z / (1 + exp(-z))
        }
    }
}

extension ReferenceBackend {
    /// See `LinearOps.makeLinear(weight:bias:)`.
    public func makeLinear(weight: HostTensor, bias: HostTensor?) throws(SwanError) -> any LinearWeights {
        let shapes = try LinearWeightShapes(weight: weight, bias: bias)
        return ReferenceLinear(
            try weight.floats(), bias: try bias?.floats(), inputs: shapes.inputs, outputs: shapes.outputs)
    }

    /// See `LinearOps.linear(_:_:activation:result:)`.
    public func linear(
        _ x: Tensor, _ weights: any LinearWeights, activation: Activation, result type: DType
    ) throws(SwanError) -> Tensor {
        let shapes = try LinearShapes(x: x, weights: weights, activation: activationType, result: type)
        let weights = try own(weights, as: ReferenceLinear.self)
        let (inputs, outputs) = (weights.inputs, weights.outputs)
        let source = try floats(x)
        let (result, target) = try result([shapes.rows, outputs])
        for row in 0 ..< shapes.rows {
            var sums = weights.bias
            for i in 0 ..< inputs {
                let value = Double(source[row * inputs + i])
                for o in 0 ..< outputs { sums[o] += value * weights.transposed[i * outputs + o] }
            }
            for o in 0 ..< outputs { target[row * outputs + o] = Float(activation(sums[o])) }
        }
        return result
    }

    /// See `LinearOps.activate(_:_:)`.
    public func activate(_ x: Tensor, _ activation: Activation) throws(SwanError) -> Tensor {
        let shapes = try ElementwiseShapes(x: x, activation: activationType)
        let source = try floats(x)
        let (result, target) = try result(x.shape)
        for i in 0 ..< shapes.count { target[i] = Float(activation(Double(source[i]))) }
        return result
    }

    /// See `LinearOps.geluGate(_:_:)`.
    public func geluGate(_ gate: Tensor, _ up: Tensor) throws(SwanError) -> Tensor {
        let shapes = try ElementwiseShapes(gate: gate, up: up, activation: activationType)
        let (a, b) = (try floats(gate), try floats(up))
        let (result, target) = try result(gate.shape)
        for i in 0 ..< shapes.count { target[i] = Float(Activation.geluTanh(Double(a[i])) * Double(b[i])) }
        return result
    }
}
