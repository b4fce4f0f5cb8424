public import SwanDiagnostics

/// The frames of a video, decoded.
public struct DecodedVideo: Sendable {
    /// The width of a frame in pixels.
    public let width: Int
    /// The height of a frame in pixels.
    public let height: Int
    /// The number of frames.
    public let frames: Int
    /// Frames per second on average; 0 if the file does not say.
    public let framesPerSecond: Double
    /// RGB with 8 bits each, `[frames, height, width, 3]`.
    public let rgb: [UInt8]
}

/// Decodes video files.
public enum FrameReader {
    /// All frames of a video file. y4m with 4:4:4 is read here, taken as BT.709 with limited range;
    /// everything else by ffmpeg, which goes by the file's own labels.
    ///
    /// - Parameters:
    ///   - path: the file; or, for PNG, one picture.
    ///   - maximumBytes: most bytes of decoded frames, or of the y4m file.
    ///   - tools: where the programs are.
    /// - Throws: `media.video-missing`, `media.video-invalid`, `media.encoder-missing`; `media.encoder-failed` if the
    ///   video is larger than `maximumBytes`.
    public static func read(
        path: String, maximumBytes: Int = 4 << 30, tools: MediaTools = .installed
    ) throws(SwanError) -> DecodedVideo {
        let start = try VideoFile.start(path, count: 1024)
        if try Y4MHeader(start, path: path) != nil {
            let bytes = try VideoFile.contents(path, maximumBytes: maximumBytes)
            if let header = try Y4MHeader(bytes, path: path) { return try frames(of: bytes, header, path: path) }
        }
        return try decode(path, maximumBytes: maximumBytes, tools: tools)
    }

    private static func frames(
        of bytes: [UInt8], _ header: Y4MHeader, path: String
    ) throws(SwanError) -> DecodedVideo {
        let pixels = header.width * header.height
        var rgb: [UInt8] = []
        rgb.reserveCapacity(bytes.count)
        var position = header.end
        var count = 0
        while position < bytes.count {
            // A frame's line may carry parameters of its own, which change nothing that is read here.
            let line = bytes[position...].prefix(256)
            guard line.starts(with: Array("FRAME".utf8)), let newline = line.firstIndex(of: 0x0a),
                bytes.count - newline - 1 >= 3 * pixels
            else {
                throw SwanError(
                    .videoInvalid, "'\(path.printable())' is damaged or cut off at frame \(count + 1).",
                    advice: "Write the video again.")
            }
            let start = newline + 1
            BT709.appendRGB(ofPlanes: bytes[start ..< start + 3 * pixels], pixels: pixels, to: &rgb)
            position = start + 3 * pixels
            count += 1
        }
        return DecodedVideo(
            width: header.width, height: header.height, frames: count, framesPerSecond: header.framesPerSecond, rgb: rgb
        )
    }

    private static func decode(_ path: String, maximumBytes: Int, tools: MediaTools) throws(SwanError) -> DecodedVideo {
        let facts = try VideoFile.probe(path, tools: tools)
        guard let stream = facts.streams?.first, let width = stream.width, let height = stream.height,
            (1 ... 16384).contains(width), (1 ... 16384).contains(height)
        else {
            throw SwanError(
                .videoInvalid, "'\(path.printable())' holds no video of a usable size.", advice: "Choose another file.")
        }
        // One output frame for each decoded one, whatever times they carry: numbered times at a fixed rate.
        let (status, output, errors) = try tools.run(
            try tools.requireFFmpeg(),
            [
                "-hide_banner", "-nostdin", "-loglevel", "error", "-xerror", "-protocol_whitelist", "file",
                "-noautorotate", "-i",
                "file:" + path, "-map", "0:v:0", "-vf",
                "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp,format=rgb24,settb=1/25,setpts=N",
                "-r", "25",
                "-f", "rawvideo", "pipe:1",
            ], maximumBytes: maximumBytes)
        guard status == .code(0), !output.isEmpty, output.count % (3 * width * height) == 0 else {
            throw SwanError(
                .videoInvalid, "'\(path.printable())' cannot be decoded as frames of \(width)x\(height).",
                advice: "Check that the file is whole.",
                cause: ProgramFailure(program: "ffmpeg", status: status, errors: errors))
        }
        let rate = (stream.averageRate ?? "").split(separator: "/").compactMap { Double($0) }
        return DecodedVideo(
            width: width, height: height, frames: output.count / (3 * width * height),
            framesPerSecond: rate.count == 2 && rate[1] > 0 ? rate[0] / rate[1] : 0, rgb: output)
    }
}
