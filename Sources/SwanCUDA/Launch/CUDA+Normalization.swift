public import SwanDiagnostics
public import SwanTensor

extension CUDABackend {
    /// See `NormalizationOps.layerNorm(_:weight:bias:eps:)`.
    public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try NormShapes(x: x, weight: weight, bias: bias)
        let y = try allocate(x.shape, activationType)
        try launch(
            .layerNorm(rows: shapes.rows, width: shapes.width, isAligned: isAligned(x, weight, bias)),
            [address(x), address(weight), address(bias), address(y), address(y)], [.float(eps)])
        return y
    }

    /// See `NormalizationOps.layerNormModulate(_:shift:scale:eps:)`.
    public func layerNormModulate(_ x: Tensor, shift: Tensor, scale: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try ModulateShapes(x: x, shift: shift, scale: scale)
        let y = try allocate(x.shape, activationType)
        try launch(
            .layerNormModulate(
                tokens: shapes.tokens, width: shapes.width, isAligned: isAligned(x, shift, scale)),
            [address(x), address(shift), address(scale), address(y), address(y)],
            [.count(shapes.tokensPerGroup), .float(eps)])
        return y
    }

    /// See `NormalizationOps.rmsNorm(_:weight:eps:)`.
    public func rmsNorm(_ x: Tensor, weight: Tensor, eps: Float) throws(SwanError) -> Tensor {
        let shapes = try NormShapes(x: x, weight: weight, activation: activationType)
        let y = try allocate(x.shape, activationType)
        try launch(
            .rmsNorm(
                rows: shapes.rows, width: shapes.width, input: x.dtype, isAligned: isAligned(x, weight)),
            [address(x), address(weight), address(y)], [.float(eps)])
        return y
    }

    /// See `NormalizationOps.rmsNormRope(_:weight:eps:rope:)`.
    public func rmsNormRope(_ x: Tensor, weight: Tensor, eps: Float, rope: RotaryTable) throws(SwanError) -> Tensor {
        let shapes = try NormRopeShapes(x: x, weight: weight, rope: rope, activation: activationType)
        let y = try allocate(x.shape, activationType)
        try launch(
            .rmsNormRope(
                tokens: shapes.tokens, width: shapes.width, pairs: shapes.pairs,
                isAligned: isAligned(x, weight, rope.cosines, rope.sines)),
            [address(x), address(weight), address(rope.cosines), address(rope.sines), address(y)], [.float(eps)])
        return y
    }

    /// See `NormalizationOps.add(_:to:)`.
    public func add(_ y: Tensor, to x: Tensor) throws(SwanError) {
        let shapes = try ElementwiseShapes(adding: y, to: x, activation: activationType)
        guard shapes.count > 0 else { return }
        try launch(
            .add(count: shapes.count, input: y.dtype, isAligned: isAligned(y, x)), [address(y), address(x)],
            [.index(shapes.count)])
    }

    /// See `NormalizationOps.addGated(_:gate:to:)`.
    public func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) throws(SwanError) {
        let shapes = try ModulateShapes(adding: y, gate: gate, to: x, activation: activationType)
        try launch(
            .addGated(tokens: shapes.tokens, width: shapes.width, isAligned: isAligned(y, gate, x)),
            [address(y), address(gate), address(x)], [.count(shapes.tokens), .count(shapes.tokensPerGroup)])
    }

    /// See `NormalizationOps.addGatedLayerNorm(_:gate:to:weight:bias:eps:)`.
    public func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float
    ) throws(SwanError) -> Tensor {
        let shapes = try ModulateShapes(
            adding: y, gate: gate, to: x, weight: weight, bias: bias, activation: activationType)
        let h = try allocate(x.shape, activationType)
        try launch(
            .addGatedLayerNorm(
                tokens: shapes.tokens, width: shapes.width, isAligned: isAligned(y, gate, x, weight, bias)),
            [address(y), address(gate), address(x), address(weight), address(bias), address(h), address(h)],
            [.count(shapes.tokensPerGroup), .float(eps)])
        return h
    }

    /// See `NormalizationOps.addLayerNormModulate(_:gate:to:shift:scale:eps:)`.
    public func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float
    ) throws(SwanError) -> Tensor {
        let shapes = try ModulateShapes(
            adding: y, gate: gate, to: x, shift: shift, scale: scale, activation: activationType)
        let h = try allocate(x.shape, activationType)
        try launch(
            .addLayerNormModulate(
                tokens: shapes.tokens, width: shapes.width, isGated: gate != nil,
                isAligned: isAligned(y, gate ?? x, x, shift, scale)),
            [address(y), address(gate ?? x), address(x), address(shift), address(scale), address(h), address(h)],
            [.count(shapes.tokensPerGroup), .float(eps)])
        return h
    }

    /// See `NormalizationOps.modulation(_:table:)`.
    public func modulation(_ timestep: Tensor, table: Tensor) throws(SwanError) -> Tensor {
        let shapes = try ModulationShapes(timestep: timestep, table: table)
        let result = try allocate([shapes.parts, shapes.groups, shapes.width], .float32)
        try launch(
            .modulation(parts: shapes.parts, groups: shapes.groups, width: shapes.width),
            [address(timestep), address(table), address(result)],
            [
                .count(shapes.width), .index(shapes.hasParts ? shapes.parts * shapes.width : shapes.width),
                .count(shapes.hasParts ? shapes.width : 0),
            ])
        return result
    }
}
