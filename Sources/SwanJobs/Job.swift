public import SwanDiagnostics
public import SwanPipeline

/// A run of `swan generate` as the store knows it: one that was queued, or one that its user waits for.
public struct Job: Sendable, Codable {
    /// How far a job is.
    public enum State: String, Sendable, Codable, CaseIterable {
        case queued, running, done, failed, cancelled

        /// Whether nothing happens to the job any more, unless somebody asks for it.
        public var isEnded: Bool { self != .queued && self != .running }
    }

    /// Why a job failed.
    public struct Failure: Sendable, Codable, Hashable {
        /// A `SwanError.Code`.
        public var code: String
        /// What was found, and what was expected.
        public var message: String
        /// What to do.
        public var advice: String
        /// The exit status that belongs to it.
        public var status: Int32

        /// Takes over an error.
        public init(_ error: SwanError) {
            code = error.code.name
            message = error.cause.map { "\(error.message) (\($0))" } ?? error.message
            advice = error.advice
            status = error.code.kind.rawValue
        }

        /// The error.
        public var error: SwanError {
            SwanError(.init(code, SwanError.Kind(rawValue: status) ?? .fault), message, advice: advice)
        }
    }

    /// One of a job's videos.
    public struct Output: Sendable, Codable, Hashable {
        /// Where it goes, as it was asked for: in the job's folder, unless it is absolute.
        public var path: String
        /// Whether it is there.
        public var isPublished: Bool
    }

    /// Its number.
    public var id: Int
    /// Whether it was queued; else it is a run that its user waited for.
    public var isDetached: Bool
    /// How far it is.
    public var state: State
    /// What the (first) video shows.
    public var prompt: String
    /// The model's name or folder.
    public var model: String
    /// The noise's seed, of the first video; nil where there is none.
    public var seed: UInt64?
    /// The folder that it was started in.
    public var folder: String
    /// The words behind `swan generate`, as they were typed.
    public var arguments: [String]
    /// The device that was asked for.
    public var deviceAsked: String
    /// The device that it runs on, or did.
    public var device: String?
    /// Seconds since 1970.
    public var created: Double
    /// When it was first started.
    public var started: Double?
    /// When it ended.
    public var ended: Double?
    /// How often it was started.
    public var attempts: Int
    /// Whether somebody wants it to stop.
    public var isCancelRequested: Bool
    /// Its videos.
    public var outputs: [Output]
    /// Why it failed.
    public var failure: Failure?
    /// What was measured.
    public var report: RunReport?

    /// The variables that its process gets.
    package var environment: [String: String] = [:]
    /// How often its process ended by itself since it last came on.
    package var crashes = 0
    /// What earlier attempts spent.
    package var earlierStages: [RunReport.StageTime] = []

    private enum CodingKeys: String, CodingKey {
        case id, isDetached = "detached", state, prompt, model, seed, folder, arguments, deviceAsked = "device_asked"
        case device, created, started, ended, attempts, isCancelRequested = "cancel_requested", outputs, failure, report
    }

    /// An output's path as anybody can use it, wherever they stand.
    public func absolutePath(of path: String) -> String { path.hasPrefix("/") ? path : "\(folder)/\(path)" }
}

/// What the store is told of a run before it begins.
public struct JobRequest: Sendable {
    /// Whether it is to be queued.
    public var isDetached: Bool
    /// What the first video shows.
    public var prompt: String
    /// The model, as it can be found again.
    public var model: String
    /// The first video's seed.
    public var seed: UInt64?
    /// The absolute path of the folder that it is started in.
    public var folder: String
    /// The words behind `swan generate`.
    public var arguments: [String]
    /// The device that was asked for.
    public var device: String
    /// The device that a run which begins now computes on.
    public var deviceInUse: String?
    /// Where the videos go.
    public var outputs: [String]
    /// The variables that its process is to get.
    public var environment: [String: String]

    /// Describes a run.
    public init(
        isDetached: Bool, prompt: String, model: String, seed: UInt64?, folder: String, arguments: [String],
        device: String, deviceInUse: String? = nil, outputs: [String], environment: [String: String] = [:]
    ) {
        self.isDetached = isDetached
        (self.prompt, self.model, self.seed) = (prompt, model, seed)
        (self.folder, self.arguments, self.device) = (folder, arguments, device)
        self.deviceInUse = deviceInUse
        (self.outputs, self.environment) = (outputs, environment)
    }
}
