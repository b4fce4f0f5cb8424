import FoundationEssentials
import SwanCheckpoint
public import SwanDiagnostics
import SwanTensor

/// What a clip of swan-tiny is asked.
///
/// Source of the answers and their order: `Models/swan-tiny/eval/score.py`.
public enum SceneQuestion: String, Sendable, CaseIterable, Codable {
    case thing, place, colour, motion

    /// What there is to choose from, in the order of the classifier's logits.
    public var answers: [String] {
        let words =
            switch self {
            case .thing:
                """
                cat dog horse cow pig sheep rabbit elephant tiger turtle penguin camel snail crab frog dinosaur robot \
                duck bird eagle butterfly bee airplane rocket helicopter fish whale dolphin octopus shark car bus train \
                bicycle truck tractor ball basketball sailboat balloon ghost snowman sunflower mushroom circle square \
                triangle star heart diamond
                """
            case .place: "grass beach snow night city desert sea forest room space"
            case .colour: "red orange yellow green blue purple pink white"
            case .motion: "left right up down jump spin still"
            }
        return words.split(separator: " ").map(String.init)
    }
}

/// A sentence, and what its video has to show.
public struct ScenePrompt: Sendable, Hashable {
    /// The sentence.
    public let text: String
    /// Numbers of the right answers; a question that does not arise is missing. Only things may have several.
    public let targets: [SceneQuestion: Set<Int>]

    /// Says what is asked for.
    ///
    /// - Parameters:
    ///   - text: the sentence.
    ///   - things: all that the video has to show.
    ///   - place: empty where none is asked for.
    ///   - colours: of each thing, empty where none is asked for; with several things nobody asks for colours.
    ///   - motion: empty where none is asked for.
    /// - Throws: `bench.scores` for an answer that the classifier does not know.
    public init(
        _ text: String, things: [String], place: String = "", colours: [String] = [], motion: String = ""
    ) throws(SwanError) {
        self.text = text
        let wanted: [(SceneQuestion, [String])] = [
            (.thing, things), (.place, [place]), (.colour, colours.count == 1 ? colours : []), (.motion, [motion]),
        ]
        // Without things, none is right.
        var targets: [SceneQuestion: Set<Int>] = [.thing: []]
        for (question, words) in wanted {
            let answers = question.answers
            for word in words where !word.isEmpty {
                guard let number = answers.firstIndex(of: word) else {
                    throw SwanError(
                        .scores,
                        "The prompt '\(text.printable())' asks for the \(question.rawValue) '\(word.printable())', which the classifier does not know.",
                        advice: "It knows: \(answers.joined(separator: ", ")).")
                }
                targets[question, default: []].insert(number)
            }
        }
        self.targets = targets
    }

    /// Reads prompts.
    ///
    /// - Parameter path: a file with an object in each line: `prompt`, `things`, `place`, `colours`, `motion`.
    /// - Throws: what reading throws; `bench.scores-damaged` with the line that is none; `bench.scores`.
    static func read(_ path: String) throws(SwanError) -> [ScenePrompt] {
        struct Line: Decodable {
            let prompt: String
            let things: [String]
            let place: String
            let colours: [String]
            let motion: String
        }
        let text = try MappedFile(path: path).bytes.withBytes { String(decoding: $0, as: UTF8.self) }
        var prompts: [ScenePrompt] = []
        for (index, line) in text.split(whereSeparator: \.isNewline).enumerated() {
            let decoded: Line
            do {
                decoded = try JSONDecoder().decode(Line.self, from: Data(line.utf8))
            } catch {
                throw SwanError(
                    .scoresDamaged, "\(path.printable()): line \(index + 1) is no prompt with its answers.",
                    advice:
                        "Each line is an object with 'prompt', 'things', 'place', 'colours' and 'motion': fetch the file again.",
                    cause: error)
            }
            prompts.append(
                try ScenePrompt(
                    decoded.prompt, things: decoded.things, place: decoded.place, colours: decoded.colours,
                    motion: decoded.motion))
        }
        return prompts
    }
}

extension SwanError.Code {
    /// Clips, prompts or a number of them that the classifier cannot judge.
    public static let scores = Self("bench.scores", .usage)
    /// A file of prompts and answers is damaged.
    public static let scoresDamaged = Self("bench.scores-damaged", .data)
    /// A model brings no classifier of its clips.
    public static let scoresMissing = Self("bench.scores-missing", .missing)
}
