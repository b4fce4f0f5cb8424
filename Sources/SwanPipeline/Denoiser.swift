import SwanDiagnostics
import SwanModels
import SwanSampling
import SwanTensor

/// A video on its way from noise to a clean latent.
struct LatentState {
    var tensor: Tensor
    var solver: (any Solver)?
}

/// The steps between noise and clean latents: for each sigma the expert, its velocity, guidance, and the
/// solver's step.
struct Denoiser {
    private let settings: GenerationSettings
    private let model: OpenModel
    private let plan: GenerationPlan
    private let states: [String: HostTensor]
    private let schedule: FlowSchedule

    /// - Parameter states: the text encoder's rows of every prompt in use.
    init(_ settings: GenerationSettings, _ model: OpenModel, _ plan: GenerationPlan, _ states: [String: HostTensor])
        throws(SwanError)
    {
        self.settings = settings
        self.model = model
        self.plan = plan
        self.states = states
        schedule = try settings.schedule()
    }

    /// Takes every latent that begins with noise to the end. Solvers keep their history across the
    /// switch of experts.
    func run(
        _ latents: inout [LatentState], _ items: [VideoItem], on backend: any Backend, _ cancellation: Cancellation,
        _ timer: inout StageTimer
    ) throws(SwanError) {
        for (index, item) in items.enumerated() {
            if case .latents = item.start { continue }
            latents[index].solver = settings.solver.makeSolver(schedule)
        }
        let split = settings.boundary > 0 ? schedule.firstLowNoiseStep(boundary: settings.boundary) : 0
        if split > 0 {
            try steps(0 ..< split, isHigh: true, &latents, items, on: backend, cancellation, &timer)
        }
        if split < schedule.steps {
            try steps(split ..< schedule.steps, isHigh: false, &latents, items, on: backend, cancellation, &timer)
        }
    }

    private func steps(
        _ range: Range<Int>, isHigh: Bool, _ latents: inout [LatentState], _ items: [VideoItem],
        on backend: any Backend, _ cancellation: Cancellation, _ timer: inout StageTimer
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
        for (index, item) in items.enumerated() {
            guard var solver = latents[index].solver else { continue }
            try cancellation.check()
            let positive = try text(item.prompt, transformer, on: backend)
            // A few steps of a rehearsal take as much memory as all: a solver remembers fewer.
            for step in backend.isRehearsal ? range.prefix(4) : range {
                try cancellation.check()
                let latent = latents[index].tensor
                let timesteps = [schedule.timesteps[step]]
                var velocity = try transformer(
                    latent, timesteps: timesteps, text: positive, rope: rope, feedForwardRows: rows, on: backend)
                if let negative {
                    let unconditional = try transformer(
                        latent, timesteps: timesteps, text: negative, rope: rope, feedForwardRows: rows, on: backend)
                    velocity = try Guidance.combine(
                        conditional: velocity, unconditional: unconditional, scale: guidance, on: backend)
                }
                latents[index].tensor = try solver.step(step, velocity: velocity, latent: latent, on: backend)
                try backend.useIdleTime()
                try backend.synchronize()
                timer.step(step, of: schedule.steps, video: index)
            }
            latents[index].solver = solver
        }
    }

    private func text(_ prompt: String, _ transformer: WanTransformer, on backend: any Backend) throws(SwanError)
        -> WanText
    {
        guard let states = states[prompt] else { throw SwanError(.fault, "A prompt was not encoded.") }
        return try transformer.encode(states, on: backend)
    }
}
