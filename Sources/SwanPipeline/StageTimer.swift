import SwanDiagnostics
import SwanTensor

/// Times the stages of a run and passes events on.
struct StageTimer {
    private let clock = ContinuousClock()
    private let start: ContinuousClock.Instant
    private var current: (stage: GenerationEvent.Stage, since: ContinuousClock.Instant)?
    private var times: [RunReport.StageTime] = []
    private var lastStep: ContinuousClock.Instant
    let report: (GenerationEvent) -> Void

    init(_ report: @escaping (GenerationEvent) -> Void) {
        self.report = report
        start = clock.now
        lastStep = start
    }

    /// Ends the stage that runs and begins another.
    mutating func begin(_ stage: GenerationEvent.Stage) {
        end()
        current = (stage, clock.now)
        lastStep = clock.now
        report(.stage(stage))
    }

    /// Reports a step, with the time that the steps to come will take.
    mutating func step(_ step: Int, of count: Int, video: Int) {
        let now = clock.now
        let seconds = (now - lastStep).inSeconds
        lastStep = now
        report(
            .step(
                video: video, step: step + 1, of: count, seconds: seconds, remaining: seconds * Double(count - step - 1)
            ))
    }

    private mutating func end() {
        guard let current else { return }
        let seconds = (clock.now - current.since).inSeconds
        if let index = times.firstIndex(where: { $0.stage == current.stage }) {
            times[index].seconds += seconds
        } else {
            times.append(.init(stage: current.stage, seconds: seconds))
        }
    }

    /// Ends the run.
    mutating func finish(
        _ settings: GenerationSettings, _ plan: GenerationPlan, _ items: [VideoItem], device: String, forwards: Int
    ) -> RunReport {
        end()
        current = nil
        let videos = items.map { item in
            let seed: UInt64? = if case .seed(let seed) = item.start { seed } else { nil }
            return RunReport.Video(prompt: item.prompt, seed: seed, path: item.path)
        }
        return RunReport(
            settings: settings, device: device, stages: times, videos: videos, forwards: forwards,
            peakMemory: SystemMemory.peakResident, plannedMemory: plan.peakBytes, seconds: (clock.now - start).inSeconds
        )
    }
}

extension Duration {
    /// The duration in seconds.
    var inSeconds: Double {
        Double(components.seconds) + Double(components.attoseconds) * 1e-18
    }
}
