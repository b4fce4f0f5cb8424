import SwanDiagnostics
import SwanModels
import SwanSampling
import SwanTensor

/// The steps between noise and clean latents: for each sigma the expert, its velocity, guidance, and the
/// solver's step.
struct Denoiser {
    private let settings: GenerationSettings
    private let model: OpenModel
    private let plan: GenerationPlan
    private let states: [String: HostTensor]
    private let schedule: FlowSchedule
    private let keeper: (any DenoisingKeeper)?

    /// - Parameters:
    ///   - states: the text encoder's rows of every prompt in use.
    ///   - keeper: keeps videos between steps; nil to keep none.
    init(
        _ settings: GenerationSettings, _ model: OpenModel, _ plan: GenerationPlan, _ states: [String: HostTensor],
        _ keeper: (any DenoisingKeeper)?
    ) throws(SwanError) {
        self.keeper = keeper
        self.settings = settings
        self.model = model
        self.plan = plan
        self.states = states
        schedule = try settings.schedule()
    }

    /// Takes every latent that begins with noise to the end. Solvers keep their history across the
    /// switch of experts.
    func run(
        _ latents: inout [LatentState], on backend: any Backend, _ cancellation: Cancellation,
        _ timer: inout StageTimer
    ) throws(SwanError) {
        let split = settings.boundary > 0 ? schedule.firstLowNoiseStep(boundary: settings.boundary) : 0
        for (range, isHigh) in [(0 ..< split, true), (split ..< schedule.steps, false)] {
            let done = latents.reduce(0) { $0 + range.clamped(to: 0 ..< $1.steps).count }
            timer.skip(done, isHigh: isHigh)
            // An expert is read where it has something to do.
            guard done < range.count * latents.count else { continue }
            try steps(range, isHigh: isHigh, &latents, on: backend, cancellation, &timer)
        }
    }

    private func steps(
        _ range: Range<Int>, isHigh: Bool, _ latents: inout [LatentState], on backend: any Backend,
        _ cancellation: Cancellation, _ timer: inout StageTimer
    ) throws(SwanError) {
        timer.begin(isHigh ? .loadHigh : .loadLow)
        let layout = plan.device?.layout ?? .resident
        let transformer = try model.loadTransformer(
            isHigh: isHigh, layout.transformer, as: settings.precision, on: backend, cancellation)
        let rows = plan.device == nil ? WanTransformer.feedForwardRows : layout.feedForwardRows
        let guidance = isHigh ? settings.guidanceHigh : settings.guidanceLow
        let rope = try transformer.rotaryTable(for: Shape(plan.latent), on: backend)
        let negative = Guidance.isOn(guidance) ? try text(settings.negativePrompt, transformer, on: backend) : nil

        timer.begin(isHigh ? .high : .low)
        for index in latents.indices where latents[index].steps < range.upperBound {
            guard var solver = latents[index].solver else { continue }
            // Another expert has other velocities.
            if latents[index].steps <= range.lowerBound {
                latents[index].cache = settings.cacheThreshold.map { StepCache(threshold: $0, steps: schedule.steps) }
            }
            try cancellation.check()
            let positive = try text(latents[index].item.prompt, transformer, on: backend)
            let left = max(latents[index].steps, range.lowerBound) ..< range.upperBound
            // A few steps of a rehearsal take as much memory as all: a solver remembers fewer.
            for step in backend.isRehearsal ? left.prefix(4) : left {
                try cancellation.check()
                let latent = latents[index].tensor
                // A rehearsal takes what the dearest step does.
                let isGuided = settings.isGuided(step, isHigh: isHigh) || backend.isRehearsal
                func network(_ text: WanText) throws(SwanError) -> Tensor {
                    try transformer(
                        latent, timesteps: [schedule.timesteps[step]], text: text, rope: rope, feedForwardRows: rows,
                        on: backend)
                }
                let velocities: (conditional: Tensor, unconditional: Tensor?)
                let negative = isGuided ? negative : nil
                if let known = try latents[index].cache?.velocities(
                    at: step, latent, isGuided: negative != nil, on: backend)
                {
                    velocities = known
                    latents[index].spared += negative == nil ? 1 : 2
                } else {
                    velocities = (try network(positive), try negative.map(network))
                    try latents[index].cache?.keep(
                        conditional: velocities.conditional, unconditional: velocities.unconditional, at: latent,
                        on: backend)
                }
                var velocity = velocities.conditional
                if let unconditional = velocities.unconditional {
                    velocity = try Guidance.combine(
                        conditional: velocity, unconditional: unconditional, scale: guidance, on: backend)
                }
                latents[index].tensor = try solver.step(step, velocity: velocity, latent: latent, on: backend)
                try backend.useIdleTime()
                try backend.synchronize()
                latents[index].steps = step + 1
                timer.step(step, of: schedule.steps, video: latents[index].index)
                let isLast = step == range.upperBound - 1 || cancellation.isCancelled
                latents[index].solver = solver
                try keep(latents[index], on: backend, isLast: isLast, timer)
            }
            latents[index].cache = nil
        }
    }

    /// Hands a video to the keeper when that is due.
    private func keep(
        _ latent: LatentState, on backend: any Backend, isLast: Bool, _ timer: StageTimer
    ) throws(SwanError) {
        guard let keeper, keeper.isDue(latent.index, isLast: isLast) else { return }
        let state = try latent.downloaded(from: backend, withMemory: latent.steps < schedule.steps)
        keeper.keep(state, of: latent.index, stages: timer.soFar)
    }

    private func text(_ prompt: String, _ transformer: WanTransformer, on backend: any Backend) throws(SwanError)
        -> WanText
    {
        guard let states = states[prompt] else { throw SwanError(.fault, "A prompt was not encoded.") }
        return try transformer.encode(states, on: backend)
    }
}
