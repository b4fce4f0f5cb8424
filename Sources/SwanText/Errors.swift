public import SwanDiagnostics

extension SwanError.Code {
    /// A tokenizer model is damaged or of another kind.
    public static let tokenizerInvalid = Self("text.tokenizer-invalid", .data)
    /// The tokenizer library is not installed.
    public static let tokenizerUnavailable = Self("text.tokenizer-unavailable", .unavailable)
}
