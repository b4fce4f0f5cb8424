/// What of a run is still to do, and how long that will take at the pace seen so far.
///
/// Work is counted in the plan's operations, so that steps with and without guidance, both experts and
/// the decoder weigh what they are.
package struct Outlook {
    /// Operations of each stage that are still to do.
    private var left: [GenerationEvent.Stage: Double] = [:]
    /// What was measured of each stage.
    private var done: [GenerationEvent.Stage: (seconds: Double, operations: Double)] = [:]
    private var latest: GenerationEvent.Stage?

    package init(_ stages: [GenerationPlan.Stage]) {
        for stage in stages { left[stage.stage, default: 0] += stage.operations }
    }

    /// Notes that work of a stage is done.
    package mutating func did(_ operations: Double, of stage: GenerationEvent.Stage, in seconds: Double) {
        left[stage] = max(0, left[stage, default: 0] - operations)
        let before = done[stage] ?? (0, 0)
        done[stage] = (before.seconds + seconds, before.operations + operations)
        latest = stage
    }

    /// Notes work that was done before this run.
    package mutating func skip(_ operations: Double, of stage: GenerationEvent.Stage) {
        left[stage] = max(0, left[stage, default: 0] - operations)
    }

    /// Notes that a stage is over, whatever of it was counted.
    package mutating func end(_ stage: GenerationEvent.Stage) { left[stage] = nil }

    /// Seconds that the rest will take; nil before anything was measured. A stage that was not measured
    /// yet is taken to go at the pace of the latest.
    package var remainingSeconds: Double? {
        guard let latest, let pace = pace(latest) else { return nil }
        return left.reduce(0) { $0 + $1.value * (self.pace($1.key) ?? pace) }
    }

    private func pace(_ stage: GenerationEvent.Stage) -> Double? {
        guard let done = done[stage], done.operations > 0 else { return nil }
        return done.seconds / done.operations
    }
}
