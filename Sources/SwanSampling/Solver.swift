public import SwanDiagnostics
public import SwanTensor

/// The solvers by the names that users write.
public enum SolverName: String, Sendable, CaseIterable, Codable {
    /// UniPC of order 2, the official default.
    case unipc
    /// DPM-Solver++ of order 2, midpoint form.
    case dpmpp = "dpm++"
    /// Euler, for distilled models.
    case euler

    /// A solver at the start of a schedule.
    public func makeSolver(_ schedule: FlowSchedule) -> any Solver {
        switch self {
        case .unipc: UniPC(schedule)
        case .dpmpp: DPMSolverPlusPlus(schedule)
        case .euler: Euler(schedule)
        }
    }
}

/// Integrates the flow from noise to a clean latent, one velocity after the other.
///
/// Steps are counted, never found again by comparing timesteps: two of them can be equal. Latents and
/// velocities are float32; factors are computed in float64.
public protocol Solver {
    /// - Parameters:
    ///   - step: counts from 0; each is asked for once, in order.
    ///   - velocity: the network's prediction at `latent`, shaped like it.
    ///   - latent: the latent at sigma `step`.
    ///   - backend: where the arithmetic happens.
    /// - Returns: the latent at sigma `step + 1`.
    mutating func step(_ step: Int, velocity: Tensor, latent: Tensor, on backend: any Backend) throws(SwanError)
        -> Tensor

    /// What the next step needs of the earlier ones, by name, each shaped like the latent; empty before the first
    /// step, and for a solver that looks at nothing but the present.
    var memory: [String: Tensor] { get }

    /// Goes on where an earlier solver of the same schedule stopped: the steps from `step` on are then the same,
    /// bit for bit.
    ///
    /// - Parameters:
    ///   - step: the first step to come.
    ///   - memory: ``memory`` after step `step - 1`.
    /// - Throws: `sampling.memory-incomplete` when a tensor is missing; the solver is then as it was.
    mutating func resume(at step: Int, with memory: [String: Tensor]) throws(SwanError)
}

extension [String: Tensor] {
    /// A tensor that a solver has to remember.
    func remembered(_ name: String, at step: Int) throws(SwanError) -> Tensor {
        if let tensor = self[name] { return tensor }
        throw SwanError(
            .memoryIncomplete, "A run cannot go on at step \(step): the solver's tensor '\(name)' was not kept.",
            advice: "Begin it again.")
    }
}

extension FlowSchedule {
    /// Weight of the clean latent at a sigma.
    func alpha(_ step: Int) -> Double { 1 - sigmas[step] }

    /// Half of the logarithm of the signal-to-noise ratio; infinite at sigmas 0 and 1, where the
    /// solvers' formulas take the right limits by themselves.
    func lambda(_ step: Int) -> Double { logarithm(alpha(step)) - logarithm(sigmas[step]) }

    /// The clean latent that a velocity points to.
    func clean(_ step: Int, velocity: Tensor, latent: Tensor, on backend: any Backend) throws(SwanError) -> Tensor {
        try backend.linearCombination([(1, latent), (Float(-sigmas[step]), velocity)])
    }
}
