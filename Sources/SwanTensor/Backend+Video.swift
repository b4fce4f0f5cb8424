public import SwanDiagnostics

/// A convolution's geometry. Time is never padded: the caller puts earlier frames in front.
public struct ConvolutionShape: Sendable, Hashable {
    /// Input channels.
    public var inputs: Int
    /// Output channels.
    public var outputs: Int
    /// Kernel extents: frames, rows, columns.
    public var kernel: (frames: Int, height: Int, width: Int) {
        get { (kernelFrames, kernelHeight, kernelWidth) }
        set { (kernelFrames, kernelHeight, kernelWidth) = newValue }
    }
    private var kernelFrames, kernelHeight, kernelWidth: Int
    /// Step in time.
    public var frameStride: Int
    /// Step in both directions of space.
    public var stride: Int
    /// Rows of zeros above, below, and columns of zeros to the left and right.
    public var top, bottom, left, right: Int

    /// Makes a geometry; padding defaults to half the kernel on each side ("same").
    public init(
        inputs: Int, outputs: Int, kernel: (frames: Int, height: Int, width: Int), frameStride: Int = 1,
        stride: Int = 1,
        top: Int? = nil, bottom: Int? = nil, left: Int? = nil, right: Int? = nil
    ) {
        self.inputs = inputs
        self.outputs = outputs
        (kernelFrames, kernelHeight, kernelWidth) = kernel
        self.frameStride = frameStride
        self.stride = stride
        self.top = top ?? kernel.height / 2
        self.bottom = bottom ?? kernel.height / 2
        self.left = left ?? kernel.width / 2
        self.right = right ?? kernel.width / 2
    }

    /// The result's `[frames, height, width, channels]` for an input of that form, or nil when the
    /// input is smaller than the kernel or has other channels.
    public func output(of input: Shape) -> Shape? {
        guard input.rank == 4, input[3] == inputs else { return nil }
        let frames = input[0] - kernelFrames
        let height = input[1] + top + bottom - kernelHeight
        let width = input[2] + left + right - kernelWidth
        guard frames >= 0, height >= 0, width >= 0 else { return nil }
        return [frames / frameStride + 1, height / stride + 1, width / stride + 1, outputs]
    }
}

/// The weights of a convolution in the form that their backend computes fastest.
public protocol ConvolutionWeights: AnyObject {
    /// The geometry they were made for.
    var geometry: ConvolutionShape { get }
}

/// The weights of a nearest-neighbour doubling fused with a 3×3 convolution.
public protocol UpsampleWeights: AnyObject {
    /// Input channels.
    var inputs: Int { get }
    /// Output channels.
    var outputs: Int { get }
}

