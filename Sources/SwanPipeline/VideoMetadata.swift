import FoundationEssentials
public import SwanDiagnostics
import SwanMedia

/// What Swan writes into a video's metadata: enough to make it again.
public struct VideoMetadata: Sendable, Codable {
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

    /// The metadata as one line of JSON.
    public func json() throws(SwanError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(self), as: UTF8.self)
        } catch {
            throw SwanError(.fault, "The settings cannot be written as JSON.", cause: error)
        }
    }

    /// Reads what Swan wrote into a video.
    ///
    /// - Throws: `pipeline.no-settings` when the file holds none; what reading the file throws.
    public init(readingFrom path: String) throws(SwanError) {
        guard let text = try readMetadata(path) else { throw Self.missing(path) }
        do {
            self = try JSONDecoder().decode(Self.self, from: Data(text.utf8))
        } catch {
            throw Self.missing(path, cause: error)
        }
    }

    private static func missing(_ path: String, cause: (any Error)? = nil) -> SwanError {
        SwanError(
            .noSettings, "\(path) holds no settings of Swan.", advice: "Name a video that `swan generate` made.", cause: cause)
    }
}
