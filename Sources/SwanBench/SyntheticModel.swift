import SwanCheckpoint
public import SwanDiagnostics
public import SwanModels
public import SwanPipeline
import SwanTensor
import SwanText
import Synchronization

/// A published model without its weights: sizes and sampling values are its own, weights are random.
public struct SyntheticModel: Sendable {
    /// What it does by default.
    public var defaults: ModelDefaults
    /// The sizes of an expert, or of the only transformer.
    public var transformer: WanConfiguration
    /// Whether there are two experts.
    public var hasTwoExperts: Bool
    /// The sizes of the text encoder.
    public var textEncoder: UMT5Configuration
    /// The sizes of the autoencoder.
    public var autoencoder: WanVAEConfiguration

    /// Describes a model.
    public init(
        _ defaults: ModelDefaults, transformer: WanConfiguration, hasTwoExperts: Bool,
        textEncoder: UMT5Configuration = .xxl, autoencoder: WanVAEConfiguration = .wan21
    ) {
        (self.defaults, self.transformer, self.hasTwoExperts) = (defaults, transformer, hasTwoExperts)
        (self.textEncoder, self.autoencoder) = (textEncoder, autoencoder)
    }

    /// The models by the names that users write, which the catalogue has with `wan2.1-` or `wan2.2-` in front.
    private static let all: [(name: String, full: String, model: SyntheticModel)] = [
        ("t2v-a14b", "wan2.2-t2v-a14b", SyntheticModel(.t2vA14B, transformer: .t2v14B, hasTwoExperts: true)),
        ("t2v-14b", "wan2.1-t2v-14b", SyntheticModel(.t2v14B, transformer: .t2v14B, hasTwoExperts: false)),
        ("t2v-1.3b", "wan2.1-t2v-1.3b", SyntheticModel(.t2v1B, transformer: .t2v1B, hasTwoExperts: false)),
        ("swan-tiny", "swan-tiny", swanTiny),
    ]

    /// The sizes of swan-tiny: small enough for any machine.
    private static let swanTiny: SyntheticModel = {
        var defaults = ModelDefaults.t2vA14B
        defaults.name = "swan-tiny"
        (defaults.width, defaults.height, defaults.frames, defaults.fps) = (128, 128, 25, 12)
        (defaults.shift, defaults.guidanceLow, defaults.negativePrompt) = (5, 4, "")
        var autoencoder = WanVAEConfiguration.wan21
        autoencoder.baseChannels = 16
        return SyntheticModel(
            defaults,
            transformer: WanConfiguration(width: 192, feedForward: 512, heads: 3, layers: 6, textWidth: 128),
            hasTwoExperts: true,
            textEncoder: UMT5Configuration(
                vocabulary: 576, width: 128, heads: 4, headWidth: 32, feedForward: 192, layers: 3, buckets: 32),
            autoencoder: autoencoder)
    }()

    /// Finds a model.
    ///
    /// - Throws: `bench.model-unknown`, with the names that there are.
    public static func named(_ name: String) throws(SwanError) -> SyntheticModel {
        let wanted = name.lowercased()
        guard let found = all.first(where: { wanted == $0.name || wanted == $0.full }) else {
            throw SwanError(
                .syntheticModelUnknown, "There are no sizes of a model named '\(name.printable())'.",
                advice: "Models: \(all.map(\.name).joined(separator: ", ")).")
        }
        return found.model
    }

    /// What is asked of it, where a preset is its steps alone.
    func request(_ request: GenerationRequest) throws(SwanError) -> GenerationRequest {
        try request.withoutLoRAs(hasTwoExperts: hasTwoExperts, model: defaults.name)
    }

    /// The parts with their random weights, in bfloat16 as they are published.
    ///
    /// - Parameters:
    ///   - promptTokens: ids of every prompt.
    ///   - hasOutliers: whether some channels of the experts are much larger than others.
    public func parts(promptTokens: Int, hasOutliers: Bool = false) -> ModelParts {
        func expert(_ seed: UInt32) -> ModelParts.Part<WanConfiguration> {
            .init(transformer, SyntheticWeights(transformer.tensorShapes, seed: seed, hasOutliers: hasOutliers))
        }
        // Of the table of tokens only a prompt's rows are read: fewer of them, which lie in memory as a file's would.
        var textEncoder = textEncoder
        textEncoder.vocabulary = min(textEncoder.vocabulary, 1024)
        return ModelParts(
            highNoise: hasTwoExperts ? expert(1) : nil, lowNoise: expert(2),
            textEncoder: .init(
                textEncoder,
                StoredTensor(
                    named: "token_embedding.weight", of: SyntheticWeights(textEncoder.tensorShapes, seed: 3))),
            autoencoder: .init(autoencoder, SyntheticWeights(autoencoder.tensorShapes, seed: 4)),
            tokenizer: SyntheticTokens(count: promptTokens, vocabularySize: textEncoder.vocabulary))
    }
}

/// Weights of which one tensor lies in memory, made on first use.
private final class StoredTensor: WeightSource {
    private let base: SyntheticWeights
    private let name: String
    private let stored = Mutex<HostTensor?>(nil)

    init(named name: String, of base: SyntheticWeights) { (self.base, self.name) = (base, name) }

    var names: [String] { base.names }
    var origin: String { base.origin }
    func info(_ name: String) -> TensorInfo? { base.info(name) }

    func tensor(_ name: String) throws(SwanError) -> HostTensor {
        let tensor = try base.tensor(name)
        guard name == self.name else { return tensor }
        return try stored.withLock { (stored) throws(SwanError) in
            if let stored { return stored }
            let made = try HostTensor(tensor.shape, tensor.dtype, tensor.bytes)
            stored = made
            return made
        }
    }
}

/// As many ids for every prompt, others for each.
struct SyntheticTokens: PromptTokenizer {
    let count: Int
    let vocabularySize: Int

    func encode(_ text: String, maximumLength: Int) -> [Int32] {
        let start = text.utf8.reduce(1) { ($0 * 31 + Int($1)) % vocabularySize }
        return (0 ..< min(count, maximumLength)).map { Int32((start + $0 * 7919) % vocabularySize) }
    }
}

extension SwanError.Code {
    /// No model has this name, or none whose sizes are known.
    public static let syntheticModelUnknown = Self("bench.model-unknown", .usage)
}
