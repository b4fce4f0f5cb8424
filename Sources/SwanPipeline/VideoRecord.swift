import FoundationEssentials
public import SwanDiagnostics
import SwanMedia

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

    /// Describes a video of a run.
    public init(_ item: VideoItem, _ settings: GenerationSettings, version: String) {
        swan = version
        prompt = item.prompt
        seed = if case .seed(let seed) = item.start { seed } else { nil }
        self.settings = settings
    }

    /// The record as the file's metadata.
    public func metadata() throws(SwanError) -> [String: String] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        var values = ["swan": swan, "prompt": prompt]
        values["seed"] = seed.map(String.init)
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
    }
}
