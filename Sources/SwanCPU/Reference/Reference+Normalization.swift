public import SwanDiagnostics
public import SwanTensor

extension ReferenceBackend {
    /// See `NormalizationOps.layerNorm(_:weight:bias:eps:)`.
    public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try NormShapes(x: x, weight: weight, bias: bias)
        let (source, scale, shift) = (try floats(x), try floats(weight), try floats(bias))
        let (result, target) = try result(x.shape)
        for row in 0 ..< shapes.rows {
            let values = standardized(source + row * shapes.width, shapes.width, eps)
            for i in 0 ..< shapes.width {
                target[row * shapes.width + i] = Float(values[i] * Double(scale[i]) + Double(shift[i]))
            }
        }
        return result
    }

    /// See `NormalizationOps.layerNormModulate(_:shift:scale:eps:)`.
    public func layerNormModulate(_ x: Tensor, shift: Tensor, scale: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try ModulateShapes(x: x, shift: shift, scale: scale)
        let (source, shift, scale) = (try floats(x), try floats(shift), try floats(scale))
        let (result, target) = try result(x.shape)
        for row in 0 ..< shapes.tokens {
            let group = row / shapes.tokensPerGroup * shapes.width
            let values = standardized(source + row * shapes.width, shapes.width, eps)
            for i in 0 ..< shapes.width {
                target[row * shapes.width + i] = Float(
                    values[i] * (1 + Double(scale[group + i])) + Double(shift[group + i]))
            }
        }
        return result
    }

    /// See `NormalizationOps.rmsNorm(_:weight:eps:)`.
    public func rmsNorm(_ x: Tensor, weight: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try NormShapes(x: x, weight: weight, activation: activationType)
        let (source, weight) = (try floats(x), try floats(weight))
        let (result, target) = try result(x.shape)
        for row in 0 ..< shapes.rows {
            let values = rmsNormalized(source + row * shapes.width, weight, shapes.width, eps)
            for i in 0 ..< shapes.width { target[row * shapes.width + i] = Float(values[i]) }
        }
        return result
    }

    /// See `NormalizationOps.rmsNormRope(_:weight:eps:rope:)`.
    public func rmsNormRope(_ x: Tensor, weight: Tensor, eps: Float, rope: RotaryTable) throws(SwanError) -> Tensor {
        let shapes = try NormRopeShapes(x: x, weight: weight, rope: rope, activation: activationType)
        let (source, weight) = (try floats(x), try floats(weight))
        let (cosines, sines) = (try floats(rope.cosines), try floats(rope.sines))
        let (result, target) = try result(x.shape)
        for token in 0 ..< shapes.tokens {
            let values = rmsNormalized(source + token * shapes.width, weight, shapes.width, eps)
            for pair in 0 ..< shapes.width / 2 {
                let angle = token * shapes.pairs + pair % shapes.pairs
                let (cosine, sine) = (Double(cosines[angle]), Double(sines[angle]))
                let (a, b) = (values[2 * pair], values[2 * pair + 1])
                target[token * shapes.width + 2 * pair] = Float(a * cosine - b * sine)
                target[token * shapes.width + 2 * pair + 1] = Float(a * sine + b * cosine)
            }
        }
        return result
    }

    /// See `NormalizationOps.add(_:to:)`.
    public func add(_ y: Tensor, to x: Tensor) throws(SwanError) {
        let shapes = try ElementwiseShapes(adding: y, to: x, activation: activationType)
        let (sum, y) = (try floats(x), try floats(y))
        for i in 0 ..< shapes.count { sum[i] += y[i] }
    }

    /// See `NormalizationOps.addGated(_:gate:to:)`.
    public func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) throws(SwanError) {
        let shapes = try ModulateShapes(adding: y, gate: gate, to: x, activation: activationType)
        let (sum, y, gate) = (try floats(x), try floats(y), try floats(gate))
        for row in 0 ..< shapes.tokens {
            let group = row / shapes.tokensPerGroup * shapes.width
            for i in row * shapes.width ..< (row + 1) * shapes.width {
                sum[i] = Float(Double(sum[i]) + Double(y[i]) * Double(gate[group + i - row * shapes.width]))
            }
        }
    }

    /// `(x - mean) / sqrt(variance + eps)` of one row.
    private func standardized(_ row: Floats, _ width: Int, _ eps: Float) -> [Double] {
        let values = (0 ..< width).map { Double(row[$0]) }
        let mean = values.reduce(0, +) / Double(width)
        let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
        return values.map { ($0 - mean) / (variance + Double(eps)).squareRoot() }
    }

    /// `x / sqrt(mean(x^2) + eps) * weight` of one row.
    private func rmsNormalized(_ row: Floats, _ weight: Floats, _ width: Int, _ eps: Float) -> [Double] {
        let values = (0 ..< width).map { Double(row[$0]) }
        let meanSquare = values.reduce(0) { $0 + $1 * $1 } / Double(width)
        return values.indices.map { values[$0] / (meanSquare + Double(eps)).squareRoot() * Double(weight[$0]) }
    }
}
