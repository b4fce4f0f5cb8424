public import SwanDiagnostics

extension SwanError.Code {
    /// A tokenizer model is damaged or of another kind.
    public static let tokenizerInvalid = Self("text.tokenizer-invalid", .data)
    /// A tokenizer file is not there or cannot be read.
    public static let tokenizerMissing = Self("text.tokenizer-missing", .missing)
    /// The tokenizer failed on a text, though its model was accepted.
    public static let tokenizerFailed = Self("text.tokenizer-failed", .fault)
}
