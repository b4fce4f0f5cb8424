public import SwanDiagnostics

/// What a video can be written as, chosen by the output path's extension.
public enum OutputFormat: String, Sendable, CaseIterable {
    /// H.264 in MP4, 4:2:0, playable while it loads.
    case mp4
    /// VP9 in WebM, 4:2:0.
    case webm
    /// An animated GIF with one palette of 256 colours, repeated for ever.
    case gif
    /// Uncompressed YUV4MPEG2, 4:4:4, BT.709 limited range; needs no other program.
    case y4m
    /// One PNG file per frame, numbered from 1: the path holds a pattern such as `%04d`.
    case png

    /// The format that a path asks for.
    ///
    /// - Throws: `media.output-invalid` if the extension is unknown, or if the file's name has a pattern
    ///   where it should not, or none where it should.
    public init(path: String) throws(SwanError) {
        let shown = path.printable()
        let known = Self.allCases.map { $0 == .png ? "%04d.png" : ".\($0.rawValue)" }.joined(separator: ", ")
        let name = path.split(separator: "/", omittingEmptySubsequences: false).last ?? ""
        guard !path.utf8.contains(0), let dot = name.lastIndex(of: "."), dot > name.startIndex,
            let format = Self(rawValue: name[name.index(after: dot)...].lowercased())
        else {
            throw SwanError(
                .outputInvalid, "The output '\(shown)' has no extension that names a format.",
                advice: "Known are \(known).")
        }
        if format == .png, NumberPattern(name) == nil {
            throw SwanError(
                .outputInvalid, "The output '\(shown)' names one PNG file, and a video has several frames.",
                advice: "Put the frame's number into the name, as in 'frames/%04d.png'.")
        }
        self = format
    }

    /// Whether the format is written by the ffmpeg program.
    public var needsFFmpeg: Bool { self != .y4m }

    /// Whether the settings of a video are kept in its file: ``VideoMetadata``.
    public var keepsMetadata: Bool {
        switch self {
        case .mp4, .webm, .gif: true
        case .y4m, .png: false
        }
    }

    /// ffmpeg's name of the encoder.
    var encoder: String? {
        switch self {
        case .mp4: "libx264"
        case .webm: "libvpx-vp9"
        case .gif: "gif"
        case .png: "png"
        case .y4m: nil
        }
    }

    /// About the most bytes that a video of this size takes. Exact for y4m; for the compressed formats
    /// a generous figure for film, which noise can exceed.
    func bytes(width: Int, height: Int, frames: Int) -> Int {
        let pixels = Double(width) * Double(height) * Double(frames)
        let perPixel =
            switch self {
            case .mp4, .webm: 0.25
            case .gif: 1.0
            case .y4m: 3.0
            case .png: 3.02
            }
        return Int(exactly: (pixels * perPixel).rounded()) ?? .max
    }
}

/// A file name with one frame number in it, as ffmpeg spells it: `%d` or `%04d`.
struct NumberPattern: Sendable {
    let prefix: String
    let digits: Int
    let suffix: String

    /// The pattern in a file's name, or nil if there is none or another use of `%`.
    init?(_ name: some StringProtocol) {
        let parts = name.split(separator: "%", omittingEmptySubsequences: false)
        guard parts.count == 2, let end = parts[1].firstIndex(of: "d") else { return nil }
        let width = parts[1][..<end]
        guard width.isEmpty || (width.count == 2 && width.first == "0"), let digits = Int("0" + width) else {
            return nil
        }
        prefix = String(parts[0])
        self.digits = digits
        suffix = String(parts[1][parts[1].index(after: end)...])
    }

    /// The name of a frame's file.
    func name(_ number: Int) -> String {
        let text = String(number)
        return prefix + String(repeating: "0", count: max(0, digits - text.utf8.count)) + text + suffix
    }

    /// Whether a file's name is one that the pattern makes.
    func matches(_ name: String) -> Bool {
        guard name.hasPrefix(prefix), name.hasSuffix(suffix), name.utf8.count > prefix.utf8.count + suffix.utf8.count
        else { return false }
        return name.dropFirst(prefix.count).dropLast(suffix.count).allSatisfy { ("0" ... "9").contains($0) }
    }
}
