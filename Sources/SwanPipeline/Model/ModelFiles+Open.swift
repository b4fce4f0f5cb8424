public import SwanCheckpoint
public import SwanDiagnostics
public import SwanModels
import SwanNN
import SwanTensor
public import SwanText

/// The fields of an autoencoder's `config.json` in diffusers' layout.
private struct AutoencoderJSON: Decodable {
    var latentsMean, latentsStd: [Float]?
}

/// A LoRA to merge, and how strongly.
public struct LoRASetting: Sendable, Hashable, Codable {
    /// The file.
    public var path: String
    /// Multiplies what the file adds.
    public var strength: Double
    /// Whether it is merged although it says that it was made for another model; nil for not.
    public var isForced: Bool?

    /// Names a LoRA.
    public init(_ path: String, strength: Double = 1, isForced: Bool? = nil) {
        self.path = path
        self.strength = strength
        self.isForced = isForced
    }
}

extension GenerationRequest {
    /// Takes LoRAs that change the low-noise expert only from the other, where both were to get them.
    ///
    /// - Returns: the request, and what has to be said.
    func routingLoRAs() throws(SwanError) -> (request: GenerationRequest, remarks: [String]) {
        var (request, remarks) = (self, [String]())
        for lora in lorasHigh where lorasLow.contains(lora) {
            guard LoRANames.areForLowNoiseOnly(try openWeights(at: lora.path).names) else { continue }
            request.lorasHigh.removeAll { $0 == lora }
            remarks.append("\(lastComponent(lora.path).printable()) changes the low-noise expert only.")
        }
        return (request, remarks)
    }
}

extension ModelFiles {
    /// Opens a part: headers are read, weights are not.
    ///
    /// - Throws: the readers' codes; `pipeline.model-incomplete` when the file holds something else.
    public func open(_ part: Part, as kind: ComponentKind) throws(SwanError) -> Component {
        guard let component = try Component(openModelWeights(at: part.path)) else {
            throw SwanError(
                .modelIncomplete, "\(part.path) holds no \(kind.title).",
                advice: "`swan inspect \(part.path)` shows what it holds.")
        }
        guard component.kind == kind else {
            throw SwanError(
                .modelIncomplete, "\(part.path) holds a \(component.kind.title), expected a \(kind.title).",
                advice: "Put each part where the layout has it.")
        }
        return component
    }

    /// An expert's weights with its LoRAs, and its configuration.
    public func openTransformer(_ part: Part, adding loras: [LoRASetting] = []) throws(SwanError) -> (
        configuration: WanConfiguration, weights: any WeightSource
    ) {
        let component = try open(part, as: .transformer)
        let configuration = try Self.configuration(of: component.weights, part)
        guard !loras.isEmpty else { return (configuration, component.weights) }

        var layers: [(file: LoRAFile, strength: Float)] = []
        let spellings = WanKeys.spellings(configuration)
        for lora in loras {
            let source = try openWeights(at: lora.path)
            try LoRAMatch(configuration, hasTwoExperts: highNoise != nil).check(source, lora)
            let expert: LoRAFile.Expert? = highNoise == nil ? nil : part == highNoise ? .high : .low
            layers.append((try LoRAFile(source, spellings: spellings, expert: expert), Float(lora.strength)))
        }
        return (configuration, try LoRAWeights(component.weights, adding: layers))
    }

    /// A transformer's sizes: from its tensors, and what a configuration adds: the `config.json` beside it, else the
    /// file's own note `config`, else GGUF's `wan.attention.head_count`.
    static func configuration(of weights: any WeightSource, _ part: Part) throws(SwanError) -> WanConfiguration {
        var hints = WanConfiguration.Hints()
        for (json, origin) in try configurations(of: .transformer, weights, part) {
            let next = try json.withBytes { (bytes) throws(SwanError) in
                try WanConfiguration.Hints(json: bytes, origin: origin)
            }
            hints.heads = hints.heads ?? next.heads
            hints.textTokens = hints.textTokens ?? next.textTokens
            hints.eps = hints.eps ?? next.eps
        }
        let noted = weights.annotations["wan.attention.head_count"].flatMap(Int.init)
        var configuration = try WanConfiguration(shapesOf: weights, heads: hints.heads ?? noted)
        if let rows = hints.textTokens { configuration.textTokens = rows }
        if let eps = hints.eps { configuration.eps = eps }
        return configuration
    }

    /// The configurations that a part has, the first counting most: in a folder of all parts, the `config.json` beside
    /// them is one part's only.
    static func configurations(
        of kind: ComponentKind, _ weights: any WeightSource, _ part: Part
    ) throws(SwanError) -> [(json: HostBytes, origin: String)] {
        var found: [(json: HostBytes, origin: String)] = []
        if let path = part.configuration { found.append((try MappedFile(path: path).bytes, path)) }
        if let json = weights.annotations["config"] {
            found.append((Array(json.utf8).withUnsafeBytes { HostBytes(copying: $0) }, weights.origin))
        }
        return found.filter { (json, _) in
            guard let other = ComponentKind(ofConfiguration: json) else { return true }
            return other == kind
        }
    }

    /// The text encoder's weights and configuration.
    public func openTextEncoder() throws(SwanError) -> (configuration: UMT5Configuration, weights: any WeightSource) {
        let component = try open(textEncoder, as: .textEncoder)
        return (try UMT5Configuration(shapesOf: component.weights), component.weights)
    }

    /// The autoencoder's weights and configuration.
    public func openAutoencoder() throws(SwanError) -> (configuration: WanVAEConfiguration, weights: any WeightSource) {
        let component = try open(autoencoder, as: .autoencoder)
        // diffusers keeps the latents' scales beside the weights; elsewhere they are constants.
        var scales = AutoencoderJSON()
        for (json, origin) in try Self.configurations(of: .autoencoder, component.weights, autoencoder) {
            let next: AutoencoderJSON = try Self.decode(json, origin: origin)
            scales.latentsMean = scales.latentsMean ?? next.latentsMean
            scales.latentsStd = scales.latentsStd ?? next.latentsStd
        }
        let configuration = try WanVAEConfiguration(
            shapesOf: component.weights, mean: scales.latentsMean, deviation: scales.latentsStd)
        return (configuration, component.weights)
    }

    /// The tokenizer, from its own file or from inside the text encoder's.
    public func openTokenizer() throws(SwanError) -> SentencePieceTokenizer {
        if let tokenizer {
            let file = try MappedFile(path: tokenizer)
            return try file.bytes.withBytes { (bytes) throws(SwanError) in try SentencePieceTokenizer(model: bytes) }
        }
        let source = try openModelWeights(at: textEncoder.path)
        guard source.info(Self.tokenizerTensor) != nil else {
            throw SwanError(
                .modelIncomplete,
                "The model at \(root) has no tokenizer: neither 'spiece.model' nor '\(Self.tokenizerTensor)' inside the text encoder.",
                advice: "Put the model's spiece.model into the folder 'tokenizer'.")
        }
        let tensor = try source.tensor(Self.tokenizerTensor)
        return try tensor.bytes.withBytes { (bytes) throws(SwanError) in try SentencePieceTokenizer(model: bytes) }
    }

    /// The tensor in which ComfyUI's text encoders carry the SentencePiece model.
    private static let tokenizerTensor = "spiece_model"
}
