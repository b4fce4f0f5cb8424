public import SwanDiagnostics
public import SwanTensor

/// Weights as `[outputs, kernel frames, kernel rows, kernel columns, inputs]` in bfloat16, the layout of channels last.
private final class CUDAConvolution: ConvolutionWeights {
    let geometry: ConvolutionShape
    let weight, bias: Tensor

    init(_ geometry: ConvolutionShape, weight: Tensor, bias: Tensor) {
        (self.geometry, self.weight, self.bias) = (geometry, weight, bias)
    }
}

/// Four 2×2 convolutions, one for each phase of the doubled frame: rows even and odd, in each columns even and odd.
private final class CUDAUpsample: UpsampleWeights {
    let phases: [CUDAConvolution]
    let inputs, outputs: Int

    init(_ phases: [CUDAConvolution], inputs: Int, outputs: Int) {
        (self.phases, self.inputs, self.outputs) = (phases, inputs, outputs)
    }
}

extension CUDABackend {
    /// Elements of a result from which on bias and residual are added inside the convolution, which saves three passes
    /// over it. cuDNN compiles such a kernel for each shape, for a tenth of a second, which smaller ones are not worth.
    private static let fusedElements = 1 << 23

    /// See `VideoOps.channelsLast(_:scale:shift:)`.
    public func channelsLast(_ latent: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(latent: latent, scale: scale, shift: shift)
        let y = try allocate([shapes.frames, shapes.height, shapes.width, shapes.channels], activationType)
        let positions = shapes.frames * shapes.positions
        try launch(
            .channelsLast(channels: shapes.channels, positions: positions),
            [address(latent), address(scale), address(shift), address(y)],
            [.count(shapes.channels), .index(positions)])
        return y
    }

    /// See `VideoOps.channelsFirst(_:scale:shift:)`.
    public func channelsFirst(_ frames: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(frames: frames, scale: scale, shift: shift, activation: activationType)
        let taken = scale.shape.count
        let y = try allocate([taken, shapes.frames, shapes.height, shapes.width], .float32)
        let positions = shapes.frames * shapes.positions
        try launch(
            .channelsFirst(channels: taken, positions: positions),
            [address(frames), address(scale), address(shift), address(y)],
            [.count(shapes.channels), .count(taken), .index(positions)])
        return y
    }

    /// See `VideoOps.makeConvolution(_:weight:bias:)`; weights are rounded to bfloat16.
    public func makeConvolution(
        _ geometry: ConvolutionShape, weight: HostTensor, bias: HostTensor
    ) throws(SwanError) -> any ConvolutionWeights {
        try ConvolutionWeightShapes(geometry, weight: weight, bias: bias)
        let kernel = geometry.kernel
        let taps = kernel.frames * kernel.height * kernel.width
        let source = try stage(weight)
        let result = try allocate([geometry.outputs, taps, geometry.inputs], .bfloat16)
        try launch(
            .convolutionTaps(count: result.shape.count, source: source.dtype), [address(source), address(result)],
            [.index(result.shape.count), .count(geometry.inputs), .count(taps)])
        return CUDAConvolution(geometry, weight: result, bias: try bring(bias, as: .float32))
    }

    /// See `VideoOps.convolution(_:_:residual:)`.
    public func convolution(
        _ x: Tensor, _ weights: any ConvolutionWeights, residual: Tensor?
    ) throws(SwanError) -> Tensor {
        let shapes = try ConvolutionShapes(x: x, weights: weights, residual: residual, activation: activationType)
        let weights = try own(weights, as: CUDAConvolution.self)
        let y = try allocate(shapes.output, activationType)
        try convolve(x, weights, residual: residual, into: y)
        return y
    }

    private func convolve(
        _ x: Tensor, _ weights: CUDAConvolution, residual: Tensor?, into y: Tensor
    ) throws(SwanError) {
        let geometry = weights.geometry
        if try isAligned(x, y, residual ?? y) {
            let operands = [try address(x), try address(weights.weight), try address(weights.bias)]
            if geometry.inputs % 8 == 0, geometry.outputs % 8 == 0, y.shape.count >= Self.fusedElements,
                try executor.execute(
                    .biasedConvolution(geometry, input: x.shape, hasResidual: residual != nil),
                    operands + (residual.map { (residual) throws(SwanError) in [try address(residual)] } ?? [])
                        + [address(y)], scale: nil, workspace: workspace())
            {
                return
            }
            // In float32 first, so that bias and residual are added before anything is rounded.
            for type in [DType.float32, .bfloat16] {
                let sums = type == y.dtype ? y : try allocate(y.shape, type)
                guard
                    try executor.execute(
                        .convolution(geometry, input: x.shape, output: type),
                        [address(x), address(weights.weight), address(sums)], scale: nil, workspace: workspace())
                else { continue }
                try launch(
                    .biasResidual(
                        count: y.shape.count, channels: geometry.outputs, input: type, hasResidual: residual != nil,
                        isAligned: isAligned(residual ?? y)),
                    [address(sums), address(weights.bias), address(residual ?? y), address(y)],
                    [.index(y.shape.count)])
                return
            }
        }
        try launch(
            .plainConvolution(geometry, output: y.shape, hasResidual: residual != nil),
            [address(x), address(weights.weight), address(weights.bias), address(residual ?? y), address(y)],
            [
                .count(x.shape[1]), .count(x.shape[2]), .count(geometry.inputs), .count(geometry.outputs),
                .count(geometry.top), .count(geometry.left),
            ])
    }

