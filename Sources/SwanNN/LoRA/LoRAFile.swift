public import SwanCheckpoint
public import SwanDiagnostics
import SwanTensor

/// A LoRA file: changes to a model's weights, keyed by the module's path in the model.
///
/// Reads the names of kohya and LightX2V (`lora_down`, `lora_up`, `alpha`), of PEFT and diffusers (`lora_A`, `lora_B`),
/// whole differences and replacements (`diff`, `diff_b`, `diff_m`, `set_weight`), LoKr, LoHa and DoRA, under any of the
/// prefixes that tools use, with dots or underscores.
public struct LoRAFile: Sendable {
    /// An expert of a model with two, whose changes one file may hold both.
    public enum Expert: Sendable {
        case high, low
    }

    /// Where the file is, for messages.
    public let origin: String
    let terms: [String: LoRATerm]

    /// Reads a file's names and factors.
    ///
    /// - Parameters:
    ///   - source: the file.
    ///   - spellings: every way in which modules of the model that may be changed are written, with dots, and the
    ///     model's own path of each.
    ///   - expert: whose changes are wanted, of a file that holds those of two; nil for a model with one transformer.
    /// - Throws: `lora.mismatch` for names that fit no module, a kind that cannot be merged, or a pair
    ///   with one half missing. All of them are listed up to five.
    public init(
        _ source: any WeightSource, spellings: [String: String], expert: Expert? = nil
    ) throws(SwanError) {
        origin = source.origin
        // Kohya's names write underscores for dots: which of them were dots only the model knows.
        let underscored = Dictionary(
            spellings.map { ($0.key.replacing(".", with: "_"), $0.value) }, uniquingKeysWith: { first, _ in first })
        let names = try Self.names(source, expert)

        var terms: [String: [LoRAPart: HostTensor]] = [:]
        var unknown: [String] = []
        for name in names {
            guard let (base, part) = LoRANames.split(name),
                let module = Self.module(of: base, spellings, underscored)
            else {
                unknown.append(name)
                continue
            }
            guard part != .middle else {
                throw SwanError(
                    .loraMismatch,
                    "\(source.origin): '\(name.printable())' is a factor of a convolution, and the model's layers have none.",
                    advice: "The file is a LoRA for another model.")
            }
            let tensor = try source.tensor(name)
            if terms[module, default: [:]].updateValue(tensor, forKey: part) != nil {
                throw SwanError(
                    .loraMismatch,
                    "\(source.origin): two tensors say the same of '\(module)', one of them '\(name.printable())'.",
                    advice: "The file mixes two naming schemes; export it again.")
            }
        }
        guard unknown.isEmpty else {
            let shown = unknown.prefix(5).map { "'\($0.printable())'" }.joined(separator: ", ")
            throw SwanError(
                .loraMismatch,
                "\(source.origin): \(unknown.count) of \(names.count) tensors match no layer of the model: \(shown)\(unknown.count > 5 ? ", …" : "").",
                advice: "The file is a LoRA for another model, or of a kind that Swan does not merge.")
        }
        guard !terms.isEmpty else {
            throw SwanError(.loraMismatch, "\(source.origin) holds no LoRA tensor.", advice: "Name a LoRA file.")
        }
        let scale = try LoRAScale(source)
        var checked: [String: LoRATerm] = [:]
        for (module, parts) in terms.sorted(by: { $0.key < $1.key }) {
            guard let term = LoRATerm(parts, scale) else {
                throw SwanError(
                    .loraMismatch, "\(source.origin): layer '\(module)' lacks a factor.",
                    advice: "The file is incomplete: fetch it again.")
            }
            checked[module] = term
        }
        self.terms = checked
    }

    /// The names that are meant for an expert: all, unless the file holds both.
    private static func names(_ source: any WeightSource, _ expert: Expert?) throws(SwanError) -> [String] {
        let second = LoRANames.secondExpert
        guard source.names.contains(where: { $0.hasPrefix(second) }) else { return source.names }
        guard let expert else {
            throw SwanError(
                .loraMismatch, "\(source.origin) changes two experts, and the model has one transformer.",
                advice: "The file is a LoRA for Wan2.2-A14B.")
        }
        let names = source.names.filter { $0.hasPrefix(second) == (expert == .low) }
        guard !names.isEmpty else {
            throw SwanError(
                .loraMismatch, "\(source.origin) changes the low-noise expert only ('\(second)…').",
                advice: "Give it with --lora-low.")
        }
        return names
    }

    private static func module(
        of base: String, _ spellings: [String: String], _ underscored: [String: String]
    ) -> String? {
        for prefix in ["lora_unet__", "lora_unet_", "lora_transformer_"] where base.hasPrefix(prefix) {
            if let module = underscored[String(base.dropFirst(prefix.count))] { return module }
        }
        for candidate in LoRANames.candidates(base) {
            if let module = spellings[candidate] { return module }
        }
        return nil
    }
}

/// What a file's notes say of the scale of all its low-rank changes.
struct LoRAScale: Sendable {
    /// For modules without an `alpha` of their own.
    var alpha: Float?
    /// Rank-stabilised: divided by the root of the rank.
    var isRankStabilised = false

    /// Reads what PEFT's configuration says, where diffusers keeps it beside the factors.
    ///
    /// - Throws: `lora.mismatch` for scales that differ between layers, or that stand where only their trainer
    ///   understands them: without them every factor would be wrong.
    init(_ source: any WeightSource) throws(SwanError) {
        func refusal(_ problem: String) -> SwanError {
            SwanError(
                .loraMismatch, "\(source.origin): \(problem), which Swan does not apply.",
                advice: "Export the file with its scale merged into the factors, or with an alpha for each layer.")
        }
        for (key, value) in source.annotations.sorted(by: { $0.key < $1.key }) where key != "lora_adapter_metadata" {
            let text = (key + "=" + value).lowercased().filter { !$0.isWhitespace && $0 != "\"" }
            if text.contains("use_rslora:true") || text.contains("use_rslora=true") {
                isRankStabilised = true
            }
        }
        guard let text = source.annotations["lora_adapter_metadata"] else { return }
        let bytes = Array(text.utf8).withUnsafeBytes { HostBytes(copying: $0) }
        guard case .object(let root) = try JSONScanner.parse(bytes, origin: source.origin + ", lora_adapter_metadata")
        else { throw refusal("the note lora_adapter_metadata is no JSON object") }
        var alphas: Set<Double> = []
        for (key, value) in root {
            switch (key.split(separator: ".").last.map(String.init) ?? key, value) {
            case ("lora_alpha", .integer(let number)): alphas.insert(Double(number))
            case ("lora_alpha", .number(let number)): alphas.insert(number)
            case ("use_rslora", .bool(let flag)): isRankStabilised = isRankStabilised || flag
            case ("alpha_pattern", .object(let members)) where !members.isEmpty:
                throw refusal("the note lora_adapter_metadata gives layers different scales")
            default: break
            }
        }
        guard alphas.count <= 1 else { throw refusal("the note lora_adapter_metadata has \(alphas.count) scales") }
        alpha = alphas.first.map { Float($0) }
    }
}
