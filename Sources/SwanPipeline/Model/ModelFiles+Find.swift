import FoundationEssentials
import SwanCheckpoint
public import SwanDiagnostics
import SwanModels

/// Which expert a file's or folder's name speaks of.
enum ExpertWord: String {
    case high, low

    /// `high_noise_model`, `HIGH`, `-HighNoise-`, `-HN`…: nil when neither or both are named.
    init?(in name: String) {
        let words = Self.words(name)
        let high = words.contains { $0.hasPrefix("high") || $0 == "hn" }
        let low = words.contains { $0.hasPrefix("low") || $0 == "ln" }
        guard high != low else { return nil }
        self = high ? .high : .low
    }

    /// The words of a name, lower-case: cut at punctuation, digits, and where capitals begin.
    private static func words(_ name: String) -> [String] {
        var words = [""]
        var previous: Character = " "
        for character in name {
            if !character.isLetter {
                words.append("")
            } else {
                if character.isUppercase && previous.isLowercase { words.append("") }
                words[words.count - 1].append(character)
            }
            previous = character
        }
        return words.map { $0.lowercased() }.filter { !$0.isEmpty }
    }
}

extension ModelFiles {
    /// Finds the parts of a model in a folder, in any published layout.
    ///
    /// Headers of files whose role their place does not tell are read; nothing else is. One that cannot be read, or is
    /// stored in a way that this version does not know, keeps nothing from running that does not need it:
    /// ``unread`` lists it.
    ///
    /// - Parameters:
    ///   - root: the folder.
    ///   - base: another folder, where text encoder, tokenizer and autoencoder are looked for when the
    ///     first has none: repositories of experts bring nothing else.
    /// - Throws: `pipeline.model-incomplete`, naming exactly what is missing; the readers' own codes for
    ///   damaged files; `checkpoint.ambiguous` when several files could play one role.
    public init(in root: String, completedFrom base: String? = nil) throws(SwanError) {
        guard exists(root) else {
            throw SwanError(
                .modelIncomplete, "There is no model at \(root).",
                advice: "Name a folder that holds a model, or a model of `swan models`.")
        }
        guard isFolder(root) else {
            throw SwanError(
                .modelIncomplete,
                "\(root) is one file; a model also needs a text encoder, a tokenizer and an autoencoder.",
                advice: "Name the folder that holds all parts. `swan inspect \(root)` shows what the file is.")
        }
        let (root, base) = (Folder.trimmed(root), base.map(Folder.trimmed))
        let folder = Folder(path: root)
        if let base, !isFolder(base) {
            throw SwanError(
                .modelIncomplete, "There is no folder at \(base).",
                advice: "Name a folder with the parts that \(root) lacks.")
        }
        if folder.find("model_index.json") != nil {
            self = try Self.diffusers(folder, base.map(Folder.init))
        } else if folder.find("high_noise_model") != nil || folder.find("low_noise_model") != nil {
            self = try Self.official(folder, base.map(Folder.init))
        } else if let snapshot = try Self.snapshot(folder) {
            self = try ModelFiles(in: snapshot, completedFrom: base)
            return
        } else {
            self = try Self.loose(folder, base.map(Folder.init))
        }
        defaults = folder.find("swan.json")
        if let high = folder.find("lightning/high_noise_model.safetensors"),
            let low = folder.find("lightning/low_noise_model.safetensors")
        {
            lightning = LoRAPair(high: high, low: low)
        }
        for published in PublishedPair.all {
            guard let pair = published.find(in: folder) else { continue }
            publishedPairs[published.release] = pair
            lightning = lightning ?? pair
        }
        try checkExperts()
    }

    /// diffusers: one folder for each part.
    private static func diffusers(_ folder: Folder, _ base: Folder?) throws(SwanError) -> ModelFiles {
        func part(_ name: String) throws(SwanError) -> Part {
            guard let path = folder.find(name) else { throw missing("the folder '\(name)'", in: folder.path) }
            return Part(path, configuration: Folder(path: path).find("config.json"))
        }
        let first = try part("transformer")
        let second = folder.find("transformer_2") == nil ? nil : try part("transformer_2")
        let common: (textEncoder: Part, tokenizer: String?, autoencoder: Part)
        if base == nil {
            common = (try part("text_encoder"), tokenizer(folder), try part("vae"))
        } else {
            var found = Candidates()
            for (kind, name) in [(ComponentKind.textEncoder, "text_encoder"), (.autoencoder, "vae")]
            where folder.find(name) != nil {
                found.parts[kind] = [try part(name)]
            }
            common = try shared(&found, folder, base)
        }
        return ModelFiles(
            layout: .diffusers, root: folder.path, highNoise: second == nil ? nil : first, lowNoise: second ?? first,
            textEncoder: common.textEncoder, tokenizer: common.tokenizer, autoencoder: common.autoencoder)
    }

