public import SwanDiagnostics
public import SwanTensor

/// DPM-Solver++, multistep of order 2 in its midpoint form, on clean-latent predictions; order 1 in
/// the first and in the last step.
///
/// Source: Lu et al., "DPM-Solver++", 2022; Wan2.2 `wan/utils/fm_solvers.py`.
public struct DPMSolverPlusPlus: Solver {
    private let schedule: FlowSchedule
    private var previous: Tensor?

    /// Starts a schedule.
    public init(_ schedule: FlowSchedule) { self.schedule = schedule }

    /// See ``Solver/step(_:velocity:latent:on:)``.
    public mutating func step(_ step: Int, velocity: Tensor, latent: Tensor, on backend: any Backend)
        throws(SwanError) -> Tensor
    {
        let clean = try schedule.clean(step, velocity: velocity, latent: latent, on: backend)
        defer { previous = clean }
        let h = schedule.lambda(step + 1) - schedule.lambda(step)
        let drift = -schedule.alpha(step + 1) * exponentialMinusOne(-h)
        let keep = Float(schedule.sigmas[step + 1] / schedule.sigmas[step])
        guard let previous, step > 0, step < schedule.steps - 1 else {
            return try backend.linearCombination([(keep, latent), (Float(drift), clean)])
        }
        // Infinite r, behind a first sigma of 1, leaves the slope out: order 1.
        let r = (schedule.lambda(step) - schedule.lambda(step - 1)) / h
        let slope = drift / (2 * r)
        return try backend.linearCombination([(keep, latent), (Float(drift + slope), clean), (Float(-slope), previous)])
    }

    /// The clean prediction of the last step.
    public var memory: [String: Tensor] { previous.map { ["previous": $0] } ?? [:] }

    /// See ``Solver/resume(at:with:)``.
    public mutating func resume(at step: Int, with memory: [String: Tensor]) throws(SwanError) {
        previous = step > 0 ? try memory.remembered("previous", at: step) : nil
    }
}
