public import SwanDiagnostics
public import SwanTensor

/// Weights that were rounded to eight bits and are multiplied in float32.
private final class CPUEightBit: EightBitWeights {
    let coding: EightBitCoding
    let linear: PackedLinear
    var inputs: Int { linear.inputs }
    var outputs: Int { linear.outputs }

    init(_ coding: EightBitCoding, _ linear: PackedLinear) { (self.coding, self.linear) = (coding, linear) }
}

/// On the CPU eight bits save neither time nor memory: numbers are rounded to them and multiplied in float32, so that
/// a GPU's results can be had without one.
extension CPUBackend {
    /// See `EightBitOps.makeLinear(weight:bias:as:)`.
    public func makeLinear(
        weight: HostTensor, bias: HostTensor?, as coding: EightBitCoding
    ) throws(SwanError) -> any EightBitWeights {
        _ = try LinearWeightShapes(eightBit: weight, bias: bias)
        return try makeLinear(weight: EightBitWeight(weight, as: coding), bias: bias)
    }

    /// See `EightBitOps.makeLinear(weight:bias:)`.
    public func makeLinear(weight: EightBitWeight, bias: HostTensor?) throws(SwanError) -> any EightBitWeights {
        let shapes = try LinearWeightShapes(weight, bias: bias)
        return CPUEightBit(
            weight.coding,
            try packLinear(weight.dequantized(), bias: bias, inputs: shapes.inputs, outputs: shapes.outputs))
    }

    /// See `EightBitOps.quantizeRows(_:to:)`.
    public func quantizeRows(_ x: Tensor, to coding: EightBitCoding) throws(SwanError) -> QuantizedRows {
        let shapes = try QuantizeShapes(x: x, activation: activationType)
        let values = try allocate(x.shape, coding.format.dtype)
        let (scales, target) = try result([shapes.rows])
        let (source, bytes, width) = (try floats(x), try bytes(values), shapes.width)
        forEachRange(of: shapes.rows, size: width) { rows in
            for row in rows {
                target[row] = coding.encode(
                    UnsafeBufferPointer(start: source + row * width, count: width),
                    into: UnsafeMutableBufferPointer(start: bytes + row * width, count: width))
            }
        }
        return try QuantizedRows(values: values, scales: scales, as: coding)
    }

    /// See `EightBitOps.linear(_:_:result:)`.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, result type: DType
    ) throws(SwanError) -> Tensor {
        let shapes = try LinearShapes(x: x, weights: weights, activation: activationType, result: type)
        let weights = try own(weights, as: CPUEightBit.self)
        let (bytes, scales, values) = (try bytes(x.values), try floats(x.scales), x.coding.format.values)
        let (rows, widened) = try result(x.values.shape)
        let inputs = weights.inputs
        forEachRange(of: shapes.rows, size: inputs) { range in
            for row in range {
                for i in row * inputs ..< (row + 1) * inputs { widened[i] = values[Int(bytes[i])] * scales[row] }
            }
        }
        let (result, target) = try result([shapes.rows, weights.outputs])
        multiply(widened, rows: shapes.rows, weights.linear, into: target, .identity, residual: nil)
        withExtendedLifetime(rows) {}
        return result
    }
}