    /// See `VideoOps.makeUpsample(weight:bias:)`.
    public func makeUpsample(weight: HostTensor, bias: HostTensor) throws(SwanError) -> any UpsampleWeights {
        _ = try ConvolutionWeightShapes(upsample: weight, bias: bias)
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        let source = try stage(weight)
        let bias = try bring(bias, as: .float32)
        var phases: [CUDAConvolution] = []
        for row in 0 ..< 2 {
            for column in 0 ..< 2 {
                let geometry = ConvolutionShape(
                    inputs: inputs, outputs: outputs, kernel: (1, 2, 2), top: 1 - row, bottom: row, left: 1 - column,
                    right: column)
                let result = try allocate([outputs, 4, inputs], .bfloat16)
                try launch(
                    .upsampleTaps(count: result.shape.count, source: source.dtype),
                    [address(source), address(result)],
                    [.index(result.shape.count), .count(inputs), .count(row), .count(column)])
                phases.append(CUDAConvolution(geometry, weight: result, bias: bias))
            }
        }
        return CUDAUpsample(phases, inputs: inputs, outputs: outputs)
    }

    /// See `VideoOps.upsample(_:_:)`.
    public func upsample(_ x: Tensor, _ weights: any UpsampleWeights) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(x: x, weights: weights, activation: activationType)
        let weights = try own(weights, as: CUDAUpsample.self)
        let small: Shape = [shapes.frames, shapes.height, shapes.width, weights.outputs]
        let all = try allocate(Shape([4 * shapes.frames] + small.extents.dropFirst()), activationType)
        for (index, phase) in weights.phases.enumerated() {
            let part = try all.rows(index * shapes.frames ..< (index + 1) * shapes.frames)
            try convolve(x, phase, residual: nil, into: part)
        }
        let y = try allocate(
            [shapes.frames, 2 * shapes.height, 2 * shapes.width, weights.outputs], activationType)
        try launch(
            .phaseInterleave(count: y.shape.count, channels: weights.outputs), [address(all), address(y)],
            [.count(shapes.frames), .count(shapes.height), .count(shapes.width)])
        return y
    }

    /// See `VideoOps.channelNorm(_:gamma:)`.
    public func channelNorm(_ x: Tensor, gamma: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(x: x, gamma: gamma, activation: activationType)
        let y = try allocate(x.shape, activationType)
        let positions = shapes.frames * shapes.positions
        try launch(
            .normSiLU(
                positions: positions, channels: shapes.channels, isActivated: false, isAligned: isAligned(x, gamma)),
            [address(x), address(gamma), address(x), address(y)], [.index(0), .index(0), .index(positions)])
        return y
    }

    /// See `VideoOps.normSiLU(_:gamma:history:historyFrames:)`.
    public func normSiLU(
        _ x: Tensor, gamma: Tensor, history: Tensor?, historyFrames: Int
    ) throws(SwanError) -> Tensor {
        let shapes = try HistoryShapes(
            x: x, gamma: gamma, history: history, historyFrames: historyFrames, activation: activationType)
        let y = try allocate(shapes.result, activationType)
        let (zeros, kept) = (shapes.zeroFrames * shapes.x.positions, shapes.keptFrames * shapes.x.positions)
        let positions = shapes.x.frames * shapes.x.positions
        try launch(
            .normSiLU(
                positions: zeros + kept + positions, channels: shapes.x.channels, isActivated: true,
                isAligned: isAligned(x, gamma, history ?? x)),
            [address(x), address(gamma), address(history ?? x), address(y)],
            [.index(zeros), .index(zeros + kept), .index(positions)])
        return y
    }

    /// See `VideoOps.withHistory(_:history:historyFrames:)`.
    public func withHistory(_ x: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor {
        let shapes = try HistoryShapes(
            x: x, history: history, historyFrames: historyFrames, activation: activationType)
        let y = try allocate(shapes.result, activationType)
        let (zeros, kept) = (shapes.zeroFrames * shapes.x.frameCount, shapes.keptFrames * shapes.x.frameCount)
        try launch(
            .withHistory(
                zeros: zeros, kept: kept, count: x.shape.count, isAligned: isAligned(x, history ?? x, y)),
            [address(history ?? x), address(x), address(y)],
            [.index(zeros), .index(zeros + kept), .index(x.shape.count)])
        return y
    }

    /// See `VideoOps.frameInterleave(_:)`.
    public func frameInterleave(_ x: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(interleaving: x, activation: activationType)
        let half = shapes.channels / 2
        let y = try allocate([2 * shapes.frames, shapes.height, shapes.width, half], activationType)
        try launch(
            .frameInterleave(count: y.shape.count, channels: half, isAligned: isAligned(x)), [address(x), address(y)],
            [.index(shapes.frames), .index(shapes.positions)])
        return y
    }

    /// See `VideoOps.framesToRGB8(_:)`.
    public func framesToRGB8(_ x: Tensor) throws(SwanError) -> [UInt8] {
        _ = try FrameShapes(pixels: x, activation: activationType)
        let count = x.shape.count
        let pixels = try allocate(x.shape, .uint8)
        try launch(
            .framesToRGB8(count: count, isAligned: isAligned(x, pixels)), [address(x), address(pixels)],
            [.index(count)])
        var bytes = [UInt8](repeating: 0, count: count)
        try read(address(pixels), into: &bytes)
        return bytes
    }
}
