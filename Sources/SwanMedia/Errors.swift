public import SwanDiagnostics

extension SwanError.Code {
    /// The video encoder program is not installed, or lacks the encoder that is needed.
    public static let encoderMissing = Self("media.encoder-missing", .unavailable)
    /// The video encoder stopped with an error.
    public static let encoderFailed = Self("media.encoder-failed", .io)
    /// The output path names no known format, or one that cannot hold the video.
    public static let outputInvalid = Self("media.output-invalid", .usage)
    /// The folder of an output is not there.
    public static let folderMissing = Self("media.folder-missing", .missing)
    /// The folder of an output cannot be written to.
    public static let folderUnwritable = Self("media.folder-unwritable", .io)
    /// The output is there already and is not overwritten.
    public static let outputExists = Self("media.output-exists", .usage)
    /// The disk has too little room for the output; nothing has been written.
    public static let diskRoom = Self("media.disk-room", .resources)
    /// Writing the video failed: disk full, pipe closed.
    public static let writeFailed = Self("media.write-failed", .io)
    /// A video that was named is not there or cannot be read.
    public static let videoMissing = Self("media.video-missing", .missing)
    /// A file is no video, or is damaged.
    public static let videoInvalid = Self("media.video-invalid", .data)
}
