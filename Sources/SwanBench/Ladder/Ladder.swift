import SwanDiagnostics
public import SwanPipeline
public import SwanSampling
public import SwanTensor

/// Ways to make a video faster, each measured against the best before it, on one device and at one size.
public struct Ladder: Sendable, Codable {
    /// What distinguishes a rung from the plain way.
    public struct Method: Sendable, Hashable, Codable {
        /// The format of the transformers' files; nil for the model's own.
        public var weights: ConversionFormat?
        /// The arithmetic of linear layers; nil for the device's own.
        public var precision: EightBitFormat?
        /// The attention kernel; nil for the device's choice.
        public var attention: String?
        /// The step cache's threshold; nil without one.
        public var cacheThreshold: Double?
        /// The part of the steps that has guidance; nil for all.
        public var guidanceInterval: GuidanceInterval?
        /// A distillation for few steps; nil for the steps that were asked for.
        public var preset: String?

        /// The plain way.
        public init() {}
    }

    /// What came of a rung.
    public enum Verdict: String, Sendable, Codable {
        /// What the others are measured against.
        case baseline
        /// It won: what follows stands on it.
        case kept
        /// It did not win, or cost too much quality.
        case rejected
        /// It cannot be had here, or there was no time for it.
        case skipped
    }

    /// One way.
    public struct Rung: Sendable, Codable {
        /// What it is about: `8-bit arithmetic`.
        public var step: String
        /// Which: `int8`.
        public var name: String
        /// All that distinguishes it from the plain way.
        public var method: Method
        /// What came of it.
        public var verdict: Verdict
        /// Why.
        public var reason: String
        /// What was measured; nil where nothing ran.
        public var result: Result?
    }

    /// What was measured of a way.
    public struct Result: Sendable, Codable {
        /// Solver steps of a video.
        public var steps: Int
        /// Evaluations of the network for all videos.
        public var forwards: Int
        /// Seconds for all videos, from opened files to the last frame: the median.
        public var seconds: Double
        /// Of each run.
        public var all: [Double]
        /// Frames of all videos in a minute.
        public var framesPerMinute: Double
        /// The baseline's time over this: the product of the gains of all that it stands on, and its own.
        public var speedUp: Double
        /// The time of the best before, over this: the median of pairs that ran in turns; 1 for the baseline.
        public var gain: Double
        /// How far off that may be: twice its standard error; nil for fewer than five pairs, which do not tell.
        public var gainError: Double?
        /// Bytes at most, as planned: of a GPU's memory, else the resident size of the process.
        public var peakBytes: Int
        /// Seconds of each stage in the median run.
        public var stages: [RunReport.StageTime]
        /// Parts of the time of operations, by what they do; they add up to 1.
        public var shares: [Share]
        /// Against the baseline's videos; nil for the baseline, and where pixels say nothing.
        public var quality: VideoQuality?
        /// How far the first step's velocity is from the baseline's, relative to it; nil where the first steps differ.
        public var velocityError: Double?
        /// How many videos of other prompts show what was asked for; nil where that was not asked, or had no time.
        public var scores: SceneScores?
        /// Where the videos are, relative to the report.
        public var videos: [String]
    }

    /// A part of the time.
    public struct Share: Sendable, Codable {
        /// Linear layers, attention, operations bound by memory, autoencoder or transfers.
        public var part: String
        /// 0 to 1.
        public var share: Double
    }

    /// The model's name.
    public var model: String
    /// What computed.
    public var device: String
    /// How the baseline was made.
    public var settings: GenerationSettings
    /// What the videos show.
    public var prompts: [String]
    /// The noise's seed, the same for every video.
    public var seed: UInt64
    /// Runs of each way that are counted.
    public var runs: Int
    /// The program's version.
    public var swan: String
    /// When it was measured, as ISO 8601 in UTC.
    public var measured: String
    /// Whether weights are random, so that the picture means nothing.
    public var isSynthetic: Bool
    /// The ways, in the order in which they were tried.
    public var rungs: [Rung]

    /// Whether anything was measured beside the baseline.
    public var hasVerdicts: Bool { rungs.contains { $0.verdict != .baseline && $0.result != nil } }

    /// The last that won: all that is worth doing.
    public var best: Rung? { rungs.last { $0.verdict == .kept } ?? rungs.first { $0.verdict == .baseline } }
}

extension Ladder.Method {
    /// The way as people read it.
    public var text: String {
        var parts = TuningProfile.parts(precision, attention, cacheThreshold, guidanceInterval)
        if let weights { parts.insert("\(weights.rawValue) weights", at: 0) }
        if let preset { parts.append(preset) }
        return parts.isEmpty ? "plain" : parts.joined(separator: ", ")
    }

    /// Adds the way to what is asked for.
    func apply(to request: inout GenerationRequest) {
        request.precision = precision.map { LinearPrecision($0) } ?? .own
        request.cacheThreshold = cacheThreshold ?? 0
        request.guidanceInterval = guidanceInterval
        if let preset {
            request.preset = preset
            (request.steps, request.solver, request.shift, request.boundary) = (nil, nil, nil, nil)
            (request.guidanceHigh, request.guidanceLow) = (nil, nil)
        }
    }
}
