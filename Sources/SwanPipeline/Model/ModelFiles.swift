/// Where the parts of a model are.
public struct ModelFiles: Sendable, Hashable {
    /// The ways in which models are published.
    public enum Layout: String, Sendable, Hashable, Codable {
        case official, diffusers, comfyUI = "ComfyUI", lightX2V = "LightX2V", loose = "loose files"
    }

    /// One part: a file, or a folder of shards, and the configuration beside it.
    public struct Part: Sendable, Hashable {
        /// The file or folder.
        public var path: String
        /// Its `config.json`, if there is one.
        public var configuration: String?

        /// Names a part.
        public init(_ path: String, configuration: String? = nil) {
            self.path = path
            self.configuration = configuration
        }
    }

    /// How the folder is laid out.
    public var layout: Layout
    /// The folder that was named.
    public var root: String
    /// The high-noise expert; nil for models with one transformer.
    public var highNoise: Part?
    /// The low-noise expert, or the only transformer.
    public var lowNoise: Part
    /// The text encoder.
    public var textEncoder: Part
    /// The SentencePiece model; nil when it is inside the text encoder's file.
    public var tokenizer: String?
    /// The video autoencoder.
    public var autoencoder: Part
    /// The Lightning LoRA pair that comes with the model: its own, or the newest of ``publishedPairs``.
    public var lightning: LoRAPair?
    /// The published Lightning pairs that lie in the model's folder, by their releases.
    public var publishedPairs: [String: LoRAPair] = [:]
    /// The file with the model's own defaults.
    public var defaults: String?
    /// Files that lie there and cannot be read, and that the model does not need.
    public var unread: [UnreadFile] = []

    /// A file that cannot be read.
    public struct UnreadFile: Sendable, Hashable, Codable {
        /// Where it is.
        public var path: String
        /// Why it cannot be read.
        public var reason: String
    }

    /// A LoRA for each expert.
    public struct LoRAPair: Sendable, Hashable {
        /// For the high-noise expert.
        public var high: String
        /// For the low-noise expert.
        public var low: String

        /// Names a pair.
        public init(high: String, low: String) {
            self.high = high
            self.low = low
        }
    }
}