/// The video autoencoder's operations, on frames with channels last: `[frames, height, width, channels]`.
public protocol VideoOps {
    /// `latent * scale + shift` per channel, channels moved last.
    ///
    /// - Parameters:
    ///   - latent: float32 `[channels, frames, height, width]`.
    ///   - scale: float32 `[channels]`.
    ///   - shift: float32 `[channels]`.
    /// - Returns: activations `[frames, height, width, channels]`.
    func channelsLast(_ latent: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor

    /// `frames * scale + shift` per channel, channels moved first: the way back.
    ///
    /// - Parameters:
    ///   - frames: activations `[frames, height, width, channels]`; only the first `scale.count`
    ///     channels are taken.
    ///   - scale: float32 `[channels]`.
    ///   - shift: float32 `[channels]`.
    /// - Returns: float32 `[channels, frames, height, width]`.
    func channelsFirst(_ frames: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor

    /// Brings the weights of a convolution to the device.
    ///
    /// - Parameters:
    ///   - geometry: extents, steps and padding.
    ///   - weight: `[outputs, inputs, frames, height, width]`, or without `frames` when that is 1.
    ///   - bias: `[outputs]`.
    func makeConvolution(_ geometry: ConvolutionShape, weight: HostTensor, bias: HostTensor) throws(SwanError)
        -> any ConvolutionWeights

    /// Convolution, plus `residual` where there is one.
    ///
    /// - Parameters:
    ///   - x: activations `[frames, height, width, inputs]`, at least as large as the kernel.
    ///   - weights: made by this backend.
    ///   - residual: activations shaped like the result, added to it; nil for none.
    /// - Returns: activations as ``ConvolutionShape/output(of:)`` says. Sums in float32.
    func convolution(_ x: Tensor, _ weights: any ConvolutionWeights, residual: Tensor?) throws(SwanError) -> Tensor

    /// Brings the weights of a 3×3 convolution behind a nearest-neighbour doubling to the device.
    ///
    /// The two together equal four 2×2 convolutions on the small frame, one per output phase: even
    /// rows use tap 0 on row y - 1 and taps 1 + 2 on row y, odd rows taps 0 + 1 on y and tap 2 on
    /// y + 1, columns alike. Taps are summed in float32.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs, 3, 3]`.
    ///   - bias: `[outputs]`.
    func makeUpsample(weight: HostTensor, bias: HostTensor) throws(SwanError) -> any UpsampleWeights

    /// Nearest-neighbour doubling in height and width, then a 3×3 convolution with one row and column
    /// of zeros around; frame by frame.
    ///
    /// - Parameters:
    ///   - x: activations `[frames, height, width, inputs]`.
    ///   - weights: made by this backend.
    /// - Returns: activations `[frames, 2 * height, 2 * width, outputs]`.
    func upsample(_ x: Tensor, _ weights: any UpsampleWeights) throws(SwanError) -> Tensor

    /// Normalisation over channels without activation or history:
    /// `x / max(|x|, 1e-12) * sqrt(channels) * gamma` at every position; zeros stay zeros.
    ///
    /// - Parameters:
    ///   - x: activations `[frames, height, width, channels]`.
    ///   - gamma: float32 `[channels]`.
    func channelNorm(_ x: Tensor, gamma: Tensor) throws(SwanError) -> Tensor

    /// The input of a causal convolution: `history` in front, then `silu(channelNorm(x))`.
    ///
    /// - Parameters:
    ///   - x: activations `[frames, height, width, channels]`.
    ///   - gamma: float32 `[channels]`.
    ///   - history: the last frames of this function's earlier results, `[0 ... historyFrames,
    ///     height, width, channels]`; nil for none.
    ///   - historyFrames: frames in front of the result; missing ones are zero, in front.
    /// - Returns: activations `[historyFrames + frames, height, width, channels]`.
    func normSiLU(_ x: Tensor, gamma: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor

    /// `history` in front of `x`, missing frames zero: as ``normSiLU(_:gamma:history:historyFrames:)``
    /// without the arithmetic.
    func withHistory(_ x: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor

    /// Doubles the frames: frame `t` becomes frames `2t` (the first half of its channels) and
    /// `2t + 1` (the second half).
    ///
    /// - Parameter x: activations `[frames, height, width, 2 * channels]`.
    /// - Returns: activations `[2 * frames, height, width, channels]`.
    func frameInterleave(_ x: Tensor) throws(SwanError) -> Tensor

    /// Pixels of frames: `truncate((clamp(x, -1, 1) + 1) / 2 * 255)`; NaN becomes 0.
    ///
    /// - Parameter x: activations `[frames, height, width, 3]`.
    /// - Returns: red, green and blue bytes, frame by frame, row by row.
    ///
    /// Source: Wan2.2 `wan/utils/utils.py`, `save_video`.
    func framesToRGB8(_ x: Tensor) throws(SwanError) -> [UInt8]
}

/// The sizes of frames with channels last, checked.
package struct FrameShapes {
    /// The extents.
    package let frames, height, width, channels: Int
    /// Positions of one frame.
    package var positions: Int { height * width }
    /// Values of one frame.
    package var frameCount: Int { height * width * channels }

    /// The same frames as one long row each.
    package var flattened: FrameShapes {
        FrameShapes(frames: frames, height: 1, width: positions, channels: channels)
    }

    private init(frames: Int, height: Int, width: Int, channels: Int) {
        (self.frames, self.height, self.width, self.channels) = (frames, height, width, channels)
    }

    /// Checks the arguments of ``VideoOps/channelsLast(_:scale:shift:)``.
    package init(latent: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) {
        let contract = Contract("channelsLast")
        try contract.type(latent, of: "latent", .float32)
        try contract.rank(latent.shape, of: "latent", "channels", "frames", "height", "width")
        try contract.filled(latent.shape, of: "latent")
        (channels, frames, height, width) = (latent.shape[0], latent.shape[1], latent.shape[2], latent.shape[3])
        try contract.vector(scale, of: "scale", channels)
        try contract.vector(shift, of: "shift", channels)
    }

    /// Checks the arguments of ``VideoOps/channelsFirst(_:scale:shift:)``; `channels` are the frames',
    /// of which `scale.count` are taken.
    package init(frames x: Tensor, scale: Tensor, shift: Tensor, activation: DType) throws(SwanError) {
        let contract = Contract("channelsFirst")
        try self.init(x, named: "frames", activation, contract)
        let taken = scale.shape.count
        try contract.require(
            taken > 0 && taken <= channels, "scale has shape \(scale.shape), expected 1 to \(channels) channels")
        try contract.vector(scale, of: "scale", taken)
        try contract.vector(shift, of: "shift", taken)
    }

    /// Checks the arguments of ``VideoOps/channelNorm(_:gamma:)``.
    package init(x: Tensor, gamma: Tensor, activation: DType) throws(SwanError) {
        let contract = Contract("channelNorm")
        try self.init(x, named: "x", activation, contract)
        try contract.vector(gamma, of: "gamma", channels)
    }

    /// Checks the arguments of ``VideoOps/frameInterleave(_:)``; `channels` are the input's.
    package init(interleaving x: Tensor, activation: DType) throws(SwanError) {
        let contract = Contract("frameInterleave")
        try self.init(x, named: "x", activation, contract)
        try contract.require(channels % 2 == 0, "x has \(channels) channels, expected an even number")
    }

    /// Checks the arguments of ``VideoOps/framesToRGB8(_:)``.
    package init(pixels x: Tensor, activation: DType) throws(SwanError) {
        let contract = Contract("framesToRGB8")
        try self.init(x, named: "x", activation, contract)
        try contract.require(channels == 3, "x has \(channels) channels, expected 3")
    }

    /// Checks the arguments of ``VideoOps/upsample(_:_:)``.
    package init(x: Tensor, weights: any UpsampleWeights, activation: DType) throws(SwanError) {
        let contract = Contract("upsample")
        try self.init(x, named: "x", activation, contract)
        try contract.require(
            channels == weights.inputs, "x has \(channels) channels, expected the weights' \(weights.inputs)")
    }

    fileprivate init(_ x: Tensor, named name: String, _ activation: DType, _ contract: Contract) throws(SwanError) {
        try contract.type(x, of: name, activation)
        try contract.rank(x.shape, of: name, "frames", "height", "width", "channels")
        try contract.filled(x.shape, of: name)
        (frames, height, width, channels) = (x.shape[0], x.shape[1], x.shape[2], x.shape[3])
    }
}

/// The sizes of frames with history in front, checked.
package struct HistoryShapes {
    /// The new frames.
    package let x: FrameShapes
    /// Frames of zeros in front.
    package let zeroFrames: Int
    /// Frames of history behind them.
    package let keptFrames: Int
    /// The result's shape.
    package var result: Shape { [zeroFrames + keptFrames + x.frames, x.height, x.width, x.channels] }

    /// Checks the arguments of ``VideoOps/normSiLU(_:gamma:history:historyFrames:)``.
    package init(x: Tensor, gamma: Tensor, history: Tensor?, historyFrames: Int, activation: DType) throws(SwanError) {
        let contract = Contract("normSiLU")
        try self.init(x, history, historyFrames, activation, contract)
        try contract.vector(gamma, of: "gamma", self.x.channels)
    }

    /// Checks the arguments of ``VideoOps/withHistory(_:history:historyFrames:)``.
    package init(x: Tensor, history: Tensor?, historyFrames: Int, activation: DType) throws(SwanError) {
        try self.init(x, history, historyFrames, activation, Contract("withHistory"))
    }

    private init(
        _ x: Tensor, _ history: Tensor?, _ historyFrames: Int, _ activation: DType, _ contract: Contract
    ) throws(SwanError) {
        self.x = try FrameShapes(x, named: "x", activation, contract)
        try contract.require(historyFrames >= 0, "historyFrames is \(historyFrames), expected at least 0")
        if let history {
            try contract.type(history, of: "history", activation)
            try contract.rank(history.shape, of: "history", "frames", "height", "width", "channels")
            keptFrames = history.shape[0]
            try contract.require(
                keptFrames <= historyFrames, "history has \(keptFrames) frames, expected at most \(historyFrames)")
            try contract.shape(
                history.shape, of: "history", is: [keptFrames, self.x.height, self.x.width, self.x.channels])
        } else {
            keptFrames = 0
        }
        zeroFrames = historyFrames - keptFrames
    }
}

/// A convolution's geometry and weights, checked.
package struct ConvolutionWeightShapes {
    /// Checks the arguments of ``VideoOps/makeConvolution(_:weight:bias:)``.
    @discardableResult
    package init(_ geometry: ConvolutionShape, weight: HostTensor, bias: HostTensor) throws(SwanError) {
        let contract = Contract("makeConvolution")
        let (kernel, padding) = (geometry.kernel, [geometry.top, geometry.bottom, geometry.left, geometry.right])
        try contract.require(
            geometry.inputs > 0 && geometry.outputs > 0 && kernel.frames > 0 && kernel.height > 0 && kernel.width > 0,
            "geometry has \(geometry.inputs) inputs, \(geometry.outputs) outputs and a kernel of "
                + "\(kernel.frames)×\(kernel.height)×\(kernel.width), expected at least 1 of each")
        try contract.require(
            geometry.stride > 0 && geometry.frameStride > 0,
            "geometry has strides \(geometry.frameStride) and \(geometry.stride), expected at least 1")
        // More padding than this would give results that see no input at all.
        try contract.require(
            padding.allSatisfy { $0 >= 0 } && max(geometry.top, geometry.bottom) < kernel.height
                && max(geometry.left, geometry.right) < kernel.width,
            "geometry has padding \(padding) (top, bottom, left, right), expected 0 to less than the kernel")
        let frames = weight.shape.rank == 4 && kernel.frames == 1 ? [] : [kernel.frames]
        try contract.weight(
            weight, of: "weight",
            Shape([geometry.outputs, geometry.inputs] + frames + [kernel.height, kernel.width]))
        try contract.weight(bias, of: "bias", [geometry.outputs])
    }

    /// Checks the arguments of ``VideoOps/makeUpsample(weight:bias:)``.
    package init(upsample weight: HostTensor, bias: HostTensor) throws(SwanError) {
        let contract = Contract("makeUpsample")
        try contract.rank(weight.shape, of: "weight", "outputs", "inputs", "3", "3")
        try contract.filled(weight.shape, of: "weight")
        try contract.weight(weight, of: "weight", [weight.shape[0], weight.shape[1], 3, 3])
        try contract.weight(bias, of: "bias", [weight.shape[0]])
    }
}

/// The sizes of a convolution, checked.
package struct ConvolutionShapes {
    /// The input's extents.
    package let input: FrameShapes
    /// The result's shape.
    package let output: Shape

    /// Checks the arguments of ``VideoOps/convolution(_:_:residual:)``.
    package init(
        x: Tensor, weights: any ConvolutionWeights, residual: Tensor?, activation: DType
    ) throws(SwanError) {
        let contract = Contract("convolution")
        input = try FrameShapes(x, named: "x", activation, contract)
        let geometry = weights.geometry
        guard let output = geometry.output(of: x.shape) else {
            let kernel = geometry.kernel
            throw SwanError(
                .shapeMismatch,
                "convolution: x has shape \(x.shape), expected \(geometry.inputs) channels and, padded, at least "
                    + "\(kernel.frames)×\(kernel.height)×\(kernel.width).")
        }
        self.output = output
        if let residual {
            try contract.type(residual, of: "residual", activation)
            try contract.shape(residual.shape, of: "residual", is: output)
        }
    }
}
