public import SwanDiagnostics

/// The noise levels of a run and the timesteps that the network is given at them.
///
/// `x_sigma = (1 - sigma) * clean + sigma * noise`; sigmas fall from about 1 to 0.
public struct FlowSchedule: Sendable, Hashable {
    /// One more than there are steps; the last is 0.
    public let sigmas: [Double]
    /// On the scale 0 … 1000, one per step.
    public let timesteps: [Double]

    /// The number of steps.
    public var steps: Int { timesteps.count }

    /// `s * sigma / (1 + (s - 1) * sigma)`: more steps at high noise for s above 1.
    static func shifted<T: BinaryFloatingPoint>(_ sigma: T, by shift: T) -> T {
        shift * sigma / (1 + (shift - 1) * sigma)
    }

    /// The schedule that the official code gives a solver.
    ///
    /// - Parameters:
    ///   - solver: decides the first sigma and how timesteps are rounded.
    ///   - steps: 1 … 1000.
    ///   - shift: 0.01 … 1000.
    /// - Throws: `sampling.invalid-schedule`.
    ///
    /// Source: Wan2.2 `wan/utils/fm_solvers_unipc.py` and `fm_solvers.py`; Wan2.2-Lightning
    /// `wan/utils/fm_solvers_euler.py`.
    public init(_ solver: SolverName, steps: Int, shift: Double) throws(SwanError) {
        guard (1 ... 1000).contains(steps) else {
            throw SwanError(.invalidSchedule, "\(steps) steps were asked for, expected 1 to 1000.")
        }
        guard (0.01 ... 1000).contains(shift) else {
            throw SwanError(
                .invalidSchedule, "A shift of \(shift) was asked for, expected 0.01 to 1000.")
        }
        switch solver {
        case .unipc, .dpmpp:
            // The official UniPC is built on 1000 training steps whose largest sigma is 1 - 1/1000 in
            // float32; DPM++ starts at 1.
            let first = solver == .unipc ? Double(Float(1 - 1.0 / 1000)) : 1
            let sigmas = (0 ..< steps).map { Self.shifted(first * (1 - Double($0) / Double(steps)), by: shift) }
            // Truncated from float64, before the sigmas are rounded to float32.
            timesteps = sigmas.map { (1000 * $0).rounded(.towardZero) }
            self.sigmas = sigmas.map { Double(Float($0)) } + [0]
        case .euler:
            // Float32 throughout, and timesteps are not truncated.
            let sigmas = (0 ..< steps).map { k in
                Self.shifted(Float(1000 * (1 - Double(k) / Double(steps))) / 1000, by: Float(shift))
            }
            timesteps = sigmas.map { Double(1000 * $0) }
            self.sigmas = sigmas.map(Double.init) + [0]
        }
    }

    /// The first step that belongs to the low-noise expert: the first whose timestep is below
    /// `boundary * 1000`. `steps` when there is none.
    public func firstLowNoiseStep(boundary: Double) -> Int {
        timesteps.firstIndex { $0 < boundary * 1000 } ?? steps
    }
}
