public import SwanDiagnostics
public import SwanTensor

/// Weights as products read them: bfloat16, the bias in float32 and in bfloat16.
private final class CUDALinear: LinearWeights {
    let inputs, outputs: Int
    let weight: Tensor
    let bias: Tensor?
    /// What cuBLASLt adds: it wants the result's type.
    let narrowBias: Tensor?

    init(_ shapes: LinearWeightShapes, weight: Tensor, bias: Tensor?, narrowBias: Tensor?) {
        (inputs, outputs) = (shapes.inputs, shapes.outputs)
        (self.weight, self.bias, self.narrowBias) = (weight, bias, narrowBias)
    }
}

extension CUDABackend {
    /// See `LinearOps.makeLinear(weight:bias:)`; weights are rounded to bfloat16.
    public func makeLinear(weight: HostTensor, bias: HostTensor?) throws(SwanError) -> any LinearWeights {
        let shapes = try LinearWeightShapes(weight: weight, bias: bias)
        let wideBias: Tensor? = if let bias { try bring(bias, as: .float32) } else { nil }
        return CUDALinear(
            shapes, weight: try bring(weight, as: .bfloat16), bias: wideBias,
            narrowBias: try wideBias.map { (bias) throws(SwanError) in try derived(bias, as: .bfloat16) })
    }

    /// See `LinearOps.linear(_:_:activation:result:)`.
    public func linear(
        _ x: Tensor, _ weights: any LinearWeights, activation: Activation, result: DType
    ) throws(SwanError) -> Tensor {
        let rows = try LinearShapes(x: x, weights: weights, activation: activationType, result: result).rows
        let weights = try own(weights, as: CUDALinear.self)
        let y = try allocate([rows, weights.outputs], result)
        // cuBLASLt's fast code reads 16 bytes at a time, and knows GELU but not SiLU. What stays in float32, the
        // timestep's few rows, is bound by reading the weights once.
        if executor.hasMatrixLibrary, x.dtype == .bfloat16, activation != .silu, weights.inputs % 8 == 0,
            weights.outputs % 8 == 0, try isAligned(x)
        {
            let bias = result == .float32 ? weights.bias : weights.narrowBias
            _ = try executor.multiply(
                x: address(x), w: address(weights.weight),
                bias: bias.map { (bias) throws(SwanError) in try address(bias) }, y: address(y), scales: nil,
                ProductShape(
                    rows: rows, inputs: weights.inputs, outputs: weights.outputs, result: result,
                    hasBias: bias != nil, hasGELU: activation == .geluTanh), workspace: workspace())
            return y
        }
        let addresses = [try address(x), try address(weights.weight), try address(weights.bias ?? y), try address(y)]
        // Few rows: each weight is read once for four of them. Rows at odd places cannot be read as vectors.
        let canReadRows = try isAligned(x) || weights.inputs % 8 != 0
        if rows <= 64, canReadRows {
            try launch(
                .linearRows(
                    rows: rows, inputs: weights.inputs, outputs: weights.outputs, input: x.dtype, output: result,
                    hasBias: weights.bias != nil, activation), addresses,
                [.count(rows), .count(weights.inputs), .count(weights.outputs)])
        } else {
            try launch(
                .plainLinear(
                    rows: rows, outputs: weights.outputs, input: x.dtype, output: result,
                    hasBias: weights.bias != nil, activation), addresses,
                [.index(rows), .count(weights.inputs), .count(weights.outputs)])
        }
        return y
    }

    /// See `LinearOps.activate(_:_:)`.
    public func activate(_ x: Tensor, _ activation: Activation) throws(SwanError) -> Tensor {
        let shapes = try ElementwiseShapes(x: x, activation: activationType)
        let y = try allocate(shapes.shape, x.dtype)
        guard shapes.count > 0 else { return y }
        try launch(
            .activate(count: shapes.count, type: x.dtype, activation, isAligned: isAligned(x, y)),
            [address(x), address(y)], [.index(shapes.count)])
        return y
    }

    /// See `LinearOps.geluGate(_:_:)`.
    public func geluGate(_ gate: Tensor, _ up: Tensor) throws(SwanError) -> Tensor {
        let shapes = try ElementwiseShapes(gate: gate, up: up, activation: activationType)
        let y = try allocate(shapes.shape, activationType)
        guard shapes.count > 0 else { return y }
        try launch(
            .geluGate(count: shapes.count, isAligned: isAligned(gate, up, y)),
            [address(gate), address(up), address(y)],
            [.index(shapes.count)])
        return y
    }
}
