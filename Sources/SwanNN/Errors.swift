public import SwanDiagnostics

extension SwanError.Code {
    /// A LoRA file does not fit the model, or is of a kind that cannot be merged.
    public static let loraMismatch = Self("lora.mismatch", .data)
}
