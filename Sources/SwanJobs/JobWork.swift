import FoundationEssentials
import Glibc
import SwanCheckpoint
public import SwanDiagnostics
public import SwanMedia
public import SwanPipeline
import SwanTensor

/// A job in the hands of the process that runs it: keeps videos between steps, and notes where they are written.
public final class JobWork: DenoisingKeeper, OutputJournal {
    /// The job as it was when it began.
    public let job: Job
    /// Its files.
    public let files: JobFolder
    private let store: JobStore
    private let lock: FileLock
    private let interval: Duration
    /// What a kept video belongs to.
    private var fingerprint = ""
    private var lastKept: [Int: ContinuousClock.Instant] = [:]
    private var hasFailedToKeep = false
    /// Told what the user should know.
    public var remark: (String) -> Void = { _ in }

    /// Takes over a job whose lock this process was started with.
    ///
    /// - Parameters:
    ///   - store: where the job is kept.
    ///   - id: its number.
    ///   - lock: its lock, held as long as this exists.
    ///   - interval: the time between two states that are kept of a video.
    /// - Throws: `jobs.state` when the job is not to be run by this process.
    public init(_ store: JobStore, _ id: Int, lock: FileLock, interval: Duration) throws(SwanError) {
        job = try store.job(id)
        guard job.isDetached, job.state == .running else {
            throw SwanError(.jobState, "Job \(id) is \(job.state.rawValue), expected a running one.")
        }
        (self.store, self.lock, self.interval) = (store, lock, interval)
        files = store.files(of: id)
    }

    /// Gives videos of an earlier attempt that are whole their names, and removes those that are not.
    ///
    /// - Throws: `media.output-exists`, `media.write-failed`, what the store throws.
    public func settle() throws(SwanError) { try store.settleOutputs(of: job.id) }

    /// Videos that an earlier attempt has finished.
    public func isPublished(_ video: Int) throws(SwanError) -> Bool {
        try store.job(job.id).outputs[video].isPublished
    }

    /// Says what the videos are made of: what was kept of others is of no use.
    public func begin(_ settings: GenerationSettings, _ items: [VideoItem]) {
        struct Made: Encodable {
            let settings: GenerationSettings
            let videos: [RunReport.Video]
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let made = Made(settings: settings, videos: items.map(RunReport.Video.init))
        fingerprint = (try? encoder.encode(made)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    // MARK: Videos between steps

    /// Whether something is kept of a video: then this job, and nobody else, may have written its latents.
    public func hasKept(_ video: Int) -> Bool { FileManager.default.fileExists(atPath: files.state(of: video)) }

    /// See `DenoisingKeeper.state(of:)`. What cannot be used is not: the video then begins anew.
    public func state(of video: Int) throws(SwanError) -> DenoisingState? {
        let path = files.state(of: video)
        guard hasKept(video) else { return nil }
        do throws(SwanError) {
            let file = try openWeights(at: path)
            guard file.annotations["video"] == fingerprint, let steps = file.annotations["steps"].flatMap({ Int($0) })
            else {
                remark("What was kept of video \(video + 1) belongs to other settings; it begins anew.")
                return nil
            }
            var memory: [String: HostTensor] = [:]
            for name in file.names where name.hasPrefix("solver.") {
                memory[String(name.dropFirst("solver.".count))] = try file.tensor(name)
            }
            var numbers: [String: Double] = [:]
            for (name, text) in file.annotations where name.hasPrefix("number.") {
                numbers[String(name.dropFirst("number.".count))] = Double(text)
            }
            let state = DenoisingState(
                steps: steps, latent: try file.tensor("latents"), memory: memory, numbers: numbers)
            remark("Video \(video + 1) goes on behind step \(steps).")
            return state
        } catch {
            remark("What was kept of video \(video + 1) cannot be read (\(error.message)); it begins anew.")
            return nil
        }
    }

    /// See `DenoisingKeeper.isDue(_:isLast:)`.
    public func isDue(_ video: Int, isLast: Bool) -> Bool {
        let now = ContinuousClock.now
        let since = lastKept[video] ?? begun
        return isLast || now - since >= interval
    }

    private let begun = ContinuousClock.now

    /// See `DenoisingKeeper.keep(_:of:stages:)`. A run is worth more than what is kept of it: that it cannot be kept
    /// is said once.
    public func keep(_ state: DenoisingState, of video: Int, stages: [RunReport.StageTime]) {
        var tensors = ["latents": state.latent]
        for (name, values) in state.memory { tensors["solver." + name] = values }
        var notes = ["format": "pt", "steps": String(state.steps), "video": fingerprint]
        // The shortest texts that are read as the same numbers again.
        for (name, value) in state.numbers { notes["number." + name] = "\(value)" }
        do throws(SwanError) {
            try SafetensorsWriter.write(tensors, metadata: notes, to: files.state(of: video))
            try store.keep(job.id, stages: job.earlierStages.adding(stages))
        } catch {
            if !hasFailedToKeep { remark("The run's state cannot be kept: \(error)") }
            hasFailedToKeep = true
        }
        lastKept[video] = ContinuousClock.now
    }

    // MARK: Files on their way

    private func video(_ output: OutputPath) throws(SwanError) -> Int {
        guard let video = job.outputs.firstIndex(where: { $0.path == output.path }) else {
            throw SwanError(.fault, "'\(output.path.printable())' is no output of job \(job.id).")
        }
        return video
    }

    /// See `OutputJournal.began(_:part:)`.
    public func began(_ output: OutputPath, part: String) throws(SwanError) {
        try store.noteBegan(job.id, try video(output), part: job.absolutePath(of: part))
    }

    /// See `OutputJournal.completed(_:part:_:)`.
    public func completed(_ output: OutputPath, part: String, _ identity: FileIdentity) throws(SwanError) {
        try store.noteCompleted(job.id, try video(output), part: job.absolutePath(of: part), identity)
    }

    /// See `OutputJournal.keptElsewhere(_:)`.
    public func keptElsewhere(_ output: OutputPath) throws(SwanError) {
        try store.notePlanned(job.id, try video(output))
    }

    /// Notes that a video has got its name.
    public func published(_ video: Int) throws(SwanError) { try store.notePublished(job.id, video) }

    // MARK: The end

    /// Ends the job with what was measured, earlier attempts counted.
    public func finish(_ report: RunReport) throws(SwanError) -> RunReport {
        var report = report
        report.add(stages: job.earlierStages, seconds: job.earlierStages.reduce(0) { $0 + $1.seconds })
        try store.finish(job.id, report)
        return report
    }

    /// Ends the job with an error.
    ///
    /// - Returns: what became of it. One that was stopped and not cancelled goes back into the queue: the machine goes
    ///   down, or the supervisor is to end.
    public func fail(_ error: SwanError) throws(SwanError) -> Job.State {
        if error.code == .cancelled {
            if try store.isCancelRequested(job.id) {
                try? store.settleOutputs(of: job.id)
                try store.cancel(job.id)
                return .cancelled
            }
            try store.requeue(job.id)
            return .queued
        }
        try? store.settleOutputs(of: job.id)
        try store.fail(job.id, error)
        return .failed
    }
}
