public import SwanDiagnostics
public import SwanTensor

/// Weights in eight bits as they are stored.
private final class ReferenceEightBit: EightBitWeights {
    let inputs, outputs: Int
    let coding: EightBitCoding
    let values, scales: [Float]
    let bias: [Float]

    init(_ weight: EightBitWeight, _ shapes: LinearWeightShapes, bias: HostTensor?) throws(SwanError) {
        (inputs, outputs) = (shapes.inputs, shapes.outputs)
        coding = weight.coding
        (values, scales) = (try weight.values.floats(), try weight.scales.floats())
        self.bias = try bias?.floats() ?? Array(repeating: 0, count: shapes.outputs)
    }
}

extension ReferenceBackend {
    /// See `EightBitOps.makeLinear(weight:bias:as:)`.
    public func makeLinear(
        weight: HostTensor, bias: HostTensor?, as coding: EightBitCoding
    ) throws(SwanError) -> any EightBitWeights {
        _ = try LinearWeightShapes(eightBit: weight, bias: bias)
        return try makeLinear(weight: EightBitWeight(weight, as: coding), bias: bias)
    }

    /// See `EightBitOps.makeLinear(weight:bias:)`.
    public func makeLinear(weight: EightBitWeight, bias: HostTensor?) throws(SwanError) -> any EightBitWeights {
        try ReferenceEightBit(weight, LinearWeightShapes(weight, bias: bias), bias: bias)
    }

    /// See `EightBitOps.quantizeRows(_:to:)`.
    public func quantizeRows(_ x: Tensor, to coding: EightBitCoding) throws(SwanError) -> QuantizedRows {
        let shapes = try QuantizeShapes(x: x, activation: activationType)
        let values = try allocate(x.shape, coding.format.dtype)
        let (scales, target) = try result([shapes.rows])
        let (source, bytes) = (try floats(x), try bytes(values))
        let (format, block) = (coding.format, coding.block(of: shapes.width))
        for row in 0 ..< shapes.rows {
            let first = row * shapes.width
            var numbers = (0 ..< shapes.width).map { source[first + $0] }
            numbers.withUnsafeMutableBufferPointer { EightBitCoding.rotate($0, block: block) }
            let magnitude = numbers.reduce(UInt32(0)) { max($0, $1.magnitude.bitPattern) }
            let (scale, factor) = format.scale(largestBits: magnitude)
            target[row] = scale * EightBitCoding.unit(block)
            for (i, number) in numbers.enumerated() { bytes[first + i] = format.encode(number * factor) }
        }
        return try QuantizedRows(values: values, scales: scales, as: coding)
    }

    /// See `EightBitOps.linear(_:_:result:)`.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, result type: DType
    ) throws(SwanError) -> Tensor {
        let shapes = try LinearShapes(x: x, weights: weights, activation: activationType, result: type)
        let weights = try own(weights, as: ReferenceEightBit.self)
        let (inputs, outputs) = (weights.inputs, weights.outputs)
        let (source, scales) = (try download(x.values), try floats(x.scales))
        let (result, target) = try result([shapes.rows, outputs])
        for row in 0 ..< shapes.rows {
            for output in 0 ..< outputs {
                var sum = 0.0
                for i in 0 ..< inputs {
                    sum += Double(source[row * inputs + i]) * Double(weights.values[output * inputs + i])
                }
                target[row * outputs + output] = Float(
                    sum * Double(scales[row]) * Double(weights.scales[output]) + Double(weights.bias[output]))
            }
        }
        return result
    }

    /// See `EightBitOps.linear(_:_:gate:onto:)`: one after the other.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, gate: Tensor?, onto residual: Tensor
    ) throws(SwanError) -> Tensor? {
        _ = try BranchShapes(x: x, weights: weights, gate: gate, residual: residual, activation: activationType)
        let y = try linear(x, weights, result: .float32)
        if let gate { try addGated(y, gate: gate, to: residual) } else { try add(y, to: residual) }
        return nil
    }
}
