public import SwanDiagnostics

extension SwanError.Code {
    /// No device has this name.
    public static let deviceUnknown = Self("runtime.device-unknown", .usage)
    /// A device that was asked for is not there.
    public static let deviceUnavailable = Self("runtime.device-unavailable", .unavailable)
}
