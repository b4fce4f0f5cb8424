public import SwanDiagnostics

/// Opens videos for writing.
public enum VideoWriter {
    /// Checks a path and starts a video there, as its extension says.
    ///
    /// - Parameters:
    ///   - path: see ``OutputFormat``.
    ///   - width: of a frame, in pixels; even for mp4.
    ///   - height: of a frame, in pixels; even for mp4.
    ///   - fps: frames per second, 1 to 240.
    ///   - metadata: settings to keep in the file; see ``VideoMetadata``. Dropped by formats that keep none.
    ///   - tools: where the programs are.
    /// - Throws: as ``OutputPath/check(_:width:height:frames:checksEncoder:tools:)``; `media.encoder-failed`,
    ///   `media.write-failed`. Nothing is left on disk then.
    public static func open(
        path: String, width: Int, height: Int, fps: Int, metadata: [String: String] = [:],
        tools: MediaTools = .installed
    ) throws(SwanError) -> any FrameSink {
        let output = try OutputPath.check(path, width: width, height: height, tools: tools)
        return try open(output, width: width, height: height, fps: fps, metadata: metadata, tools: tools)
    }

    /// Starts a video at a path that has been checked for this size.
    ///
    /// - Parameters:
    ///   - output: the path.
    ///   - width: of a frame, in pixels, as it was checked.
    ///   - height: of a frame, in pixels, as it was checked.
    ///   - fps: frames per second, 1 to 240.
    ///   - metadata: settings to keep in the file; see ``VideoMetadata``. Dropped by formats that keep none.
    ///   - tools: where the programs are.
    ///   - journal: told where the video is before it has its name; nil for nobody.
    public static func open(
        _ output: OutputPath, width: Int, height: Int, fps: Int, metadata: [String: String] = [:],
        tools: MediaTools = .installed, journal: (any OutputJournal)? = nil
    ) throws(SwanError) -> any FrameSink {
        guard (1 ... 240).contains(fps) else {
            throw SwanError(
                .outputInvalid, "\(fps) frames per second were asked for.", advice: "Choose a rate from 1 to 240.")
        }
        let comment = try metadata.isEmpty || !output.format.keepsMetadata ? nil : VideoMetadata.text(metadata)
        if output.format == .y4m {
            return try Y4MSink(output, width: width, height: height, fps: fps, journal: journal)
        }
        return try FFmpegSink(
            output, width: width, height: height, fps: fps, comment: comment, tools: tools, journal: journal)
    }

    /// Starts a y4m video on an open descriptor, which the sink closes; for tests of full disks.
    package static func y4m(
        descriptor: Int32, width: Int, height: Int, fps: Int
    ) throws(SwanError) -> any FrameSink {
        try Y4MSink(descriptor: descriptor, path: "/dev/full", part: nil, width: width, height: height, fps: fps)
    }
}
