public import SwanDiagnostics

extension SwanError.Code {
    /// A schedule that cannot be made: steps, shift or boundary out of range.
    public static let invalidSchedule = Self("sampling.invalid-schedule", .usage)
    /// Fewer random numbers than PyTorch's way of drawing whole tensors gives.
    public static let tooFewValues = Self("sampling.too-few-values", .usage)
    /// What a solver has to remember of earlier steps is not there.
    public static let memoryIncomplete = Self("sampling.memory-incomplete", .data)
}
