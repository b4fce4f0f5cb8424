import SwanDiagnostics
import SwanTensor

/// Times the stages of a run and passes events on.
struct StageTimer {
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var current: (stage: GenerationEvent.Stage, since: ContinuousClock.Instant)?
    private var times: [RunReport.StageTime] = []
    private var lastPart: ContinuousClock.Instant
    private var outlook: Outlook
    private let plan: GenerationPlan
    private let report: (GenerationEvent) -> Void

    init(_ plan: GenerationPlan, _ report: @escaping (GenerationEvent) -> Void) {
        self.plan = plan
        self.report = report
        outlook = Outlook(plan.stages)
        start = clock.now
        lastPart = start
    }

    /// Ends the stage that runs and begins another.
    mutating func begin(_ stage: GenerationEvent.Stage) {
        end()
        current = (stage, clock.now)
        lastPart = clock.now
        report(.stage(stage))
    }

    /// Reports a step of an expert.
    mutating func step(_ step: Int, of count: Int, video: Int) {
        let seconds = endPart(plan.operationsOfStep(isHigh: current?.stage == .high))
        report(
            .step(video: video, step: step + 1, of: count, seconds: seconds, remaining: outlook.remainingSeconds))
    }

    /// Leaves steps of an expert out that were done before this run.
    mutating func skip(_ count: Int, isHigh: Bool) {
        outlook.skip(plan.operationsOfStep(isHigh: isHigh) * Double(count), of: isHigh ? .high : .low)
    }

    /// Leaves a video's decoding out.
    mutating func skipDecoding(frames: Int) { outlook.skip(plan.operationsOfFrame * Double(frames), of: .decode) }

    /// Every stage's time up to now.
    var soFar: [RunReport.StageTime] {
        guard let current else { return times }
        return times.adding([.init(stage: current.stage, seconds: (clock.now - current.since).inSeconds)])
    }

    /// Reports decoded frames: `count` more, `done` in all.
    mutating func frames(_ count: Int, done: Int, of all: Int, video: Int) {
        _ = endPart(plan.operationsOfFrame * Double(count))
        report(.frames(video: video, done: done, of: all, remaining: outlook.remainingSeconds))
    }

    /// Reports a finished video.
    func finished(video: Int, path: String) { report(.video(index: video, path: path)) }

    /// Notes a piece of the current stage's work and returns the seconds that it took.
    private mutating func endPart(_ operations: Double) -> Double {
        let now = clock.now
        let seconds = (now - lastPart).inSeconds
        lastPart = now
        if let current { outlook.did(operations, of: current.stage, in: seconds) }
        return seconds
    }

    private mutating func end() {
        guard let current else { return }
        // Decoding begins anew for each video.
        if current.stage != .decode { outlook.end(current.stage) }
        times = soFar
    }

    /// Ends the run.
    mutating func finish(
        _ settings: GenerationSettings, _ architecture: ModelArchitecture, _ items: [VideoItem], device: String,
        forwards: Int, precision: String, attention: String, memory: DeviceMemory?
    ) -> RunReport {
        end()
        current = nil
        return RunReport(
            settings: settings, device: device, stages: times, videos: items.map(RunReport.Video.init),
            forwards: forwards, precision: precision,
            attention: attention,
            weights: plan.device.map { $0.layout.transformer.title } ?? "in host memory",
            deviceMemory: memory.map {
                .init(
                    peak: $0.peak, reserved: $0.reserved, planned: plan.device?.arenaBytes ?? 0, overhead: $0.overhead,
                    driverAllocations: $0.driverAllocations)
            },
            peakMemory: SystemMemory.peakResident, plannedMemory: plan.residentBytes,
            seconds: (clock.now - start).inSeconds, architecture: architecture
        )
    }
}
