import SwanDiagnostics
import SwanJobs
import SwanPipeline

/// What happens in a run, as `--json` prints it, a line each, and as a job's log holds it.
enum RunEvent: Sendable, Codable {
    /// A remark.
    case note(String)
    /// The plan, before the run begins.
    case plan(PlannedRun)
    /// A stage begins.
    case stage(GenerationEvent.Stage)
    /// A solver step is done.
    case step(Step)
    /// Frames were decoded.
    case frames(Frames)
    /// A video is finished.
    case video(File)
    /// The run is over.
    case done(RunReport)
    /// The run has failed.
    case error(Job.Failure)
    /// A job was queued.
    case job(Queued)

    struct Step: Sendable, Codable {
        var video, step, of: Int
        var seconds: Double
        var eta: Double?
    }
    struct Frames: Sendable, Codable {
        var video, done, of: Int
        var eta: Double?
    }
    struct File: Sendable, Codable {
        var video: Int
        var path: String
    }
    struct Queued: Sendable, Codable {
        var id: Int
        var outputs: [String]
    }

    /// What the pipeline reports.
    init(_ event: GenerationEvent) {
        switch event {
        case .stage(let stage): self = .stage(stage)
        case .step(let video, let step, let count, let seconds, let remaining):
            self = .step(Step(video: video, step: step, of: count, seconds: seconds, eta: remaining))
        case .frames(let video, let done, let count, let remaining):
            self = .frames(Frames(video: video, done: done, of: count, eta: remaining))
        case .video(let index, let path): self = .video(File(video: index, path: path))
        }
    }

    private enum Name: String, Codable { case note, plan, stage, step, frames, video, done, error, job }
    private enum CodingKeys: String, CodingKey { case event, data }

    init(from decoder: any Decoder) throws {
        let line = try decoder.container(keyedBy: CodingKeys.self)
        switch try line.decode(Name.self, forKey: .event) {
        case .note: self = .note(try line.decode(String.self, forKey: .data))
        case .plan: self = .plan(try line.decode(PlannedRun.self, forKey: .data))
        case .stage: self = .stage(try line.decode(GenerationEvent.Stage.self, forKey: .data))
        case .step: self = .step(try line.decode(Step.self, forKey: .data))
        case .frames: self = .frames(try line.decode(Frames.self, forKey: .data))
        case .video: self = .video(try line.decode(File.self, forKey: .data))
        case .done: self = .done(try line.decode(RunReport.self, forKey: .data))
        case .error: self = .error(try line.decode(Job.Failure.self, forKey: .data))
        case .job: self = .job(try line.decode(Queued.self, forKey: .data))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var line = encoder.container(keyedBy: CodingKeys.self)
        func put(_ name: Name, _ data: some Encodable) throws {
            try line.encode(name, forKey: .event)
            try line.encode(data, forKey: .data)
        }
        switch self {
        case .note(let text): try put(.note, text)
        case .plan(let run): try put(.plan, run)
        case .stage(let stage): try put(.stage, stage)
        case .step(let step): try put(.step, step)
        case .frames(let frames): try put(.frames, frames)
        case .video(let file): try put(.video, file)
        case .done(let report): try put(.done, report)
        case .error(let failure): try put(.error, failure)
        case .job(let job): try put(.job, job)
        }
    }
}

/// What is known of a run before it begins.
struct PlannedRun: Sendable, Codable {
    let settings: GenerationSettings
    let plan: GenerationPlan
    let device: String
    let videos: [RunReport.Video]
    let peakBytes: Int
    /// Predicted for the whole run, where that was asked for.
    var seconds: Double?

    init(settings: GenerationSettings, plan: GenerationPlan, device: String, items: [VideoItem]) {
        (self.settings, self.plan, self.device) = (settings, plan, device)
        videos = items.map(RunReport.Video.init)
        peakBytes = plan.peakBytes
    }
}
