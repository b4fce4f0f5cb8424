public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// The parts that a text-to-video model consists of.
public enum ComponentKind: String, Sendable, CaseIterable, Codable {
    /// A Wan video transformer: the only one, or one expert of two.
    case transformer
    /// A UMT5 encoder.
    case textEncoder
    /// A Wan video autoencoder.
    case autoencoder

    /// How messages name it.
    public var title: String {
        switch self {
        case .transformer: "transformer"
        case .textEncoder: "text encoder"
        case .autoencoder: "video autoencoder"
        }
    }
}

extension ComponentKind {
    /// The part whose `config.json` this is, in the spelling of diffusers, of the transformers package or of Wan's own
    /// repositories; nil where it does not tell.
    public init?(ofConfiguration json: HostBytes) {
        guard case .object(let keys)? = try? JSONScanner.parse(json, origin: "config.json") else { return nil }
        func has(_ names: String...) -> Bool { names.contains { keys[$0] != nil } }
        if case .string(let name) = keys["_class_name"] {
            if name.contains("Autoencoder") {
                self = .autoencoder
                return
            }
            if name.contains("Transformer") || name == "WanModel" {
                self = .transformer
                return
            }
        }
        if has("d_model", "d_kv") {
            self = .textEncoder
        } else if has("z_dim", "latents_mean") {
            self = .autoencoder
        } else if has("num_attention_heads", "num_heads", "ffn_dim", "text_len") {
            self = .transformer
        } else {
            return nil
        }
    }
}

/// A checkpoint whose kind was told from its tensors' names, seen under the official names.
public struct Component: Sendable {
    /// What it is.
    public let kind: ComponentKind
    /// Its tensors in official names.
    public let weights: any WeightSource
    /// Whose names the file uses: `official`, `diffusers`, `Hugging Face` or `llama.cpp`.
    public let naming: String

    /// What names are those of; nil for those of no known part. Asks for nothing but names.
    ///
    /// - Parameter names: without a prefix that all of them share.
    public static func kind(ofNames names: [String]) -> ComponentKind? {
        if WanKeys.isOfficial(names) || WanKeys.isDiffusers(names) { return .transformer }
        if WanVAEKeys.isOfficial(names) || WanVAEKeys.isDiffusers(names) { return .autoencoder }
        return UMT5Keys.isEncoder(names) ? .textEncoder : nil
    }

    /// Tells what a checkpoint is and renames its tensors.
    ///
    /// - Parameter source: without a prefix that all names share.
    /// - Returns: nil when the names are those of no known part.
    /// - Throws: `checkpoint.malformed` when two naming schemes are mixed.
    public init?(_ source: any WeightSource) throws(SwanError) {
        let names = source.names
        if WanKeys.isOfficial(names) {
            (kind, weights, naming) = (.transformer, source, "official")
        } else if WanKeys.isDiffusers(names) {
            let renamed = try RenamedWeights(source) { WanKeys.official(tensor: $0) }
            (kind, weights, naming) = (.transformer, renamed, "diffusers")
        } else if WanVAEKeys.isOfficial(names) {
            (kind, weights, naming) = (.autoencoder, source, "official")
        } else if WanVAEKeys.isDiffusers(names) {
            let renamed = try RenamedWeights(source) { WanVAEKeys.official(tensor: $0) }
            (kind, weights, naming) = (.autoencoder, renamed, "diffusers")
        } else if UMT5Keys.isEncoder(names) {
            let naming =
                names.contains { $0.hasPrefix("enc.blk.") }
                ? "llama.cpp"
                : names.contains { $0.hasPrefix("encoder.block.") } ? "Hugging Face" : "official"
            // A file may hold the embedding table under its second name only.
            let hasShared = source.info("shared.weight") != nil
            let renamed = try RenamedWeights(source) { name in
                name == UMT5Keys.embeddingAlias && !hasShared
                    ? "token_embedding.weight" : UMT5Keys.official(tensor: name)
            }
            (kind, weights, self.naming) = (.textEncoder, renamed, naming)
        } else {
            return nil
        }
    }
}
