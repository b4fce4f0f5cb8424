public import SwanDiagnostics
public import SwanTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Weights as `[kernel frames, kernel rows, kernel columns, inputs, outputs]`, so that the inner loop
/// runs over outputs.
private final class ReferenceConvolution: ConvolutionWeights {
    let geometry: ConvolutionShape
    let taps: [Double]
    let bias: [Double]

    init(_ geometry: ConvolutionShape, _ weight: [Float], bias: [Float]) {
        self.geometry = geometry
        self.bias = bias.map(Double.init)
        let (inputs, outputs) = (geometry.inputs, geometry.outputs)
        let volume = geometry.kernel.frames * geometry.kernel.height * geometry.kernel.width
        taps = (0 ..< volume * inputs * outputs).map { index in
            let (tap, input, output) = (index / (inputs * outputs), index / outputs % inputs, index % outputs)
            return Double(weight[(output * inputs + input) * volume + tap])
        }
    }
}

/// A 3×3 convolution that is computed on the doubled frame, as the two operations say it.
private final class ReferenceUpsample: UpsampleWeights {
    let convolution: any ConvolutionWeights
    var inputs: Int { convolution.geometry.inputs }
    var outputs: Int { convolution.geometry.outputs }

    init(_ convolution: any ConvolutionWeights) { self.convolution = convolution }
}

extension ReferenceBackend {
    /// See `VideoOps.channelsLast(_:scale:shift:)`.
    public func channelsLast(_ latent: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(latent: latent, scale: scale, shift: shift)
        let (source, scale, shift) = (try floats(latent), try floats(scale), try floats(shift))
        let (result, target) = try result([shapes.frames, shapes.height, shapes.width, shapes.channels])
        let positions = shapes.frames * shapes.positions
        for channel in 0 ..< shapes.channels {
            for i in 0 ..< positions {
                target[i * shapes.channels + channel] =
                    source[channel * positions + i] * scale[channel] + shift[channel]
            }
        }
        return result
    }

    /// See `VideoOps.channelsFirst(_:scale:shift:)`.
    public func channelsFirst(_ frames: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(frames: frames, scale: scale, shift: shift, activation: activationType)
        let taken = scale.shape.count
        let (source, scale, shift) = (try floats(frames), try floats(scale), try floats(shift))
        let (result, target) = try result([taken, shapes.frames, shapes.height, shapes.width])
        let positions = shapes.frames * shapes.positions
        for channel in 0 ..< taken {
            for i in 0 ..< positions {
                target[channel * positions + i] =
                    source[i * shapes.channels + channel] * scale[channel] + shift[channel]
            }
        }
        return result
    }

    /// See `VideoOps.makeConvolution(_:weight:bias:)`.
    public func makeConvolution(
        _ geometry: ConvolutionShape, weight: HostTensor, bias: HostTensor
    ) throws(SwanError) -> any ConvolutionWeights {
        try ConvolutionWeightShapes(geometry, weight: weight, bias: bias)
        return ReferenceConvolution(geometry, try weight.floats(), bias: try bias.floats())
    }

    /// See `VideoOps.convolution(_:_:residual:)`.
    public func convolution(
        _ x: Tensor, _ weights: any ConvolutionWeights, residual: Tensor?
    ) throws(SwanError) -> Tensor {
        let shapes = try ConvolutionShapes(x: x, weights: weights, residual: residual, activation: activationType)
        let weights = try own(weights, as: ReferenceConvolution.self)
        let (geometry, input, kernel) = (weights.geometry, shapes.input, weights.geometry.kernel)
        let (inputs, outputs) = (geometry.inputs, geometry.outputs)
        let source = try floats(x)
        let added: Floats? = if let residual { try floats(residual) } else { nil }
        let (result, target) = try result(shapes.output)
        var pixel = 0
        for frame in 0 ..< shapes.output[0] {
            for row in 0 ..< shapes.output[1] {
                for column in 0 ..< shapes.output[2] {
                    var sums = weights.bias
                    for t in 0 ..< kernel.frames {
                        for y in 0 ..< kernel.height {
                            let sourceRow = row * geometry.stride + y - geometry.top
                            guard sourceRow >= 0, sourceRow < input.height else { continue }
                            for x in 0 ..< kernel.width {
                                let sourceColumn = column * geometry.stride + x - geometry.left
                                guard sourceColumn >= 0, sourceColumn < input.width else { continue }
                                let sourceFrame = frame * geometry.frameStride + t
                                let first =
                                    ((sourceFrame * input.height + sourceRow) * input.width + sourceColumn) * inputs
                                let tap = ((t * kernel.height + y) * kernel.width + x) * inputs
                                for i in 0 ..< inputs {
                                    let value = Double(source[first + i])
                                    for o in 0 ..< outputs { sums[o] += value * weights.taps[(tap + i) * outputs + o] }
                                }
                            }
                        }
                    }
                    for o in 0 ..< outputs {
                        let index = pixel * outputs + o
                        target[index] = Float(sums[o] + (added.map { Double($0[index]) } ?? 0))
                    }
                    pixel += 1
                }
            }
        }
        return result
    }

