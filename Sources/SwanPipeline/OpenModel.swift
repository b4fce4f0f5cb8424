import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanNN
import SwanTensor
import SwanText

/// A model whose headers were read and found in order; weights are read by the `load` functions.
struct OpenModel {
    let sizes: GenerationPlan.Sizes
    let architecture: ModelArchitecture
    let tokenizer: any PromptTokenizer
    private let high: ModelParts.Part<WanConfiguration>?
    private let low: ModelParts.Part<WanConfiguration>
    private let textEncoder: ModelParts.Part<UMT5Configuration>
    private let autoencoder: ModelParts.Part<WanVAEConfiguration>

    /// - Throws: what a part gets wrong, and `pipeline.model-incomplete` where the parts do not belong
    ///   together.
    init(_ parts: ModelParts) throws(SwanError) {
        (high, low) = (parts.highNoise, parts.lowNoise)
        (textEncoder, autoencoder, tokenizer) = (parts.textEncoder, parts.autoencoder, parts.tokenizer)

        // Headers first: what is missing or does not fit costs nothing.
        let config = low.configuration
        for part in [high, low].compactMap({ $0 }) {
            try TensorCheck(part.weights, expected: part.configuration.tensorShapes).requireFine(
                of: part.weights.origin)
        }
        try TensorCheck(
            textEncoder.weights, expected: textEncoder.configuration.tensorShapes, tolerated: UMT5Encoder.tolerated
        ).requireFine(of: textEncoder.weights.origin)
        try TensorCheck(autoencoder.weights, expected: autoencoder.configuration.tensorShapes)
            .requireFine(of: autoencoder.weights.origin)

        if let high, high.configuration != config {
            throw Self.mismatch("The two experts have different sizes")
        }
        guard textEncoder.configuration.width == config.textWidth else {
            throw Self.mismatch(
                "The text encoder gives \(textEncoder.configuration.width) features and the transformer takes \(config.textWidth)"
            )
        }
        let channels = autoencoder.configuration.latentChannels
        guard config.inputChannels == channels, config.outputChannels == channels else {
            throw Self.mismatch(
                "The transformer works on \(config.inputChannels) latent channels and the autoencoder has \(channels)")
        }
        guard tokenizer.vocabularySize <= textEncoder.configuration.vocabulary else {
            throw Self.mismatch(
                "The tokenizer has \(tokenizer.vocabularySize) pieces and the text encoder \(textEncoder.configuration.vocabulary) rows"
            )
        }
        sizes = GenerationPlan.Sizes(
            transformer: config, textEncoder: textEncoder.configuration, autoencoder: autoencoder.configuration,
            transformerBytes: 4 * config.parameters,
            textEncoderBytes: Self.floatBytes(textEncoder.weights, where: Self.isEncoded),
            decoderBytes: Self.decoderBytes(autoencoder.weights),
            mappedBytes: Self.storedBytes(textEncoder.weights, where: Self.isEncoded)
                + Self.storedBytes(autoencoder.weights, where: Self.isDecoder)
                + [high, low].compactMap(\.self).reduce(0) { $0 + Self.storedBytes($1.weights) { _ in true } })
        let text = textEncoder.configuration
        architecture = ModelArchitecture(
            transformer: .init(
                width: config.width, feedForward: config.feedForward, heads: config.heads, layers: config.layers,
                parameters: config.parameters),
            experts: high == nil ? 1 : 2,
            textEncoder: .init(
                width: text.width, feedForward: text.feedForward, heads: text.heads, layers: text.layers,
                parameters: Self.parameters(text.tensorShapes)),
            autoencoderParameters: Self.parameters(autoencoder.configuration.tensorShapes),
            latentChannels: channels)
    }

    private static func parameters(_ shapes: [String: Shape]) -> Int { shapes.values.reduce(0) { $0 + $1.count } }

    func loadTextEncoder(
        _ placement: WeightPlacement, on backend: any Backend, _ cancellation: Cancellation
    ) throws(SwanError) -> UMT5Encoder {
        try UMT5Encoder(
            textEncoder.configuration, Self.scope(textEncoder.weights, cancellation), placement, on: backend)
    }

    /// - Parameter isHigh: which expert; the only transformer counts as low.
    func loadTransformer(
        isHigh: Bool, _ placement: WeightPlacement, as format: EightBitFormat?, on backend: any Backend,
        _ cancellation: Cancellation
    ) throws(SwanError) -> WanTransformer {
        let part = isHigh ? high ?? low : low
        return try WanTransformer(
            part.configuration, Self.scope(part.weights, cancellation), placement, as: format, on: backend)
    }

    func loadDecoder(on backend: any Backend, _ cancellation: Cancellation) throws(SwanError) -> WanVAEDecoder {
        try WanVAEDecoder(autoencoder.configuration, Self.scope(autoencoder.weights, cancellation), on: backend)
    }

    /// Whether the transformers' weights may be read from their files at every step; see
    /// ``LoRAWeights/canReadAgain(under:)``.
    var canReadAgain: Bool {
        // Only the blocks take turns; what lies around them is read once.
        [high, low].allSatisfy { ($0?.weights as? LoRAWeights)?.canReadAgain(under: "blocks.") ?? true }
    }

    /// Names of tensors with values that are no numbers or infinite, with their files: the first three.
    /// Reads every weight that the steps use.
    func weightsThatAreNoNumbers(_ cancellation: Cancellation) throws(SwanError) -> [String] {
        var found: [String] = []
        for weights in [textEncoder.weights] + [high, low].compactMap({ $0?.weights }) {
            for name in weights.names where weights.info(name)?.dtype.isFloatingPoint == true {
                try cancellation.check()
                guard try !weights.tensor(name).floats().allSatisfy(\.isFinite) else { continue }
                found.append("\(name.printable()) in \(weights.origin)")
                if found.count == 3 { return found }
            }
        }
        return found
    }

    private static func scope(_ weights: any WeightSource, _ cancellation: Cancellation) -> WeightScope {
        WeightScope(StoppableWeights(base: weights, cancellation: cancellation))
    }

    /// Of the embedding table only the prompt's rows are read.
    private static func isEncoded(_ name: String) -> Bool { name != "token_embedding.weight" }

    private static func isDecoder(_ name: String) -> Bool { name.hasPrefix("decoder.") || name.hasPrefix("conv2.") }

    /// Bytes of a decoder's weights in memory: the four 2×2 convolutions that an upsampling amounts to have
    /// 16 taps instead of 9.
    private static func decoderBytes(_ weights: any WeightSource) -> Int {
        floatBytes(weights, where: isDecoder)
            + floatBytes(weights) { isDecoder($0) && $0.hasSuffix(".resample.1.weight") } * 7 / 9
    }

    private static func floatBytes(_ weights: any WeightSource, where isCounted: (String) -> Bool) -> Int {
        weights.names.filter(isCounted).reduce(0) { $0 + 4 * (weights.info($1)?.shape.count ?? 0) }
    }

    private static func storedBytes(_ weights: any WeightSource, where isCounted: (String) -> Bool) -> Int {
        weights.names.filter(isCounted).reduce(0) { sum, name in
            sum + (weights.info(name)?.storedBytes ?? 0)
        }
    }

    private static func mismatch(_ problem: String) -> SwanError {
        SwanError(
            .modelIncomplete, problem + ".", advice: "The parts come from different models: fetch all from one place.")
    }
}
