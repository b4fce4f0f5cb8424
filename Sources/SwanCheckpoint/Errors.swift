public import SwanDiagnostics

extension SwanError.Code {
    /// A file ends before what it announces.
    public static let truncated = Self("checkpoint.truncated", .data)
    /// A file breaks the rules of its format.
    public static let malformed = Self("checkpoint.malformed", .data)
    /// A file is whole but of a kind that this version does not read.
    public static let unsupported = Self("checkpoint.unsupported", .data)
    /// A file holds a Git LFS pointer instead of the data.
    public static let lfsPointer = Self("checkpoint.lfs-pointer", .data)
    /// A tensor that the model needs is not there.
    public static let tensorMissing = Self("checkpoint.tensor-missing", .data)
    /// A tensor has another shape than the model needs.
    public static let tensorMisshapen = Self("checkpoint.tensor-misshapen", .data)
    /// A file holds tensors that the model has no place for.
    public static let tensorsLeftOver = Self("checkpoint.tensors-left-over", .data)
    /// Eight-bit weights and the scales beside them do not belong together.
    public static let scales = Self("checkpoint.scales", .data)
    /// A file or folder that was named, or that an index lists, is not there.
    public static let fileMissing = Self("checkpoint.file-missing", .missing)
    /// A file cannot be opened or read.
    public static let unreadable = Self("checkpoint.unreadable", .io)
    /// A folder holds several checkpoints, and it does not show which is meant.
    public static let ambiguous = Self("checkpoint.ambiguous", .usage)
    /// A file cannot be written.
    public static let unwritable = Self("checkpoint.unwritable", .io)
}
