import FoundationEssentials
import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// The fields of a transformer's `config.json`, in the official and in diffusers' spelling; all may
/// be absent, since the tensors tell most of it.
private struct WanJSON: Decodable {
    var numHeads, numAttentionHeads, textLen: Int?
    var eps: Float?
    var windowSize: [Int]?
}

extension WanConfiguration {
    /// Whether a `config.json` is that of an official repository, with all sizes.
    public static func isOfficial(json: HostBytes) -> Bool {
        guard case .object(let keys)? = try? JSONScanner.parse(json, origin: "config.json"),
            keys["_class_name"] == .string("WanModel")
        else { return false }
        return ["dim", "ffn_dim", "freq_dim", "in_dim", "num_heads", "num_layers", "out_dim"].allSatisfy {
            keys[$0] != nil
        }
    }

    /// A `config.json` as the official repositories have it.
    ///
    /// Source: Wan-Video/Wan2.2 `wan/modules/model.py`, `WanModel.__init__`.
    public var officialJSON: String {
        // Images beside the latent are 20 channels more; the model with 48 of both takes them otherwise.
        let type = inputChannels > outputChannels ? "i2v" : inputChannels == 48 ? "ti2v" : "t2v"
        let fields: [(String, String)] = [
            ("_class_name", "\"WanModel\""), ("dim", "\(width)"), ("eps", "\(eps)"), ("ffn_dim", "\(feedForward)"),
            ("freq_dim", "\(frequencyWidth)"), ("in_dim", "\(inputChannels)"), ("model_type", "\"\(type)\""),
            ("num_heads", "\(heads)"), ("num_layers", "\(layers)"), ("out_dim", "\(outputChannels)"),
            ("patch_size", "[\(patchFrames), \(patchHeight), \(patchWidth)]"), ("text_dim", "\(textWidth)"),
            ("text_len", "\(textTokens)"),
        ]
        return "{\n" + fields.map { "  \"\($0.0)\": \($0.1)" }.joined(separator: ",\n") + "\n}\n"
    }

    /// What a `config.json` adds to the shapes of the tensors: heads, text rows and eps.
    public struct Hints: Sendable {
        /// Attention heads.
        public var heads: Int?
        /// Rows that the text is padded to.
        public var textTokens: Int?
        /// Added to variances.
        public var eps: Float?

        /// No hints.
        public init() {}

        /// Reads a `config.json`.
        ///
        /// - Throws: `model.configuration` when it is no JSON object, or says something this engine
        ///   does not do.
        public init(json: some Sequence<UInt8>, origin: String) throws(SwanError) {
            let fields: WanJSON
            let decoder = JSONDecoder()
            decoder.keyDecodingStrategy = .convertFromSnakeCase
            do {
                fields = try decoder.decode(WanJSON.self, from: Data(json))
            } catch {
                throw SwanError(
                    .configuration, "\(origin) is no configuration of a transformer.",
                    advice: "Fetch the file again.", cause: error)
            }
            if let window = fields.windowSize, window != [-1, -1] {
                throw SwanError(
                    .configuration, "\(origin): window_size is \(window), expected [-1, -1].",
                    advice: "Swan runs models with global attention only.")
            }
            heads = fields.numHeads ?? fields.numAttentionHeads
            textTokens = fields.textLen
            eps = fields.eps
            if let eps, !(eps > 0) {
                throw SwanError(.configuration, "\(origin): eps is \(eps), expected a positive number.")
            }
            if let heads, heads < 1 { throw SwanError(.configuration, "\(origin): \(heads) heads.") }
            if let textTokens, !(1 ... 65536).contains(textTokens) {
                throw SwanError(.configuration, "\(origin): text_len is \(textTokens), expected 1 to 65536.")
            }
        }
    }
}
