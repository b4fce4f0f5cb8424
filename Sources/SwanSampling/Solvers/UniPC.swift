public import SwanDiagnostics
public import SwanTensor

/// UniPC of order 2 with B(h) = exp(-h) - 1 ("bh2"), on clean-latent predictions: each step first
/// corrects the latent that the step before predicted, then predicts the next. Order 1 in the first
/// and in the last step.
///
/// Source: Zhao et al., "UniPC", 2023; Wan2.2 `wan/utils/fm_solvers_unipc.py`.
public struct UniPC: Solver {
    private let schedule: FlowSchedule
    /// Clean predictions of the last steps, the latest last; at most two.
    private var history: [Tensor] = []
    /// The corrected latent of the last step.
    private var corrected: Tensor?
    private var order = 1

    /// Starts a schedule.
    public init(_ schedule: FlowSchedule) { self.schedule = schedule }

    /// See ``Solver/step(_:velocity:latent:on:)``.
    public mutating func step(_ step: Int, velocity: Tensor, latent: Tensor, on backend: any Backend)
        throws(SwanError) -> Tensor
    {
        let clean = try schedule.clean(step, velocity: velocity, latent: latent, on: backend)
        var latent = latent
        if let corrected { latent = try correct(step, from: corrected, clean, on: backend) }
        history = history.suffix(1) + [clean]
        order = order(of: step)
        corrected = latent
        return try predict(step, from: latent, on: backend)
    }

    /// The order of a step's prediction, and of the correction that follows it.
    private func order(of step: Int) -> Int { min(history.count, schedule.steps - step, 2) }

    /// The clean predictions of the last two steps and the corrected latent.
    public var memory: [String: Tensor] {
        guard let corrected, let latest = history.last else { return [:] }
        var memory = ["corrected": corrected, "latest": latest]
        if history.count == 2 { memory["previous"] = history[0] }
        return memory
    }

    /// See ``Solver/resume(at:with:)``.
    public mutating func resume(at step: Int, with memory: [String: Tensor]) throws(SwanError) {
        guard step > 0 else {
            (history, corrected, order) = ([], nil, 1)
            return
        }
        let latest = try memory.remembered("latest", at: step)
        let start = try memory.remembered("corrected", at: step)
        history = step > 1 ? [try memory.remembered("previous", at: step), latest] : [latest]
        corrected = start
        order = order(of: step - 1)
    }

    /// Goes once more from step - 1 to `step`, now that the prediction there is known.
    private func correct(_ step: Int, from start: Tensor, _ clean: Tensor, on backend: any Backend)
        throws(SwanError) -> Tensor
    {
        let h = schedule.lambda(step) - schedule.lambda(step - 1)
        let e = exponentialMinusOne(-h)
        let scale = -schedule.alpha(step) * e
        let keep = Float(schedule.sigmas[step] / schedule.sigmas[step - 1])
        let last = history[history.count - 1]
        guard order == 2, history.count == 2 else {
            return try backend.linearCombination([(keep, start), (Float(scale / 2), last), (Float(scale / 2), clean)])
        }
        let r = (schedule.lambda(step - 2) - schedule.lambda(step - 1)) / h
        let c = -h
        let g1 = e / c - 1
        let g2 = g1 / c - 0.5
        let b1 = g1 / e
        let b2 = 2 * g2 / e
        let rho1 = (b1 - b2) / (1 - r)
        let rho2 = b1 - rho1
        return try backend.linearCombination([
            (keep, start), (Float(scale * rho1 / r), history[0]), (Float(scale * (1 - rho1 / r - rho2)), last),
            (Float(scale * rho2), clean),
        ])
    }

    private func predict(_ step: Int, from latent: Tensor, on backend: any Backend) throws(SwanError) -> Tensor {
        let h = schedule.lambda(step + 1) - schedule.lambda(step)
        let scale = -schedule.alpha(step + 1) * exponentialMinusOne(-h)
        let keep = Float(schedule.sigmas[step + 1] / schedule.sigmas[step])
        let last = history[history.count - 1]
        guard order == 2 else { return try backend.linearCombination([(keep, latent), (Float(scale), last)]) }
        let r = (schedule.lambda(step - 1) - schedule.lambda(step)) / h
        let slope = scale / (2 * r)
        return try backend.linearCombination([(keep, latent), (Float(scale - slope), last), (Float(slope), history[0])])
    }
}
