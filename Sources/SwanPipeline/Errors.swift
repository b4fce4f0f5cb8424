public import SwanDiagnostics

extension SwanError.Code {
    /// A request that the model cannot fulfil: sizes, frames, options.
    public static let invalidRequest = Self("pipeline.invalid-request", .usage)
    /// Parts of a model are not there.
    public static let modelIncomplete = Self("pipeline.model-incomplete", .missing)
    /// The work needs more memory than there is.
    public static let notEnoughMemory = Self("pipeline.not-enough-memory", .resources)
    /// Latents hold values that are no numbers: weights are damaged, or numbers grew without bounds.
    public static let latentsInvalid = Self("pipeline.latents-invalid", .data)
    /// A video holds no settings to take over.
    public static let noSettings = Self("pipeline.no-settings", .data)
    /// What was kept of an interrupted run belongs to another one, or is damaged.
    public static let stateInvalid = Self("pipeline.state-invalid", .data)
}
