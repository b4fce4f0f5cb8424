import SwanDiagnostics

/// How many clips show what was asked for, question by question.
public struct SceneScores: Sendable, Hashable, Codable {
    /// One question.
    public struct Score: Sendable, Hashable, Codable {
        /// Clips that are right.
        public private(set) var right = 0
        /// Clips whose prompt asks it.
        public private(set) var asked = 0
        /// The part that is right, 0 to 100; nil where nobody asks.
        public private(set) var percentage: Double?

        /// Counts a clip.
        fileprivate mutating func add(_ isRight: Bool) {
            (right, asked) = (right + (isRight ? 1 : 0), asked + 1)
            percentage = 100 * Double(right) / Double(asked)
        }

        /// `96.5 %`, or nothing where nobody asks.
        public var text: String { percentage.map { decimal($0, 1) + " %" } ?? "" }
    }

    /// The clips.
    public private(set) var clips = 0
    /// Whether the things are exactly those that were asked for.
    public private(set) var thing = Score()
    /// Whether the place is right.
    public private(set) var place = Score()
    /// Whether the colour is right, of prompts that ask for one.
    public private(set) var colour = Score()
    /// Whether motion and direction are right.
    public private(set) var motion = Score()

    /// No clips yet.
    public init() {}

    /// Counts a clip.
    ///
    /// - Parameter marks: from ``SceneScorer/marks(_:for:)``.
    public mutating func add(_ marks: [SceneQuestion: Bool]) {
        clips += 1
        for (question, isRight) in marks {
            switch question {
            case .thing: thing.add(isRight)
            case .place: place.add(isRight)
            case .colour: colour.add(isRight)
            case .motion: motion.add(isRight)
            }
        }
    }

    /// The score of a question.
    public subscript(question: SceneQuestion) -> Score {
        switch question {
        case .thing: thing
        case .place: place
        case .colour: colour
        case .motion: motion
        }
    }

    /// `thing 96.5 %, place 100.0 %, motion 95.5 %`: of what was asked.
    public var text: String {
        SceneQuestion.allCases.filter { self[$0].asked > 0 }.map { "\($0.rawValue) \(self[$0].text)" }
            .joined(separator: ", ")
    }

    /// What is lost against other clips of the same prompts, where it is too much.
    ///
    /// - Parameter limit: the points, of 100, that may be lost in each question; nil for 1, or one clip where that is more.
    /// - Returns: the first question that lost more, in words; nil where none did.
    func loss(against baseline: SceneScores, limit: Double?) -> String? {
        for question in SceneQuestion.allCases {
            guard let before = baseline[question].percentage, let now = self[question].percentage else { continue }
            let allowed = limit ?? max(1, 100 / Double(self[question].asked))
            // One clip is one clip, however its share is rounded.
            guard before - now > allowed + 1e-9 else { continue }
            return
                "\(question.rawValue) \(self[question].text) instead of \(baseline[question].text), and \(decimal(allowed, 1)) points may be lost"
        }
        return nil
    }
}
