import FoundationEssentials
public import SwanDiagnostics
import SwanMedia

/// Where a model came from, as it can be found again: a sampler's name for it may be that of another.
public struct ModelSource: Sendable, Hashable {
    /// A name of the catalogue, or the absolute path of a folder.
    public var model: String
    /// The absolute path of the folder that brought the parts which the model's lacks.
    public var base: String?

    /// Names a model.
    public init(model: String, base: String? = nil) {
        self.model = model
        self.base = base
    }
}

/// What Swan notes in a video's file: enough to make it again.
public struct VideoRecord: Sendable {
    /// The program's version.
    public var swan: String
    /// What the video shows.
    public var prompt: String
    /// The noise's seed, if noise was drawn.
    public var seed: UInt64?
    /// Every setting.
    public var settings: GenerationSettings
    /// Where the model came from.
    public var source: ModelSource?

    /// Describes a video of a run.
    public init(_ item: VideoItem, _ settings: GenerationSettings, _ source: ModelSource?, version: String) {
        swan = version
        prompt = item.prompt
        seed = if case .seed(let seed) = item.start { seed } else { nil }
        self.settings = settings
        self.source = source
    }

    /// The record as the file's metadata.
    public func metadata() throws(SwanError) -> [String: String] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var values = ["swan": swan, "prompt": prompt]
        values["seed"] = seed.map(String.init)
        values["model"] = source?.model
        values["base"] = source?.base
        do {
            values["settings"] = String(decoding: try encoder.encode(settings), as: UTF8.self)
        } catch {
            throw SwanError(.fault, "The settings cannot be written as JSON.", cause: error)
        }
        return values
    }

    /// Reads what Swan noted in a video's file.
    ///
    /// - Throws: `pipeline.no-settings` when the file holds nothing of the kind; what reading it throws.
    public init(readingFrom path: String) throws(SwanError) {
        let none = SwanError(
            .noSettings, "\(path) holds no settings of Swan.",
            advice: "Name an .mp4, .webm or .gif that `swan generate` made.")
        guard let text = try VideoMetadata.read(path: path),
            let values = try? JSONDecoder().decode([String: String].self, from: Data(text.utf8)),
            let swan = values["swan"], let prompt = values["prompt"], let settings = values["settings"]
        else { throw none }
        do {
            self.settings = try JSONDecoder().decode(GenerationSettings.self, from: Data(settings.utf8))
        } catch {
            throw SwanError(none.code, none.message, advice: none.advice, cause: error)
        }
        self.swan = swan
        self.prompt = prompt
        seed = values["seed"].flatMap { UInt64($0) }
        source = values["model"].map { ModelSource(model: $0, base: values["base"]) }
    }
}
