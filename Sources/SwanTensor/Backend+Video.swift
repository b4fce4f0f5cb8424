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
        inputs: Int, outputs: Int, kernel: (frames: Int, height: Int, width: Int), frameStride: Int = 1, stride: Int = 1,
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
    /// - Parameter x: activations `[frames, height, width, inputs]`.
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
