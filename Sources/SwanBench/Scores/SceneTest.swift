import FoundationEssentials
public import SwanDiagnostics
import SwanMedia
import SwanPipeline
import SwanTensor

/// Prompts and the classifier that tells whether their videos show what was asked for, as a model brings them.
public struct SceneTest: Sendable {
    /// A clip that was scored.
    public struct Clip: Sendable, Codable {
        /// Its place among the prompts, from 0.
        public let number: Int
        /// What was asked for.
        public let prompt: String
        /// The questions to which it is wrong.
        public let wrong: [SceneQuestion]
    }

    /// What is asked for.
    public let prompts: [ScenePrompt]
    private let scorer: SceneScorer

    /// Reads `eval/scorer.safetensors` and `eval/prompts.jsonl`.
    ///
    /// - Parameters:
    ///   - folder: the model's.
    ///   - count: of prompts, the first ones.
    /// - Throws: `bench.scores-missing` where they are not there; `bench.scores` for more prompts than there are; what
    ///   ``SceneScorer/init(_:)`` throws.
    public init(in folder: String, count: Int) throws(SwanError) {
        let (weights, list) = ("\(folder)/eval/scorer.safetensors", "\(folder)/eval/prompts.jsonl")
        for path in [weights, list] where !FileManager.default.fileExists(atPath: path) {
            throw SwanError(
                .scoresMissing, "The model brings no scores: there is no file \(path.printable()).",
                advice: "Scores need a model with a classifier of its clips and prompts, as swan-tiny has them.")
        }
        let prompts = try ScenePrompt.read(list)
        guard 1 ... max(1, prompts.count) ~= count, !prompts.isEmpty else {
            throw SwanError(
                .scores, "\(count) prompts were asked for, expected 1 to \(prompts.count).",
                advice: "\(list.printable()) has \(prompts.count).")
        }
        self.prompts = Array(prompts.prefix(count))
        scorer = try SceneScorer(weights)
    }

    /// Checks that the classifier can see the videos.
    ///
    /// - Throws: `bench.scores`.
    func check(_ settings: GenerationSettings) throws(SwanError) {
        let (side, frames) = (SceneScorer.side, SceneScorer.frames)
        guard (settings.width, settings.height, settings.frames) == (side, side, frames) else {
            throw SwanError(
                .scores,
                "The videos have \(settings.frames) frames of \(settings.width)x\(settings.height), and the classifier sees \(frames) of \(side)x\(side).",
                advice: "Leave --scores out, or ask for --size \(side)x\(side) --frames \(frames).")
        }
    }

    /// One video of each prompt, all with the same noise.
    func items(seed: UInt64) -> [VideoItem] {
        prompts.map { VideoItem(prompt: $0.text, start: .seed(seed), path: "") }
    }

    /// Makes the videos and scores them, one at a time in memory.
    ///
    /// - Parameters:
    ///   - generator: has planned `items`.
    ///   - items: those of ``items(seed:)``.
    ///   - report: told each clip when it is scored.
    /// - Throws: what generating throws, `cancelled` among it.
    func run(
        _ generator: Generator, _ items: [VideoItem], on backend: any Backend, cancellation: Cancellation,
        report: @escaping (Clip) -> Void = { _ in }
    ) throws(SwanError) -> (scores: SceneScores, seconds: Double) {
        let settings = generator.settings
        try check(settings)
        let tally = Tally(self, report)
        let made = try generator.run(
            items, on: backend, cancellation: cancellation,
            open: { _, _ in ScoredFrames(KeptFrames(settings), tally) }, report: { _ in })
        return (tally.scores, made.seconds)
    }

    /// Counts clips as they come, in the order of the prompts.
    private final class Tally {
        private let test: SceneTest
        private let report: (Clip) -> Void
        private(set) var scores = SceneScores()

        init(_ test: SceneTest, _ report: @escaping (Clip) -> Void) { (self.test, self.report) = (test, report) }

        func add(_ frames: [UInt8]) throws(SwanError) {
            let (number, prompt) = (scores.clips, test.prompts[scores.clips])
            let marks = test.scorer.marks(try test.scorer.logits(frames), for: prompt)
            scores.add(marks)
            report(
                Clip(
                    number: number, prompt: prompt.text,
                    wrong: SceneQuestion.allCases.filter { marks[$0] == false }))
        }
    }

    /// Hands a video on when it is whole, and forgets it.
    private final class ScoredFrames: FrameSink {
        private let kept: KeptFrames
        private let tally: Tally
        var width: Int { kept.width }
        var height: Int { kept.height }

        init(_ kept: KeptFrames, _ tally: Tally) { (self.kept, self.tally) = (kept, tally) }
        func write(frames rgb: [UInt8], count: Int) { kept.write(frames: rgb, count: count) }
        func finish(unless isStopped: () -> Bool) throws(SwanError) { try tally.add(kept.bytes) }
        func cancel() {}
    }
}
