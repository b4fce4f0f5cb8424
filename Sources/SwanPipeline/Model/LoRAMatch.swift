import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanNN
import SwanTensor

/// Telling for which model a LoRA was made, before it is merged into one that it was not made for.
struct LoRAMatch {
    private let configuration: WanConfiguration
    private let hasTwoExperts: Bool

    init(_ configuration: WanConfiguration, hasTwoExperts: Bool) {
        self.configuration = configuration
        self.hasTwoExperts = hasTwoExperts
    }

    /// - Throws: `lora.mismatch` with the reason: another width, more blocks, layers that only another model has; and,
    ///   unless it is forced, a name or a note that speaks of another model.
    func check(_ source: any WeightSource, _ setting: LoRASetting) throws(SwanError) {
        try checkLayers(source)
        if setting.isForced != true { try checkWords(source, setting.path) }
    }

    /// Widths of published models.
    private static let models = [5120: "a 14B model", 3072: "Wan2.2-TI2V-5B", 1536: "Wan2.1-T2V-1.3B"]

    private func name(_ width: Int) -> String { Self.models[width] ?? "a model of width \(width)" }

    private func refusal(
        _ source: any WeightSource, _ problem: String, advice: String = "Use a LoRA that was made for this model."
    ) -> SwanError {
        SwanError(.loraMismatch, "\(source.origin) \(problem).", advice: advice)
    }

    // MARK: What tensors tell

    private func checkLayers(_ source: any WeightSource) throws(SwanError) {
        if let name = source.names.first(where: { name in
            ["k_img", "v_img", "img_emb", "add_k_proj", "add_v_proj", "norm_added_k"].contains { name.contains($0) }
        }) {
            throw refusal(
                source, "was made for Wan2.1 image-to-video: it changes '\(name.printable())', which the model lacks")
        }
        for name in source.names {
            guard let module = LoRANames.moduleOfDown(name), let shape = source.info(name)?.shape, shape.rank >= 2
            else {
                continue
            }
            let path = module.replacing("_", with: ".")
            if path.hasSuffix("patch.embedding") {
                try checkInput(shape, source)
            } else if path.contains("self.attn.") || path.contains("attn1.") {
                guard shape[1] != configuration.width else { continue }
                throw refusal(
                    source,
                    "was made for \(self.name(shape[1])): its '\(module.printable())' takes \(shape[1]) values, and the model's width is \(configuration.width) (\(self.name(configuration.width)))"
                )
            }
        }
        let blocks = (source.names.compactMap(Self.block).max() ?? 0) + 1
        guard blocks <= configuration.layers else {
            throw refusal(source, "changes \(blocks) blocks, and the model has \(configuration.layers)")
        }
    }

    /// Whether a patch embedding's factor is for the model's input: the latent alone, or with an image beside it.
    private func checkInput(_ down: Shape, _ source: any WeightSource) throws(SwanError) {
        let volume = configuration.patch.volume
        let channels = down.rank == 2 ? down[1] / volume : down[1]
        guard channels != configuration.inputChannels else { return }
        throw refusal(
            source,
            "was made for \(channels == 36 ? "image-to-video" : "another input"): its patch embedding takes \(channels) channels, and the model's \(configuration.inputChannels)"
        )
    }

    /// The block that a name speaks of, as `blocks.7.` or `blocks_7_`.
    private static func block(_ name: String) -> Int? {
        guard let range = name.firstRange(of: "blocks") else { return nil }
        let rest = name[range.upperBound...]
        guard let separator = rest.first, separator == "." || separator == "_" else { return nil }
        let digits = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
        return digits.count <= 6 ? Int(digits) : nil
    }

    // MARK: What names and notes tell

    private func checkWords(_ source: any WeightSource, _ path: String) throws(SwanError) {
        let advice = "Use a LoRA that was made for this model; --force-lora merges this one all the same."
        let name = Self.telling(path)
        for (where_, text) in [("its name says so", name)] + Self.notes(source).map({ ("its notes say so", $0) }) {
            let words = Self.plain(text)
            let (is21, is22) = (words.contains("wan21"), words.contains("wan22"))
            if hasTwoExperts, is21, !is22 {
                throw refusal(
                    source,
                    "was made for Wan2.1 (\(where_)), and the model is Wan2.2, whose experts share the shapes and not the weights",
                    advice: advice)
            }
            if !hasTwoExperts, is22, !is21, configuration.inputChannels == 16 {
                throw refusal(
                    source, "was made for Wan2.2 (\(where_)), and the model has one transformer, as Wan2.1's have",
                    advice: advice)
            }
            if words.contains("i2v"), !words.contains("t2v"), configuration.inputChannels == 16 {
                throw refusal(
                    source, "was made for image-to-video (\(where_)), and the model makes video from text",
                    advice: advice)
            }
        }
    }

    /// A text in lower case without what separates words and digits.
    private static func plain(_ text: String) -> String {
        text.lowercased().filter { $0.isLetter || $0.isNumber }
    }

    /// The file's name; with its folder's where it is one that every file may have.
    private static func telling(_ path: String) -> String {
        let parts = path.split(separator: "/").map(String.init)
        guard let name = parts.last else { return path }
        let common = ["high_noise", "low_noise", "adapter_model", "pytorch_lora_weights", "model."]
        return common.contains(where: name.hasPrefix) ? parts.suffix(2).joined(separator: " ") : name
    }

    /// Notes in which trainers say what they started from.
    private static func notes(_ source: any WeightSource) -> [String] {
        [
            "ss_base_model_version", "modelspec.architecture", "base_model", "base_model_name_or_path",
            "ss_sd_model_name",
        ]
        .compactMap { source.annotations[$0] }
    }
}
