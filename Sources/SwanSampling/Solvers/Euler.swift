public import SwanDiagnostics
public import SwanTensor

/// Follows the velocity in a straight line: `x + (sigma' - sigma) * v`.
public struct Euler: Solver {
    private let schedule: FlowSchedule

    /// Starts a schedule.
    public init(_ schedule: FlowSchedule) { self.schedule = schedule }

    /// See ``Solver/step(_:velocity:latent:on:)``.
    public mutating func step(_ step: Int, velocity: Tensor, latent: Tensor, on backend: any Backend)
        throws(SwanError) -> Tensor
    {
        try backend.linearCombination([
            (1, latent), (Float(schedule.sigmas[step + 1] - schedule.sigmas[step]), velocity),
        ])
    }

    /// Nothing.
    public var memory: [String: Tensor] { [:] }

    /// See ``Solver/resume(at:with:)``.
    public mutating func resume(at step: Int, with memory: [String: Tensor]) throws(SwanError) {}
}