    /// The official layout, or LightX2V's, whose experts are single files.
    private static func official(_ folder: Folder, _ base: Folder?) throws(SwanError) -> ModelFiles {
        func expert(_ name: String) throws(SwanError) -> Part {
            guard let path = folder.find(name) else { throw missing("the folder '\(name)'", in: folder.path) }
            return Part(path, configuration: Folder(path: path).find("config.json") ?? folder.find("config.json"))
        }
        let high = try expert("high_noise_model")
        let low = try expert("low_noise_model")
        let isSharded = Folder(path: high.path).names.contains { $0.hasSuffix(".index.json") }
        var found = Candidates(folder, depth: 0)
        let shared = try shared(&found, folder, base)
        return ModelFiles(
            layout: isSharded ? .official : .lightX2V, root: folder.path, highNoise: high, lowNoise: low,
            textEncoder: shared.textEncoder, tokenizer: shared.tokenizer, autoencoder: shared.autoencoder,
            unread: found.unread)
    }

    /// Files in any places: each is classified by its tensors, experts are told apart by their names.
    private static func loose(_ folder: Folder, _ base: Folder?) throws(SwanError) -> ModelFiles {
        var found = Candidates(folder, depth: 3)
        let transformers = found.parts[.transformer] ?? []
        guard !transformers.isEmpty else { throw found.missing(.transformer, "a Wan transformer", in: folder.path) }
        // One that is left may be half of a pair: it is not run alone where the other half may just be unreadable.
        if transformers.count == 1, let other = found.otherExpert { throw other }
        let isComfy = folder.find("split_files") != nil || folder.find("diffusion_models") != nil
        let shared = try shared(&found, folder, base)
        var files = ModelFiles(
            layout: isComfy ? .comfyUI : .loose, root: folder.path, highNoise: nil, lowNoise: transformers[0],
            textEncoder: shared.textEncoder, tokenizer: shared.tokenizer, autoencoder: shared.autoencoder,
            unread: found.unread)
        guard transformers.count > 1 else {
            if let word = ExpertWord(in: lastComponent(transformers[0].path)) {
                let other = word == .high ? ExpertWord.low : .high
                throw missing("the \(other.rawValue)-noise expert", in: folder.path)
            }
            return files
        }
        // The path below the model's folder: its own name may hold any word.
        let named = transformers.map { ($0, ExpertWord(in: String($0.path.dropFirst(folder.path.count)))) }
        let high = named.filter { $0.1 == .high }
        let low = named.filter { $0.1 == .low }
        guard high.count == 1, low.count == 1, transformers.count == 2 else {
            throw SwanError(
                .ambiguous,
                "\(folder.path) holds \(transformers.count) transformers: \(transformers.map { lastComponent($0.path) }.joined(separator: ", ")).",
                advice:
                    "Keep one high-noise and one low-noise expert there, told apart by 'high' and 'low' in their names."
            )
        }
        files.highNoise = high[0].0
        files.lowNoise = low[0].0
        return files
    }

    /// A repository of the Hugging Face cache: the snapshot that `refs/main` names.
    private static func snapshot(_ folder: Folder) throws(SwanError) -> String? {
        guard let snapshots = folder.find("snapshots"), isFolder(snapshots) else { return nil }
        let names = Folder(path: snapshots).names
        if let reference = folder.find("refs/main"), let text = try? String(contentsOfFile: reference, encoding: .utf8)
        {
            let name = text.trimmingCharacters
            if names.contains(name) { return "\(snapshots)/\(name)" }
        }
        guard names.count == 1 else {
            throw SwanError(
                .modelIncomplete,
                "\(folder.path) holds \(names.count) snapshots and no 'refs/main' that names one of them.",
                advice: "Name the folder of one snapshot.")
        }
        return "\(snapshots)/\(names[0])"
    }

    /// The parts that all Wan models have in common: from the model's folder, else from the other.
    private static func shared(_ found: inout Candidates, _ folder: Folder, _ base: Folder?) throws(SwanError) -> (
        textEncoder: Part, tokenizer: String?, autoencoder: Part
    ) {
        var tokenizer = tokenizer(folder)
        if let base {
            let others = Candidates(base, depth: base.find("model_index.json") == nil ? 3 : 1)
            for kind in [ComponentKind.textEncoder, .autoencoder] where (found.parts[kind] ?? []).isEmpty {
                found.parts[kind] = others.parts[kind]
            }
            found.unreadable += others.unreadable.filter { other in
                !found.unreadable.contains { $0.path == other.path }
            }
            tokenizer = tokenizer ?? Self.tokenizer(base)
        }
        return (
            try only(.textEncoder, found, in: folder.path), tokenizer, try only(.autoencoder, found, in: folder.path)
        )
    }

    private static func only(_ kind: ComponentKind, _ found: Candidates, in root: String) throws(SwanError) -> Part {
        let parts = found.parts[kind] ?? []
        guard let part = parts.first else { throw found.missing(kind, "a \(kind.title)", in: root) }
        guard parts.count == 1 else {
            throw SwanError(
                .ambiguous,
                "\(root) holds \(parts.count) files that are a \(kind.title): \(parts.map { lastComponent($0.path) }.joined(separator: ", ")).",
                advice: "Keep one of them there.")
        }
        return part
    }

