import FoundationEssentials
public import SwanDiagnostics

/// The fields of a transformer's `config.json`, in the official and in diffusers' spelling; all may
/// be absent, since the tensors tell most of it.
private struct WanJSON: Decodable {
    var numHeads, numAttentionHeads, textLen: Int?
    var eps: Float?
    var windowSize: [Int]?
}

extension WanConfiguration {
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
