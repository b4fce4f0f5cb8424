public import SwanDiagnostics

extension SwanError.Code {
    /// A library that the GPU backend needs is not installed, or is too old.
    public static let cudaLibraryUnavailable = Self("cuda.library-unavailable", .unavailable)
    /// There is no GPU of that number, or it cannot be used.
    public static let cudaDeviceUnavailable = Self("cuda.device-unavailable", .unavailable)
    /// A call of the driver or of a library failed.
    public static let cudaCallFailed = Self("cuda.call-failed", .fault)
    /// A kernel does not compile.
    public static let cudaKernelFailed = Self("cuda.kernel-failed", .fault)
    /// No kernel or library here computes what was asked for.
    public static let cudaUnsupported = Self("cuda.unsupported", .unavailable)
}