    /// The SentencePiece model, at the places of the published layouts.
    private static func tokenizer(_ folder: Folder) -> String? {
        for place in ["google/umt5-xxl/spiece.model", "tokenizer/spiece.model", "spiece.model"] {
            if let path = folder.find(place) { return path }
        }
        return nil
    }

    fileprivate static func missing(_ part: String, in root: String) -> SwanError {
        SwanError(
            .modelIncomplete, "The model at \(root) is incomplete: \(part) is missing.",
            advice: "Fetch the model again; `swan inspect \(root)` shows what is there.")
    }

    /// Refuses a pair of experts whose files' names say that they were swapped, or that are one file.
    private func checkExperts() throws(SwanError) {
        guard let highNoise else { return }
        if let high = Folder.identity(highNoise.path), high == Folder.identity(lowNoise.path) {
            throw SwanError(
                .modelIncomplete,
                "The high-noise and the low-noise expert are one file, \(lastComponent(highNoise.path).printable()).",
                advice: "Each expert has weights of its own: fetch the other one.")
        }
        for (part, word) in [(highNoise, ExpertWord.high), (lowNoise, ExpertWord.low)] {
            let files = isFolder(part.path) ? Folder(path: part.path).names : [lastComponent(part.path)]
            for file in files where file.hasSuffix(".safetensors") || file.hasSuffix(".gguf") {
                guard let found = ExpertWord(in: file), found != word else { continue }
                throw SwanError(
                    .modelIncomplete,
                    "The experts are swapped: '\(file.printable())' is named after the \(found.rawValue)-noise expert and stands in the \(word.rawValue)-noise expert's place.",
                    advice: "Swap the two, or rename the file if its name is wrong.")
            }
        }
    }
}

/// Checkpoints at and below a folder, by what their tensors make them, and the files among them that cannot be read.
private struct Candidates {
    var parts: [ComponentKind: [ModelFiles.Part]] = [:]
    /// With what names make of a file; nil where not even its names can be read.
    var unreadable: [(path: String, kind: ComponentKind?, error: SwanError)] = []

    init() {}

    init(_ folder: Folder, depth: Int) {
        let files = folder.files(depth: depth)
        for path in files {
            let name = lastComponent(path)
            guard [".safetensors", ".pth", ".pt", ".gguf"].contains(where: name.hasSuffix) else { continue }
            // A shard says nothing alone; its index stands for all.
            if name.contains("-of-0") { continue }
            add(path)
        }
        for path in files where path.hasSuffix(".safetensors.index.json") { add(path) }
    }

    private mutating func add(_ path: String) {
        var kind: ComponentKind?
        do throws(SwanError) {
            let raw = try openWeights(at: path)
            kind = Component.kind(ofNames: try strippingCommonPrefix(raw).names)
            do throws(SwanError) {
                guard let component = try Component(strippingCommonPrefix(ScaledWeights.resolving(raw))) else { return }
                let beside = String(path.dropLast(lastComponent(path).count)) + "config.json"
                parts[component.kind, default: []].append(
                    ModelFiles.Part(path, configuration: exists(beside) ? beside : nil))
            } catch {
                // Another model's is of no matter, however it is stored.
                if kind != nil { throw error }
            }
        } catch {
            unreadable.append((path, kind, error))
        }
    }

    /// The unreadable files, for people.
    var unread: [ModelFiles.UnreadFile] {
        unreadable.map { ModelFiles.UnreadFile(path: $0.path, reason: $0.error.message) }
    }

    /// What is wrong with a file that may be a model's other expert.
    var otherExpert: SwanError? {
        unreadable.first { file in
            file.kind == .transformer || (file.kind == nil && ExpertWord(in: lastComponent(file.path)) != nil)
        }?.error
    }

    /// The error for a part that was not found: what is wrong with the file that it may be.
    func missing(_ kind: ComponentKind, _ what: String, in root: String) -> SwanError {
        if let file = unreadable.first(where: { $0.kind == kind }) { return file.error }
        let suspects = unreadable.filter { $0.kind == nil }
        var error = ModelFiles.missing(what, in: root)
        guard let first = suspects.first else { return error }
        let others = suspects.count == 1 ? "" : " (and \(suspects.count - 1) other files cannot be read)"
        error = SwanError(
            first.error.code, "\(error.message) A file there cannot be read: \(first.error.message)\(others)",
            advice: first.error.advice)
        return error
    }
}

extension String {
    fileprivate var trimmingCharacters: String {
        var text = Substring(self)
        while let last = text.last, last.isWhitespace { text.removeLast() }
        while let first = text.first, first.isWhitespace { text.removeFirst() }
        return String(text)
    }
}
