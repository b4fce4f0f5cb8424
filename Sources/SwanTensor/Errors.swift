public import SwanDiagnostics

extension SwanError.Code {
    /// An operation was given shapes or element types that its contract excludes.
    public static let shapeMismatch = Self("tensor.shape-mismatch", .fault)
    /// A device has no memory left for a tensor.
    public static let outOfMemory = Self("tensor.out-of-memory", .resources)
    /// Values could not be converted to the wanted element type.
    public static let conversion = Self("tensor.conversion", .data)
}
