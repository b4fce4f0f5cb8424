public import SwanDiagnostics
public import SwanTensor

/// The part of a run in which guidance is on, as shares of its steps.
///
/// Source: Kynkäänniemi et al., "Applying Guidance in a Limited Interval Improves Sample and Distribution Quality in
/// Diffusion Models", 2024.
public struct GuidanceInterval: Sendable, Hashable, Codable {
    /// 0 to 1: where guidance begins, and where it has ended.
    public var start, stop: Double

    /// The whole run.
    public static let all = GuidanceInterval(0, 1)

    /// Names a part.
    public init(_ start: Double, _ stop: Double) { (self.start, self.stop) = (start, stop) }

    /// Whether there is any such part.
    public var isValid: Bool { start >= 0 && start < stop && stop <= 1 }

    /// Whether a step of `steps` belongs to it.
    public func contains(_ step: Int, of steps: Int) -> Bool {
        let place = Double(step) / Double(steps)
        return place >= start && place < stop
    }
}

/// Classifier-free guidance.
public enum Guidance {
    /// Whether a scale asks for the second forward: 1 means the conditional prediction itself.
    public static func isOn(_ scale: Double) -> Bool { abs(scale - 1) > 1e-6 }

    /// `unconditional + scale * (conditional - unconditional)`.
    public static func combine(
        conditional: Tensor, unconditional: Tensor, scale: Double, on backend: any Backend
    ) throws(SwanError) -> Tensor {
        try backend.linearCombination([(Float(1 - scale), unconditional), (Float(scale), conditional)])
    }
}
