public import SwanDiagnostics
public import SwanTensor

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
