public import SwanCheckpoint
public import SwanDiagnostics
import SwanTensor

/// The sizes of a Wan2.1 video autoencoder, and the scale of its latents.
public struct WanVAEConfiguration: Sendable, Hashable {
    /// Channels of the first stage; stages have 1, 2, 4 and 4 times as many.
    public var baseChannels: Int
    /// Channels of a latent.
    public var latentChannels: Int
    /// Mean of each latent channel over the training data.
    public var mean: [Float]
    /// Standard deviation of each latent channel.
    public var deviation: [Float]

    /// Residual blocks of an encoder stage; the decoder has one more.
    static let residualBlocks = 2
    /// Multiples of the base channels at each stage.
    static let multiples = [1, 2, 4, 4]
    /// Which of the encoder's stages halve time as well; the decoder's double it in reverse order.
    static let halvesTime = [false, true, true]

    /// Pixels per latent position in each direction of space.
    public static let spatialStride = 8
    /// Frames per latent frame.
    public static let temporalStride = 4

    /// Makes a configuration.
    public init(baseChannels: Int, latentChannels: Int, mean: [Float], deviation: [Float]) {
        self.baseChannels = baseChannels
        self.latentChannels = latentChannels
        self.mean = mean
        self.deviation = deviation
    }

    /// The autoencoder of every Wan2.1 model and of Wan2.2-A14B.
    public static let wan21 = Self(baseChannels: 96, latentChannels: 16, mean: wan21Mean, deviation: wan21Deviation)

    /// Latent means of the published autoencoder; the official files do not hold them.
    ///
    /// Source: Wan2.2 `wan/modules/vae2_1.py`, `Wan2_1_VAE.__init__`.
    public static let wan21Mean: [Float] = [
        -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508, 0.4134, -0.0715, 0.5517, -0.3632,
        -0.1922, -0.9497, 0.2503, -0.2921,
    ]

    /// Latent standard deviations of the published autoencoder.
    public static let wan21Deviation: [Float] = [
        2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743, 3.2687, 2.1526, 2.8652, 1.5579, 1.6382,
        1.1253, 2.8251, 1.9160,
    ]

    /// Reads the configuration off an autoencoder's tensors, in official names.
    ///
    /// - Parameters:
    ///   - source: the autoencoder's tensors.
    ///   - mean: the latents' means where a file says them; else the published ones.
    ///   - deviation: the latents' deviations, likewise.
    /// - Throws: `model.configuration` when it is no Wan2.1 autoencoder or the scales do not fit.
    public init(shapesOf source: any WeightSource, mean: [Float]? = nil, deviation: [Float]? = nil) throws(SwanError) {
        if source.info("decoder.upsamples.0.upsamples.0.residual.2.weight") != nil {
            throw SwanError(
                .configuration, "\(source.origin) is the Wan2.2 autoencoder of TI2V-5B; expected Wan2.1's.",
                advice: "Wan2.1 and Wan2.2-A14B use Wan2.1_VAE.")
        }
        guard let encoder = source.info("encoder.conv1.weight")?.shape, encoder.rank == 5, isPlausible(encoder),
            let decoder = source.info("decoder.conv1.weight")?.shape, decoder.rank == 5, isPlausible(decoder)
        else {
            throw SwanError(
                .configuration,
                "\(source.origin) is no Wan autoencoder: it has no 'encoder.conv1' and 'decoder.conv1'.",
                advice: "`swan inspect` shows what the file holds.")
        }
        let channels = decoder[1]
        let mean = mean ?? Self.wan21Mean
        let deviation = deviation ?? Self.wan21Deviation
        guard mean.count == channels, deviation.count == channels, deviation.allSatisfy({ $0 > 0 && $0.isFinite }),
            mean.allSatisfy(\.isFinite)
        else {
            throw SwanError(
                .configuration,
                "\(source.origin) has \(channels) latent channels, with \(mean.count) means and \(deviation.count) positive deviations.",
                advice: "The configuration beside the file belongs to another autoencoder.")
        }
        self.init(baseChannels: encoder[0], latentChannels: channels, mean: mean, deviation: deviation)
    }

    /// The shape of a video's latent, without the channels.
    ///
    /// - Returns: nil unless `frames` is 4k + 1 and the sides are multiples of 8.
    public static func latentExtents(frames: Int, height: Int, width: Int) -> (frames: Int, height: Int, width: Int)? {
        guard frames > 0, frames % temporalStride == 1, height > 0, width > 0, height % spatialStride == 0,
            width % spatialStride == 0
        else { return nil }
        return ((frames - 1) / temporalStride + 1, height / spatialStride, width / spatialStride)
    }
}
