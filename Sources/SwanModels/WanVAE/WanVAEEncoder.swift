public import SwanCheckpoint
public import SwanDiagnostics
import SwanNN
public import SwanTensor

/// The encoder of Wan2.1's video autoencoder: frames in, the mean of the latent distribution out.
///
/// Source: Wan2.2 `wan/modules/vae2_1.py`, `Encoder3d` and `WanVAE_.encode`.
public struct WanVAEEncoder {
    private enum Stage {
        case residual(ResidualBlock)
        case down(Downsample)
    }

    /// The autoencoder's sizes and scales.
    public let configuration: WanVAEConfiguration
    private let first: CausalConvolution
    private let stages: [Stage]
    private let middle: (ResidualBlock, FrameAttention, ResidualBlock)
    private let headNorm: Tensor
    private let head: CausalConvolution
    private let quant: any ConvolutionWeights
    private let scale, shift: Tensor

    /// Binds the encoder's weights of a checkpoint in official names; the decoder's are left alone.
    ///
    /// - Throws: what a missing, misshapen or extra tensor throws.
    public init(_ config: WanVAEConfiguration, _ weights: WeightScope, on backend: any Backend) throws(SwanError) {
        configuration = config
        let z = config.latentChannels
        let dims = ([1] + WanVAEConfiguration.multiples).map { $0 * config.baseChannels }
        let slots = SlotCounter()
        let encoder = weights["encoder"]
        first = try CausalConvolution(3, dims[0], encoder["conv1"], slots, on: backend)

        var stages: [Stage] = []
        for (stage, (before, outputs)) in zip(dims, dims.dropFirst()).enumerated() {
            var inputs = before
            for _ in 0 ..< WanVAEConfiguration.residualBlocks {
                let scope = encoder["downsamples"][stages.count]
                stages.append(.residual(try ResidualBlock(inputs, outputs, scope, slots, on: backend)))
                inputs = outputs
            }
            guard stage < WanVAEConfiguration.halvesTime.count else { continue }
            let scope = encoder["downsamples"][stages.count]
            let halvesTime = WanVAEConfiguration.halvesTime[stage]
            stages.append(.down(try Downsample(outputs, halvesTime: halvesTime, scope, slots, on: backend)))
        }
        self.stages = stages
        let width = dims[dims.count - 1]
        middle = (
            try ResidualBlock(width, width, encoder["middle"][0], slots, on: backend),
            try FrameAttention(width, encoder["middle"][1], on: backend),
            try ResidualBlock(width, width, encoder["middle"][2], slots, on: backend)
        )
        headNorm = try gain(width, axes: 3, encoder["head"][0], on: backend)
        head = try CausalConvolution(width, 2 * z, encoder["head"][2], slots, on: backend)
        quant = try frameConvolution(2 * z, 2 * z, stored: [2 * z, 2 * z, 1, 1, 1], weights["conv1"], on: backend)
        scale = try backend.upload(HostTensor([z], config.deviation.map { 1 / $0 }), as: .float32)
        shift = try backend.upload(HostTensor([z], zip(config.mean, config.deviation).map { -$0 / $1 }), as: .float32)

        weights["decoder"].ignoreAll()
        weights["conv2"].ignoreAll()
        try weights.finish()
    }

    /// A video that is being encoded: what its convolutions remember.
    public final class Stream {
        fileprivate let cache = FeatureCache()

        /// A video of which nothing was encoded yet.
        public init() {}
    }

    /// Encodes the next frames of a video.
    ///
    /// - Parameters:
    ///   - frames: activations `[frames, height, width, 3]`, −1 … 1, sides multiples of 8: one frame the
    ///     first time, a multiple of four later.
    ///   - stream: the video.
    ///   - backend: the device that holds the weights.
    /// - Returns: normalised latent, float32 `[latentChannels, 1 or frames / 4, height / 8, width / 8]`.
    public func callAsFunction(_ frames: Tensor, _ stream: Stream, on backend: any Backend) throws(SwanError) -> Tensor
    {
        let cache = stream.cache
        guard frames.shape.rank == 4, frames.shape[3] == 3, frames.shape[1] % 8 == 0, frames.shape[2] % 8 == 0,
            frames.shape.count > 0, cache.isFirst ? frames.shape[0] == 1 : frames.shape[0] % 4 == 0
        else {
            throw SwanError(
                .shapeMismatch,
                "A chunk of frames of shape \(frames.shape), expected [\(cache.isFirst ? "1" : "a multiple of 4"), height, width, 3] with sides that are multiples of 8."
            )
        }
        var x = try first(frames, cache, on: backend)
        for stage in stages {
            switch stage {
            case .residual(let block): x = try block(x, cache, on: backend)
            case .down(let downsample): x = try downsample(x, cache, on: backend)
            }
        }
        x = try middle.0(x, cache, on: backend)
        x = try middle.1(x, on: backend)
        x = try middle.2(x, cache, on: backend)
        x = try backend.convolution(head(x, norm: headNorm, cache, on: backend), quant, residual: nil)
        cache.isFirst = false
        return try backend.channelsFirst(x, scale: scale, shift: shift)
    }
}
