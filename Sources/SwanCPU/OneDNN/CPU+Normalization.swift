import CSwanCPUKernels
public import SwanDiagnostics
public import SwanTensor

extension CPUBackend {
    /// See `NormalizationOps.layerNorm(_:weight:bias:eps:)`.
    public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try NormShapes(x: x, weight: weight, bias: bias)
        let (source, weight, bias) = (try floats(x), try floats(weight), try floats(bias))
        let (result, target) = try result(x.shape)
        let (width, kernels) = (shapes.width, kernels)
        forEachRange(of: shapes.rows, size: 2 * width) { rows in
            for row in rows {
                kernels.layer_norm(target + row * width, source + row * width, weight, bias, width, eps, 0)
            }
        }
        return result
    }

    /// See `NormalizationOps.layerNormModulate(_:shift:scale:eps:)`.
    public func layerNormModulate(_ x: Tensor, shift: Tensor, scale: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try ModulateShapes(x: x, shift: shift, scale: scale)
        let (source, shift, scale) = (try floats(x), try floats(shift), try floats(scale))
        let (result, target) = try result(x.shape)
        let (width, perGroup, kernels) = (shapes.width, shapes.tokensPerGroup, kernels)
        forEachRange(of: shapes.tokens, size: 2 * width) { rows in
            for row in rows {
                let group = row / perGroup * width
                kernels.layer_norm(
                    target + row * width, source + row * width, scale + group, shift + group, width, eps, 1)
            }
        }
        return result
    }

    /// See `NormalizationOps.rmsNorm(_:weight:eps:)`.
    public func rmsNorm(_ x: Tensor, weight: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try NormShapes(x: x, weight: weight, activation: activationType)
        let (source, weight) = (try floats(x), try floats(weight))
        let (result, target) = try result(x.shape)
        let (width, kernels) = (shapes.width, kernels)
        forEachRange(of: shapes.rows, size: 2 * width) { rows in
            for row in rows { kernels.rms_norm(target + row * width, source + row * width, weight, width, eps) }
        }
        return result
    }

    /// See `NormalizationOps.rmsNormRope(_:weight:eps:rope:)`.
    public func rmsNormRope(_ x: Tensor, weight: Tensor, eps: Float, rope: RotaryTable) throws(SwanError) -> Tensor {
        let shapes = try NormRopeShapes(x: x, weight: weight, rope: rope, activation: activationType)
        let (source, weight) = (try floats(x), try floats(weight))
        let (cosines, sines) = (try floats(rope.cosines), try floats(rope.sines))
        let (result, target) = try result(x.shape)
        let (width, pairs, kernels) = (shapes.width, shapes.pairs, kernels)
        forEachRange(of: shapes.tokens, size: 2 * width) { rows in
            for row in rows {
                kernels.rms_norm_rope(
                    target + row * width, source + row * width, weight, width, eps, cosines + row * pairs,
                    sines + row * pairs, pairs)
            }
        }
        return result
    }

    /// See `NormalizationOps.add(_:to:)`.
    public func add(_ y: Tensor, to x: Tensor) throws(SwanError) {
        let shapes = try ElementwiseShapes(adding: y, to: x, activation: activationType)
        let (x, y) = (try floats(x), try floats(y))
        let kernels = kernels
        forEachRange(of: shapes.count, size: 2) { range in
            kernels.add(x + range.lowerBound, y + range.lowerBound, range.count)
        }
    }

    /// See `NormalizationOps.addGated(_:gate:to:)`.
    public func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) throws(SwanError) {
        let shapes = try ModulateShapes(adding: y, gate: gate, to: x, activation: activationType)
        let (x, y, gate) = (try floats(x), try floats(y), try floats(gate))
        let (width, perGroup, kernels) = (shapes.width, shapes.tokensPerGroup, kernels)
        forEachRange(of: shapes.tokens, size: 2 * width) { rows in
            for row in rows {
                kernels.add_gated(x + row * width, y + row * width, gate + row / perGroup * width, width)
            }
        }
    }
}
