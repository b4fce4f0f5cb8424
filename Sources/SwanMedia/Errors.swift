public import SwanDiagnostics

extension SwanError.Code {
    /// The video encoder program is not installed.
    public static let encoderMissing = Self("media.encoder-missing", .unavailable)
    /// The video encoder stopped with an error.
    public static let encoderFailed = Self("media.encoder-failed", .io)
    /// The output path names no known format, or cannot be written.
    public static let outputInvalid = Self("media.output-invalid", .usage)
    /// The output is there already and is not overwritten.
    public static let outputExists = Self("media.output-exists", .usage)
    /// Writing the video failed: disk full, pipe closed.
    public static let writeFailed = Self("media.write-failed", .io)
}
