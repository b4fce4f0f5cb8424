import Glibc
public import SwanCheckpoint
public import SwanDiagnostics
public import SwanNN
public import SwanTensor

/// UMT5's encoder: from token ids to one state per token.
///
/// Runs on the real tokens alone, which gives the first rows of the padded run of the official code:
/// padding keys have no weight there.
///
/// Source: Wan2.2 `wan/modules/t5.py`, `T5Encoder`.
public struct UMT5Encoder {
    /// The encoder's sizes.
    public let configuration: UMT5Configuration
    private let table: HostTensor
    private let blocks: LayerStack<UMT5Block>
    private let norm: RMSNorm

    /// Tensors that tools keep beside the encoder's own: a second name of the table, a logit scale.
    public static let tolerated: Set = [UMT5Keys.embeddingAlias, "logit_scale", "spiece_model"]

    /// Binds all weights of a checkpoint in official names. The embedding table stays where it is
    /// (mapped), since only the prompt's rows are read.
    ///
    /// - Parameters:
    ///   - config: the sizes.
    ///   - weights: the checkpoint's root.
    ///   - placement: where the blocks' weights are.
    ///   - backend: the device that gets the weights.
    /// - Throws: what a missing, misshapen or extra tensor throws.
    public init(
        _ config: UMT5Configuration, _ weights: WeightScope, _ placement: WeightPlacement = .resident,
        on backend: any Backend
    ) throws(SwanError) {
        configuration = config
        table = try weights["token_embedding"].tensor("weight", [config.vocabulary, config.width])
        for name in Self.tolerated { weights.ignore(name) }
        blocks = try LayerStack(config.layers, placement, on: backend) { (i) throws(SwanError) in
            try UMT5Block(config, weights["blocks"][i], on: backend)
        }
        for i in blocks.unread { weights["blocks"][i].ignoreAll() }
        norm = try RMSNorm(config.width, eps: config.eps, weights["norm"], on: backend)
        try weights.finish()
    }

    /// - Parameters:
    ///   - ids: the prompt's tokens with the end token, without padding; at least one.
    ///   - backend: the device that holds the weights.
    /// - Returns: float32 `[ids.count, width]`.
    /// - Throws: `model.configuration` for an id outside the table.
    public func callAsFunction(_ ids: [Int32], on backend: any Backend) throws(SwanError) -> HostTensor {
        if let id = ids.first(where: { $0 < 0 || Int($0) >= configuration.vocabulary }) {
            throw SwanError(
                .configuration,
                "The tokenizer made id \(id), and the text encoder has \(configuration.vocabulary) rows.",
                advice: "Tokenizer and text encoder belong to different models: fetch both from one place.")
        }
        let x = try backend.upload(table.rows(ids.map(Int.init)), as: .float32)
        let buckets = try backend.upload(buckets(tokens: ids.count), as: .float32)
        try blocks.forEach(on: backend) { (_, block) throws(SwanError) in
            try block(updating: x, buckets: buckets, on: backend)
        }
        let states = try norm(x, on: backend)
        return try HostTensor(states.shape, backend.download(states))
    }

    /// The bucket of each distance from `1 - tokens` to `tokens - 1`, as whole numbers.
    private func buckets(tokens: Int) -> HostTensor {
        let distances = 1 - tokens ..< tokens
        return HostTensor(
            [distances.count], distances.map { Float(relativeBucket(distance: $0, buckets: configuration.buckets)) })
    }
}

/// One block: self-attention with a learnt bias for each relative distance, gated feed-forward.
struct UMT5Block {
    let attentionNorm, feedForwardNorm: RMSNorm
    let query, key, value, output: Linear
    let gate, up, down: Linear
    let distanceBias: Tensor
    let config: UMT5Configuration

    init(_ config: UMT5Configuration, _ weights: WeightScope, on backend: any Backend) throws(SwanError) {
        let inner = config.heads * config.headWidth
        attentionNorm = try RMSNorm(config.width, eps: config.eps, weights["norm1"], on: backend)
        feedForwardNorm = try RMSNorm(config.width, eps: config.eps, weights["norm2"], on: backend)
        query = try Linear(config.width, inner, bias: false, weights["attn"]["q"], on: backend)
        key = try Linear(config.width, inner, bias: false, weights["attn"]["k"], on: backend)
        value = try Linear(config.width, inner, bias: false, weights["attn"]["v"], on: backend)
        output = try Linear(inner, config.width, bias: false, weights["attn"]["o"], on: backend)
        gate = try Linear(config.width, config.feedForward, bias: false, weights["ffn"]["gate"][0], on: backend)
        up = try Linear(config.width, config.feedForward, bias: false, weights["ffn"]["fc1"], on: backend)
        down = try Linear(config.feedForward, config.width, bias: false, weights["ffn"]["fc2"], on: backend)
        distanceBias = try backend.upload(
            weights["pos_embedding"]["embedding"].tensor("weight", [config.buckets, config.heads]), as: .float32)
        self.config = config
    }

    /// - Parameters:
    ///   - x: residual stream, float32 `[tokens, width]`; holds the stream after this block when it returns.
    ///   - buckets: of each distance, float32 `[2 * tokens - 1]`.
    func callAsFunction(updating x: Tensor, buckets: Tensor, on backend: any Backend) throws(SwanError) {
        let tokens = x.shape[0]
        let heads: Shape = [tokens, config.heads, config.headWidth]
        var h = try attentionNorm(x, on: backend)
        // No scale: UMT5 was trained without 1/sqrt(width).
        h = try backend.attention(
            q: query(h, on: backend).reshaped(heads), k: key(h, on: backend).reshaped(heads),
            v: value(h, on: backend).reshaped(heads), scale: 1,
            bias: backend.distanceBias(distanceBias, buckets: buckets))
        try backend.add(output(h.reshaped([tokens, config.heads * config.headWidth]), on: backend), to: x)

        h = try feedForwardNorm(x, on: backend)
        h = try backend.geluGate(gate(h, on: backend), up(h, on: backend))
        try backend.add(down(h, on: backend), to: x)
    }
}

/// The bucket of a relative distance, key position minus query position.
///
/// Half of the buckets serve keys behind the query's own position. Of a half, the first half holds one
/// distance each, the rest grow logarithmically up to 128; the last takes all beyond.
///
/// Source: T5's `_relative_position_bucket` with bidirectional buckets, maximum distance 128.
package func relativeBucket(distance: Int, buckets: Int, maximum: Int = 128) -> Int {
    let half = buckets / 2
    let base = distance > 0 ? half : 0
    let exact = half / 2
    let a = abs(distance)
    if a < exact { return base + a }
    let position = log(Double(a) / Double(exact)) / log(Double(maximum) / Double(exact))
    return base + min(half - 1, exact + Int(position * Double(half - exact)))
}
