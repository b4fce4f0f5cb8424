public import SwanDiagnostics
public import SwanTensor

/// Weights that were rounded to eight bits and are multiplied in float32.
private final class CPUEightBit: EightBitWeights {
    let format: EightBitFormat
    let linear: PackedLinear
    var inputs: Int { linear.inputs }
    var outputs: Int { linear.outputs }

    init(_ format: EightBitFormat, _ linear: PackedLinear) { (self.format, self.linear) = (format, linear) }
}

/// On the CPU eight bits save neither time nor memory: numbers are rounded to them and multiplied in float32, so that
/// a GPU's results can be had without one.
extension CPUBackend {
    /// See ``EightBitOps/makeLinear(weight:bias:as:)``.
    public func makeLinear(
        weight: HostTensor, bias: HostTensor?, as format: EightBitFormat
    ) throws(SwanError) -> any EightBitWeights {
        _ = try LinearWeightShapes(eightBit: weight, bias: bias)
        return try makeLinear(weight: EightBitWeight(weight, as: format), bias: bias)
    }

    /// See ``EightBitOps/makeLinear(weight:bias:)``.
    public func makeLinear(weight: EightBitWeight, bias: HostTensor?) throws(SwanError) -> any EightBitWeights {
        let shapes = try LinearWeightShapes(weight, bias: bias)
        return CPUEightBit(
            weight.format,
            try packLinear(weight.dequantized(), bias: bias, inputs: shapes.inputs, outputs: shapes.outputs))
    }

    /// See ``EightBitOps/quantizeRows(_:to:)``.
    public func quantizeRows(_ x: Tensor, to format: EightBitFormat) throws(SwanError) -> QuantizedRows {
        let shapes = try QuantizeShapes(x: x, activation: activationType)
        let values = try allocate(x.shape, format.dtype)
        let (scales, target) = try result([shapes.rows])
        let (source, bytes, width) = (try floats(x), try bytes(values), shapes.width)
        forEachRange(of: shapes.rows, size: width) { rows in
            for row in rows {
                target[row] = format.encode(
                    UnsafeBufferPointer(start: source + row * width, count: width),
                    into: UnsafeMutableBufferPointer(start: bytes + row * width, count: width))
            }
        }
        return try QuantizedRows(values: values, scales: scales)
    }

    /// See ``EightBitOps/linear(_:_:result:)``.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, result type: DType
    ) throws(SwanError) -> Tensor {
        let shapes = try LinearShapes(x: x, weights: weights, activation: activationType, result: type)
        let weights = try own(weights, as: CPUEightBit.self)
        let (bytes, scales, values) = (try bytes(x.values), try floats(x.scales), x.format.values)
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
