public import SwanCheckpoint
public import SwanDiagnostics
import SwanTensor

/// The sizes of a UMT5 encoder.
public struct UMT5Configuration: Sendable, Hashable {
    /// Rows of the embedding table.
    public var vocabulary: Int
    /// Features of a token.
    public var width: Int
    /// Attention heads.
    public var heads: Int
    /// Features of a head; heads times these may differ from the width.
    public var headWidth: Int
    /// Features inside the gated feed-forward.
    public var feedForward: Int
    /// Blocks.
    public var layers: Int
    /// Buckets of relative distances.
    public var buckets: Int
    /// Added to mean squares.
    public var eps: Float = 1e-6

    /// UMT5-XXL's encoder, which serves every Wan model.
    public static let xxl = Self(
        vocabulary: 256_384, width: 4096, heads: 64, headWidth: 64, feedForward: 10_240, layers: 24, buckets: 32)

    /// Makes a configuration.
    public init(
        vocabulary: Int, width: Int, heads: Int, headWidth: Int, feedForward: Int, layers: Int, buckets: Int
    ) {
        self.vocabulary = vocabulary
        self.width = width
        self.heads = heads
        self.headWidth = headWidth
        self.feedForward = feedForward
        self.layers = layers
        self.buckets = buckets
    }

    /// Reads the configuration off an encoder's tensors, in official names: the bias tables tell the
    /// heads.
    ///
    /// - Throws: `model.configuration` when it is no UMT5 encoder.
    public init(shapesOf source: any WeightSource) throws(SwanError) {
        func shape(_ name: String) throws(SwanError) -> Shape {
            guard let shape = source.info(name)?.shape, shape.rank == 2, isPlausible(shape) else {
                throw SwanError(
                    .configuration,
                    "\(source.origin) is no UMT5 encoder: '\(name)' is \(source.info(name)?.shape.description ?? "missing").",
                    advice: "`swan inspect` shows what the file holds.")
            }
            return shape
        }
        let table = try shape("token_embedding.weight")
        let bias = try shape("blocks.0.pos_embedding.embedding.weight")
        let inner = try shape("blocks.0.attn.q.weight")[0]
        let layers = try blockCount(source)
        // T5 shares the table of its first block among all; UMT5 has one in each.
        if layers > 1, source.info("blocks.1.pos_embedding.embedding.weight") == nil {
            throw SwanError(
                .configuration, "\(source.origin) is a T5 encoder: only its first block has a position table.",
                advice: "Wan needs UMT5's encoder.")
        }
        // Up to 128 buckets, the last bucket's distance is beyond the first logarithmic one.
        guard inner % bias[1] == 0, (4 ... 128).contains(bias[0]), bias[0] % 4 == 0, layers > 0 else {
            throw SwanError(
                .configuration, "\(source.origin): \(inner) features for \(bias[1]) heads and \(bias[0]) buckets.")
        }
        self.init(
            vocabulary: table[0], width: table[1], heads: bias[1], headWidth: inner / bias[1],
            feedForward: try shape("blocks.0.ffn.fc1.weight")[0], layers: layers, buckets: bias[0])
    }
}