    /// See `VideoOps.makeUpsample(weight:bias:)`.
    public func makeUpsample(weight: HostTensor, bias: HostTensor) throws(SwanError) -> any UpsampleWeights {
        _ = try ConvolutionWeightShapes(upsample: weight, bias: bias)
        let geometry = ConvolutionShape(inputs: weight.shape[1], outputs: weight.shape[0], kernel: (1, 3, 3))
        return ReferenceUpsample(try makeConvolution(geometry, weight: weight, bias: bias))
    }

    /// See `VideoOps.upsample(_:_:)`.
    public func upsample(_ x: Tensor, _ weights: any UpsampleWeights) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(x: x, weights: weights, activation: activationType)
        let weights = try own(weights, as: ReferenceUpsample.self)
        let source = try floats(x)
        let (height, width, channels) = (2 * shapes.height, 2 * shapes.width, shapes.channels)
        let (doubled, target) = try result([shapes.frames, height, width, channels])
        for frame in 0 ..< shapes.frames {
            for row in 0 ..< height {
                for column in 0 ..< width {
                    let from = (frame * shapes.height + row / 2) * shapes.width + column / 2
                    let to = (frame * height + row) * width + column
                    for c in 0 ..< channels { target[to * channels + c] = source[from * channels + c] }
                }
            }
        }
        return try convolution(doubled, weights.convolution, residual: nil)
    }

    /// See `VideoOps.channelNorm(_:gamma:)`.
    public func channelNorm(_ x: Tensor, gamma: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(x: x, gamma: gamma, activation: activationType)
        let (result, target) = try result(x.shape)
        try normalize(x, gamma, shapes, into: target) { $0 }
        return result
    }

    /// See `VideoOps.normSiLU(_:gamma:history:historyFrames:)`.
    public func normSiLU(
        _ x: Tensor, gamma: Tensor, history: Tensor?, historyFrames: Int
    ) throws(SwanError) -> Tensor {
        let shapes = try HistoryShapes(
            x: x, gamma: gamma, history: history, historyFrames: historyFrames, activation: activationType)
        let (result, target) = try resultWithHistory(history, shapes)
        try normalize(x, gamma, shapes.x, into: target) { Activation.silu($0) }
        return result
    }

    /// See `VideoOps.withHistory(_:history:historyFrames:)`.
    public func withHistory(_ x: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor {
        let shapes = try HistoryShapes(
            x: x, history: history, historyFrames: historyFrames, activation: activationType)
        let source = try floats(x)
        let (result, target) = try resultWithHistory(history, shapes)
        for i in 0 ..< x.shape.count { target[i] = source[i] }
        return result
    }

    /// See `VideoOps.frameInterleave(_:)`.
    public func frameInterleave(_ x: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(interleaving: x, activation: activationType)
        let half = shapes.channels / 2
        let source = try floats(x)
        let (result, target) = try result([2 * shapes.frames, shapes.height, shapes.width, half])
        for frame in 0 ..< shapes.frames {
            for position in 0 ..< shapes.positions {
                for c in 0 ..< shapes.channels {
                    let to = ((2 * frame + c / half) * shapes.positions + position) * half + c % half
                    target[to] = source[(frame * shapes.positions + position) * shapes.channels + c]
                }
            }
        }
        return result
    }

    /// See `VideoOps.framesToRGB8(_:)`.
    public func framesToRGB8(_ x: Tensor) throws(SwanError) -> [UInt8] {
        _ = try FrameShapes(pixels: x, activation: activationType)
        return try download(x).map { value in
            let clamped = value.isNaN ? -1 : min(max(value, -1), 1)
            return UInt8((clamped + 1) / 2 * 255)
        }
    }

    /// `function(x / max(|x|, 1e-12) * sqrt(channels) * gamma)` at every position.
    private func normalize(
        _ x: Tensor, _ gamma: Tensor, _ shapes: FrameShapes, into target: Floats, _ function: (Double) -> Double
    ) throws(SwanError) {
        let (source, gamma, channels) = (try floats(x), try floats(gamma), shapes.channels)
        for first in stride(from: 0, to: x.shape.count, by: channels) {
            let square = (first ..< first + channels).reduce(0.0) { $0 + Double(source[$1]) * Double(source[$1]) }
            let length = square.squareRoot()
            // A NaN must stay one: max(NaN, 1e-12) may give either.
            let divisor = length < 1e-12 ? 1e-12 : length
            for c in 0 ..< channels {
                let value = Double(source[first + c]) / divisor * Double(channels).squareRoot() * Double(gamma[c])
                target[first + c] = Float(function(value))
            }
        }
    }

    /// A result whose first frames are zeros and history, and the place behind them.
    private func resultWithHistory(_ history: Tensor?, _ shapes: HistoryShapes) throws(SwanError) -> (Tensor, Floats) {
        let (result, target) = try result(shapes.result)
        let (zeros, kept) = (shapes.zeroFrames * shapes.x.frameCount, shapes.keptFrames * shapes.x.frameCount)
        for i in 0 ..< zeros { target[i] = 0 }
        if let history {
            let source = try floats(history)
            for i in 0 ..< kept { target[zeros + i] = source[i] }
        }
        return (result, target + zeros + kept)
    }
}
