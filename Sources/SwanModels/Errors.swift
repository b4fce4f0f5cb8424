public import SwanDiagnostics

extension SwanError.Code {
    /// A configuration is missing, contradictory or of another model family.
    public static let configuration = Self("model.configuration", .data)
}
