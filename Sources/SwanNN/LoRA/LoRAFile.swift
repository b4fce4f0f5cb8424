public import SwanCheckpoint
public import SwanDiagnostics
import SwanTensor

/// One thing that a LoRA file says of a module: low-rank factors and their scale, or whole differences.
enum LoRAPart: Sendable {
    case down, up, alpha, difference, biasDifference, modulationDifference
}

/// A LoRA file: low-rank additions to a model's weights, keyed by the module's path in the model.
///
/// Reads the names of kohya and LightX2V (`lora_down`, `lora_up`, `alpha`), of PEFT and diffusers
/// (`lora_A`, `lora_B`), and whole differences (`diff`, `diff_b`). Other kinds (LoKr, LoHa, DoRA) are
/// refused by name, since merging a part of them would give another picture without a word.
public struct LoRAFile: Sendable {
    /// Where the file is, for messages.
    public let origin: String
    let terms: [String: [LoRAPart: HostTensor]]

    /// How a suffix of a tensor's name is used. Longer suffixes stand first.
    private static let suffixes: [(suffix: String, part: LoRAPart)] = [
        (".lora_down.weight", .down), (".lora_up.weight", .up),
        (".lora_A.default.weight", .down), (".lora_B.default.weight", .up),
        (".lora_A.weight", .down), (".lora_B.weight", .up),
        (".lora.down.weight", .down), (".lora.up.weight", .up),
        ("_lora.down.weight", .down), ("_lora.up.weight", .up),
        (".lora_linear_layer.down.weight", .down), (".lora_linear_layer.up.weight", .up),
        (".lora_A", .down), (".lora_B", .up),
        (".alpha", .alpha), (".diff_b", .biasDifference), (".diff_m", .modulationDifference),
        (".diff", .difference),
    ]

    /// Prefixes that tools put before a module's path.
    private static let prefixes = [
        "base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "unet.", "model.",
    ]

    /// Reads a file's names and factors.
    ///
    /// - Parameters:
    ///   - source: the file.
    ///   - modules: every module path of the model that may be changed, as the model names it.
    ///   - translate: another naming's path → the model's, nil for a foreign one.
    /// - Throws: `lora.mismatch` for names that fit no module, a kind that cannot be merged, or a pair
    ///   with one half missing. All of them are listed up to five.
    public init(
        _ source: any WeightSource, modules: Set<String>, translate: (String) -> String?
    ) throws(SwanError) {
        origin = source.origin
        // Kohya's names write underscores for dots: which of them were dots only the model knows.
        let underscored = Dictionary(
            modules.map { ($0.replacing(".", with: "_"), $0) }, uniquingKeysWith: { first, _ in first })

        var terms: [String: [LoRAPart: HostTensor]] = [:]
        var unknown: [String] = []
        for name in source.names {
            guard let (base, part) = Self.split(name) else {
                unknown.append(name)
                continue
            }
            guard let module = Self.module(of: base, modules, underscored, translate) else {
                unknown.append(name)
                continue
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
                "\(source.origin): \(unknown.count) of \(source.names.count) tensors match no layer of the model: \(shown)\(unknown.count > 5 ? ", …" : "").",
                advice:
                    "The file is a LoRA for another model, or of a kind (LoKr, LoHa, DoRA) that Swan does not merge.")
        }
        guard !terms.isEmpty else {
            throw SwanError(.loraMismatch, "\(source.origin) holds no LoRA tensor.", advice: "Name a LoRA file.")
        }
        for (module, term) in terms.sorted(by: { $0.key < $1.key }) {
            if (term[.down] == nil) != (term[.up] == nil) || (term[.alpha] != nil && term[.up] == nil) {
                throw SwanError(
                    .loraMismatch, "\(source.origin): layer '\(module)' lacks a low-rank factor.",
                    advice: "The file is incomplete: fetch it again.")
            }
        }
        try Self.checkMetadata(source)
        self.terms = terms
    }

    /// Refuses scales that stand in the file's notes instead of in tensors: rank-stabilised LoRAs divide by
    /// another number, and without the alphas of PEFT's configuration every factor would be wrong.
    private static func checkMetadata(_ source: any WeightSource) throws(SwanError) {
        for (key, value) in source.annotations {
            let text = (key + "=" + value).lowercased().filter { !$0.isWhitespace && $0 != "\"" }
            let isRankStabilised = text.contains("use_rslora:true") || text.contains("use_rslora=true")
            let hasOwnAlpha = key == "lora_adapter_metadata" && text.contains("lora_alpha")
            guard isRankStabilised || hasOwnAlpha else { continue }
            throw SwanError(
                .loraMismatch,
                "\(source.origin) keeps its scale in the note '\(key.printable())', which Swan does not apply.",
                advice: "Export the file with its scale merged into the factors, or with an alpha for each layer.")
        }
    }

    private static func split(_ name: String) -> (base: String, part: LoRAPart)? {
        for (suffix, part) in suffixes where name.hasSuffix(suffix) {
            return (String(name.dropLast(suffix.count)), part)
        }
        return nil
    }

    private static func module(
        of base: String, _ modules: Set<String>, _ underscored: [String: String], _ translate: (String) -> String?
    ) -> String? {
        for prefix in ["lora_unet__", "lora_unet_"] where base.hasPrefix(prefix) {
            let rest = String(base.dropFirst(prefix.count))
            if let module = underscored[rest] { return module }
        }
        var candidates = [base]
        for prefix in prefixes where base.hasPrefix(prefix) { candidates.append(String(base.dropFirst(prefix.count))) }
        for candidate in candidates {
            if modules.contains(candidate) { return candidate }
            if let official = translate(candidate), modules.contains(official) { return official }
        }
        return nil
    }
}
