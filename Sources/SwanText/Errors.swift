public import SwanDiagnostics

extension SwanError.Code {
    /// A tokenizer model is damaged or of another kind.
    public static let tokenizerInvalid = Self("text.tokenizer-invalid", .data)
    /// The tokenizer failed on a text, though its model was accepted.
    public static let tokenizerFailed = Self("text.tokenizer-failed", .fault)
}
