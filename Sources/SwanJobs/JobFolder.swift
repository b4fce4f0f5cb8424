/// The files of one job.
public struct JobFolder: Sendable, Hashable {
    /// The folder.
    public let path: String

    /// Held by the process that runs the job.
    public var lock: String { path + "/lock" }
    /// The run's events, one JSON object a line, as `--json` prints them.
    public var events: String { path + "/events.jsonl" }
    /// What the job's process wrote to its standard error.
    public var errors: String { path + "/errors.log" }
    /// The prompts of a job that was given a file of them, as they were then.
    public var prompts: String { path + "/prompts.txt" }
    /// A video between two steps.
    func state(of video: Int) -> String { "\(path)/video-\(video).safetensors" }
}
