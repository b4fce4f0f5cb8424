public import SwanDiagnostics

extension SwanError.Code {
    /// No model has this name.
    public static let modelUnknown = Self("hub.model-unknown", .missing)
    /// The model is known and is not on this machine.
    public static let modelNotInstalled = Self("hub.model-not-installed", .missing)
    /// The model's weights are not published.
    public static let modelClosed = Self("hub.model-closed", .unavailable)
    /// The model is known and this version does not run it.
    public static let modelUnsupported = Self("hub.model-unsupported", .unavailable)
}
