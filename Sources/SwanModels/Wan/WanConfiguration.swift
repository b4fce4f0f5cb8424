public import SwanCheckpoint
public import SwanDiagnostics
public import SwanNN
public import SwanTensor

/// The sizes of a Wan transformer.
public struct WanConfiguration: Sendable, Hashable, Codable {
    /// Features of a token.
    public var width: Int
    /// Features inside the feed-forward.
    public var feedForward: Int
    /// Attention heads; each has `width / heads` features.
    public var heads: Int
    /// Blocks.
    public var layers: Int
    /// Channels of the latent that goes in.
    public var inputChannels: Int
    /// Channels of the velocity that comes out.
    public var outputChannels: Int
    /// Features of the text encoder.
    public var textWidth: Int
    /// Rows that the text is padded to.
    public var textTokens = 512
    /// Features of the timestep's sinusoid.
    public var frequencyWidth = 256
    /// Latent frames, rows and columns of a token: (1, 2, 2) in every published model.
    public var patchFrames = 1, patchHeight = 2, patchWidth = 2
    /// Added to variances and mean squares.
    public var eps: Float = 1e-6

    /// Makes a configuration with the values that all published models share.
    public init(
        width: Int, feedForward: Int, heads: Int, layers: Int, inputChannels: Int = 16, outputChannels: Int = 16,
        textWidth: Int = 4096
    ) {
        self.width = width
        self.feedForward = feedForward
        self.heads = heads
        self.layers = layers
        self.inputChannels = inputChannels
        self.outputChannels = outputChannels
        self.textWidth = textWidth
    }

    /// One expert of Wan2.2-T2V-A14B, and Wan2.1-T2V-14B.
    public static let t2v14B = Self(width: 5120, feedForward: 13824, heads: 40, layers: 40)
    /// Wan2.1-T2V-1.3B.
    public static let t2v1B = Self(width: 1536, feedForward: 8960, heads: 12, layers: 30)
    /// Wan2.2-TI2V-5B.
    public static let ti2v5B = Self(
        width: 3072, feedForward: 14336, heads: 24, layers: 30, inputChannels: 48, outputChannels: 48)

    /// The extents of a token.
    public var patch: PatchSize { PatchSize(frames: patchFrames, height: patchHeight, width: patchWidth) }

    /// Features of a head.
    public var headWidth: Int { width / heads }

    /// Weights and biases in all.
    public var parameters: Int {
        let linear = { (inputs: Int, outputs: Int) in inputs * outputs + outputs }
        let attention = 4 * linear(width, width) + 2 * width
        let block = 2 * attention + 2 * width + 6 * width + linear(width, feedForward) + linear(feedForward, width)
        return layers * block + linear(inputChannels * patch.volume, width) + linear(textWidth, width)
            + linear(width, width) + linear(frequencyWidth, width) + linear(width, width) + linear(width, 6 * width)
            + linear(width, outputChannels * patch.volume) + 2 * width
    }

    /// The grid of tokens of a latent `[channels, frames, height, width]`.
    ///
    /// - Throws: `tensor.shape-mismatch` when the latent is no multiple of the patch.
    public func grid(of latent: Shape) throws(SwanError) -> TokenGrid {
        guard latent.rank == 4, latent[1] % patchFrames == 0, latent[2] % patchHeight == 0,
            latent[3] % patchWidth == 0, latent.count > 0
        else {
            throw SwanError(
                .shapeMismatch,
                "A latent of shape \(latent) cannot be cut into patches of \(patchFrames)×\(patchHeight)×\(patchWidth)."
            )
        }
        return TokenGrid(
            frames: latent[1] / patchFrames, height: latent[2] / patchHeight, width: latent[3] / patchWidth)
    }

    /// Floating-point operations of one forward, counted as two per multiplication.
    ///
    /// - Parameters:
    ///   - grid: the video's tokens.
    ///   - textRows: rows of text that attention really visits.
    ///
    /// Source: the sums of the matrix products in ``WanTransformer``.
    public func forwardOperations(_ grid: TokenGrid, textRows: Int) -> Double {
        let n = Double(grid.count)
        let d = Double(width)
        let perBlock = 12 * n * d * d + 4 * n * n * d + 4 * n * Double(textRows) * d + 4 * n * d * Double(feedForward)
        return Double(layers) * perBlock + 2 * n * d * Double(patch.volume * (inputChannels + outputChannels))
    }
}

extension WanConfiguration {
    /// Reads the configuration off a transformer's tensors, in official names.
    ///
    /// - Parameter source: the transformer's tensors.
    /// - Parameter heads: the number of heads where something says it; else heads of 128 features, as
    ///   in all published models.
    /// - Throws: `model.configuration` when a tensor that tells a size is missing or of an odd shape,
    ///   or when it is a relative of the family that this engine does not run.
    public init(shapesOf source: any WeightSource, heads: Int? = nil) throws(SwanError) {
        for (name, family) in Self.relatives where source.info(name) != nil {
            throw SwanError(
                .configuration, "\(source.origin) is a \(family) model (it has '\(name)'); expected text-to-video.",
                advice: "Use a T2V model: this version makes video from text only.")
        }
        func shape(_ name: String, rank: Int) throws(SwanError) -> Shape {
            guard let shape = source.info(name)?.shape, shape.rank == rank, isPlausible(shape) else {
                throw SwanError(
                    .configuration,
                    "\(source.origin) is no Wan transformer: '\(name)' is \(source.info(name)?.shape.description ?? "missing").",
                    advice: "`swan inspect` shows what the file holds.")
            }
            return shape
        }
        let width = try shape("head.modulation", rank: 3)[2]
        let patch = try shape("patch_embedding.weight", rank: 5)
        let head = try shape("head.head.weight", rank: 2)[0]
        let volume = patch[2] * patch[3] * patch[4]
        let layers = try blockCount(source)
        guard let heads = heads ?? (width % 128 == 0 ? width / 128 : nil), heads > 0, width % heads == 0,
            width / heads % 2 == 0, width / heads >= 6, head % volume == 0, layers > 0
        else {
            throw SwanError(
                .configuration,
                "\(source.origin): width \(width), \(heads.map { "\($0) heads" } ?? "no number of heads"), \(layers) blocks and \(head) output features do not make a transformer.",
                advice: "A model whose heads are not 128 wide needs its config.json beside it.")
        }
        self.init(
            width: width, feedForward: try shape("blocks.0.ffn.0.weight", rank: 2)[0], heads: heads, layers: layers,
            inputChannels: patch[1], outputChannels: head / volume,
            textWidth: try shape("text_embedding.0.weight", rank: 2)[1])
        frequencyWidth = try shape("time_embedding.0.weight", rank: 2)[1]
        patchFrames = patch[2]
        patchHeight = patch[3]
        patchWidth = patch[4]
    }

    /// Tensors that mark other models of the family.
    private static let relatives = [
        ("img_emb.proj.0.bias", "Wan2.1 image-to-video"), ("vace_patch_embedding.weight", "VACE"),
        ("control_adapter.conv.weight", "camera control"), ("face_adapter.fuser_blocks.0.linear1_kv.weight", "Animate"),
        ("casual_audio_encoder.encoder.final_linear.weight", "speech-to-video"), ("ref_conv.weight", "Fun reference"),
    ]
}
