import FoundationEssentials
public import SwanDiagnostics
public import SwanPipeline
public import SwanTensor

/// How well a model does what it is asked, as ``SceneTest`` sees its videos.
public struct ScoreBench: Sendable, Codable {
    /// The model's name.
    public let model: String
    /// What computed.
    public let device: String
    /// How the videos were made.
    public let settings: GenerationSettings
    /// The noise's seed, the same for every prompt.
    public let seed: UInt64
    /// The program's version.
    public let swan: String
    /// When it was measured, as ISO 8601 in UTC.
    public let measured: String
    /// Seconds for all videos, scoring among them.
    public let seconds: Double
    /// What came of it.
    public let scores: SceneScores
    /// The clips that do not show all that was asked for.
    public let wrong: [SceneTest.Clip]

    /// Makes one video of each prompt.
    ///
    /// - Parameters:
    ///   - files: the model.
    ///   - request: what is asked of it beside the prompts.
    ///   - test: the prompts, and the classifier that scores their videos.
    ///   - seed: the noise's, the same for every prompt.
    ///   - swan: the program's version, for the record.
    ///   - limit: bytes of the device's memory that may be used; nil for what is free.
    ///   - backend: the device.
    ///   - cancellation: looked at between steps and decoded chunks.
    ///   - report: told each clip when it is scored.
    /// - Throws: what generating throws; `bench.scores` for a size that the classifier does not see.
    public init(
        _ files: ModelFiles, _ request: GenerationRequest, _ test: SceneTest, seed: UInt64, swan: String,
        limit: Int? = nil, on backend: any Backend, cancellation: Cancellation = Cancellation(),
        report: @escaping (SceneTest.Clip) -> Void = { _ in }
    ) throws(SwanError) {
        let items = test.items(seed: seed)
        var generator = try Generator(files, request, items)
        try test.check(generator.settings)
        try generator.fit(items, to: backend, limit: limit, hostBytes: SystemMemory.available)
        let wrong = WrongClips()
        measured = Date().ISO8601Format()
        (scores, seconds) = try test.run(generator, items, on: backend, cancellation: cancellation) { clip in
            if !clip.wrong.isEmpty { wrong.clips.append(clip) }
            report(clip)
        }
        (model, device) = (generator.settings.model, "\(backend.name): \(backend.summary)")
        (settings, self.seed, self.swan, self.wrong) = (generator.settings, seed, swan, wrong.clips)
    }

    private final class WrongClips {
        var clips: [SceneTest.Clip] = []
    }

    /// The scores as a table, and how they were made.
    public var text: String {
        var text = padded("question", 12) + aligned("right", 8) + aligned("asked", 8) + aligned("score", 10) + "\n"
        for question in SceneQuestion.allCases {
            let score = scores[question]
            text +=
                padded(question.rawValue, 12) + aligned(String(score.right), 8) + aligned(String(score.asked), 8)
                + aligned(score.text, 10) + "\n"
        }
        return text
            + "\(settings.summary), seed \(seed), \(scores.clips) \(scores.clips == 1 ? "clip" : "clips") in \(formatted(seconds: seconds)), on \(device)\n"
    }
}

extension SceneTest.Clip {
    /// `37: wrong thing, motion: A rabbit …`.
    public var text: String {
        "\(number): wrong \(wrong.map(\.rawValue).joined(separator: ", ")): \(prompt.printable())"
    }
}
