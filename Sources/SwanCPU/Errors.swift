public import SwanDiagnostics

extension SwanError.Code {
    /// A library that the CPU backend needs is not installed.
    public static let libraryUnavailable = Self("cpu.library-unavailable", .unavailable)
    /// A library call failed.
    public static let libraryFailed = Self("cpu.library-failed", .fault)
}
