public import SwanCheckpoint
public import SwanDiagnostics
public import SwanModels
public import SwanText

/// The parts of a model, opened: their sizes, and where weights are read from.
public struct ModelParts: Sendable {
    /// A network.
    public struct Part<Configuration: Sendable>: Sendable {
        /// Its sizes.
        public var configuration: Configuration
        /// Its weights, in official names.
        public var weights: any WeightSource

        /// Puts both together.
        public init(_ configuration: Configuration, _ weights: any WeightSource) {
            self.configuration = configuration
            self.weights = weights
        }
    }

    /// The high-noise expert; nil for models with one transformer.
    public var highNoise: Part<WanConfiguration>?
    /// The low-noise expert, or the only transformer.
    public var lowNoise: Part<WanConfiguration>
    /// The text encoder.
    public var textEncoder: Part<UMT5Configuration>
    /// The video autoencoder.
    public var autoencoder: Part<WanVAEConfiguration>
    /// What makes ids of prompts.
    public var tokenizer: any PromptTokenizer

    /// Puts the parts together; whether they belong together is checked when they are used.
    public init(
        highNoise: Part<WanConfiguration>?, lowNoise: Part<WanConfiguration>, textEncoder: Part<UMT5Configuration>,
        autoencoder: Part<WanVAEConfiguration>, tokenizer: any PromptTokenizer
    ) {
        (self.highNoise, self.lowNoise) = (highNoise, lowNoise)
        (self.textEncoder, self.autoencoder, self.tokenizer) = (textEncoder, autoencoder, tokenizer)
    }

    /// Opens files with the settings' LoRAs: headers are read, weights are not.
    ///
    /// - Throws: what ``ModelFiles/open(_:as:)`` throws, and what the LoRAs get wrong.
    public init(_ files: ModelFiles, _ settings: GenerationSettings) throws(SwanError) {
        func part<Configuration>(_ opened: (configuration: Configuration, weights: any WeightSource)) -> Part<
            Configuration
        > {
            Part(opened.configuration, opened.weights)
        }
        if let expert = files.highNoise {
            highNoise = part(try files.openTransformer(expert, adding: settings.lorasHigh))
        }
        lowNoise = part(try files.openTransformer(files.lowNoise, adding: settings.lorasLow))
        textEncoder = part(try files.openTextEncoder())
        autoencoder = part(try files.openAutoencoder())
        tokenizer = try files.openTokenizer()
    }
}
