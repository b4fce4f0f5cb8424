public import SwanDiagnostics

extension SwanError.Code {
    /// No model has this name.
    public static let modelUnknown = Self("hub.model-unknown", .missing)
}
