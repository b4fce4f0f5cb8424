public import SwanCheckpoint
public import SwanDiagnostics
import SwanNN
public import SwanTensor

/// The decoder of Wan2.1's video autoencoder: latent frames in, pixels out, one chunk after the other.
///
/// The first latent frame gives one frame, each later one four.
///
/// Source: Wan2.2 `wan/modules/vae2_1.py`, `Decoder3d` and `WanVAE_.decode`.
public struct WanVAEDecoder {
    private enum Stage {
        case residual(ResidualBlock)
        case up(Upsample)
    }

    /// The autoencoder's sizes and scales.
    public let configuration: WanVAEConfiguration
    private let scale, shift: Tensor
    private let quant: any ConvolutionWeights
    private let first: CausalConvolution
    private let middle: (ResidualBlock, FrameAttention, ResidualBlock)
    private let stages: [Stage]
    private let headNorm: Tensor
    private let head: CausalConvolution

    /// Binds the decoder's weights of a checkpoint in official names; the encoder's are left alone.
    ///
    /// - Throws: what a missing, misshapen or extra tensor throws.
    public init(_ config: WanVAEConfiguration, _ weights: WeightScope, on backend: any Backend) throws(SwanError) {
        configuration = config
        let z = config.latentChannels
        let dims = ([WanVAEConfiguration.multiples.last ?? 1] + WanVAEConfiguration.multiples.reversed())
            .map { $0 * config.baseChannels }
        let slots = SlotCounter()
        let decoder = weights["decoder"]
        scale = try backend.upload(HostTensor([z], config.deviation), as: .float32)
        shift = try backend.upload(HostTensor([z], config.mean), as: .float32)
        quant = try frameConvolution(z, z, stored: [z, z, 1, 1, 1], weights["conv2"], on: backend)
        first = try CausalConvolution(z, dims[0], decoder["conv1"], slots, on: backend)
        middle = (
            try ResidualBlock(dims[0], dims[0], decoder["middle"][0], slots, on: backend),
            try FrameAttention(dims[0], decoder["middle"][1], on: backend),
            try ResidualBlock(dims[0], dims[0], decoder["middle"][2], slots, on: backend)
        )

        var stages: [Stage] = []
        for (stage, (before, outputs)) in zip(dims, dims.dropFirst()).enumerated() {
            // A doubling halves the channels.
            var inputs = stage == 0 ? before : before / 2
            for _ in 0 ... WanVAEConfiguration.residualBlocks {
                let scope = decoder["upsamples"][stages.count]
                stages.append(.residual(try ResidualBlock(inputs, outputs, scope, slots, on: backend)))
                inputs = outputs
            }
            guard stage < WanVAEConfiguration.halvesTime.count else { continue }
            let doublesTime = WanVAEConfiguration.halvesTime.reversed()[stage]
            let scope = decoder["upsamples"][stages.count]
            stages.append(.up(try Upsample(outputs, doublesTime: doublesTime, scope, slots, on: backend)))
        }
        self.stages = stages
        headNorm = try gain(config.baseChannels, axes: 3, decoder["head"][0], on: backend)
        head = try CausalConvolution(config.baseChannels, 3, decoder["head"][2], slots, on: backend)

        weights["encoder"].ignoreAll()
        weights["conv1"].ignoreAll()
        try weights.finish()
    }

    /// A video that is being decoded: what its convolutions remember.
    public final class Stream {
        fileprivate let cache = FeatureCache()

        /// A video of which nothing was decoded yet.
        public init() {}
    }

    /// Decodes the next latent frames of a video.
    ///
    /// - Parameters:
    ///   - latent: float32 `[latentChannels, frames, height, width]`, normalised; only one frame the
    ///     first time.
    ///   - stream: the video.
    ///   - backend: the device that holds the weights.
    /// - Returns: activations `[1 or 4 * frames, 8 * height, 8 * width, 3]`, about −1 … 1, not clamped.
    public func callAsFunction(_ latent: Tensor, _ stream: Stream, on backend: any Backend) throws(SwanError) -> Tensor
    {
        let cache = stream.cache
        guard latent.shape.rank == 4, latent.shape[0] == configuration.latentChannels,
            cache.isFirst ? latent.shape[1] == 1 : latent.shape[1] > 0
        else {
            throw SwanError(
                .shapeMismatch,
                "A latent chunk of shape \(latent.shape), expected [\(configuration.latentChannels), \(cache.isFirst ? "1" : "frames"), height, width]."
            )
        }
        var x = try backend.convolution(backend.channelsLast(latent, scale: scale, shift: shift), quant, residual: nil)
        x = try first(x, cache, on: backend)
        x = try middle.0(x, cache, on: backend)
        x = try middle.1(x, on: backend)
        x = try middle.2(x, cache, on: backend)
        for stage in stages {
            switch stage {
            case .residual(let block): x = try block(x, cache, on: backend)
            case .up(let upsample): x = try upsample(x, cache, on: backend)
            }
        }
        x = try head(x, norm: headNorm, cache, on: backend)
        cache.isFirst = false
        return x
    }
}
