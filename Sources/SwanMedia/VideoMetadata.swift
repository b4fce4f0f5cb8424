import FoundationEssentials
import Glibc
public import SwanDiagnostics

/// The settings of a video, kept in its file: one JSON object of strings in the comment of the
/// container (mp4, webm, gif). y4m and PNG files keep none: the header of the first is bounded to some
/// eighty bytes by its readers, and a sequence has no place that stands for all of it.
public enum VideoMetadata {
    /// The comment for some settings: JSON, keys in order.
    ///
    /// - Throws: `media.output-invalid` if it is too long to be handed to a program (100 kB).
    static func text(_ settings: [String: String]) throws(SwanError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(settings), data.count <= 100_000 else {
            throw SwanError(
                .outputInvalid, "The video's settings are too long to be kept in its file.",
                advice: "Shorten the prompt: at most 100 kB of settings fit.")
        }
        return String(decoding: data, as: UTF8.self)
    }

    /// The comment of a video file, as it stands there, or nil if it has none.
    ///
    /// - Throws: `media.video-missing`, `media.video-invalid`; `media.encoder-missing` without ffprobe, which
    ///   every format but gif, y4m and png needs.
    public static func read(path: String, tools: MediaTools = .installed) throws(SwanError) -> String? {
        let start = try VideoFile.start(path, count: 16)
        if start.starts(with: Array("GIF8".utf8)) { return GIFComment.read(try VideoFile.start(path, count: 1 << 20)) }
        if start.starts(with: Array("YUV4MPEG2".utf8)) || start.starts(with: [0x89, 0x50, 0x4e, 0x47]) { return nil }
        let facts = try VideoFile.probe(path, tools: tools)
        return facts.format?.tags?.first { $0.key.lowercased() == "comment" }?.value
    }
}

/// Looks at video files that others may have written.
enum VideoFile {
    /// What ffprobe tells of a file.
    struct Facts: Decodable {
        struct Stream: Decodable {
            var width: Int?
            var height: Int?
            var averageRate: String?

            enum CodingKeys: String, CodingKey {
                case width, height
                case averageRate = "avg_frame_rate"
            }
        }

        struct Format: Decodable {
            var tags: [String: String]?
        }

        var streams: [Stream]?
        var format: Format?
    }

    /// The first bytes of a file.
    static func start(_ path: String, count: Int) throws(SwanError) -> [UInt8] {
        let file = try opened(path)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes {
                Glibc.read(file, $0.baseAddress.map { $0 + filled }, count - filled)
            }
            if got < 0, errno == EINTR { continue }
            if got < 0 { throw unreadable(path, errno) }
            if got == 0 { break }
            filled += got
        }
        return Array(bytes.prefix(filled))
    }

    /// All bytes of a file.
    static func contents(_ path: String, maximumBytes: Int) throws(SwanError) -> [UInt8] {
        let file = try opened(path)
        defer { close(file) }
        guard let bytes = readAll(file, maximumBytes: maximumBytes) else {
            throw SwanError(
                .videoInvalid, "'\(path.printable())' cannot be read whole, within \(formatted(bytes: maximumBytes)).",
                advice: "Choose a smaller video.")
        }
        return bytes
    }

    private static func opened(_ path: String) throws(SwanError) -> Int32 {
        // Without O_NONBLOCK, opening a named pipe would wait for its writer.
        let file = path.utf8.contains(0) ? -1 : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard file >= 0 else { throw unreadable(path, path.utf8.contains(0) ? ENOENT : errno) }
        var facts = stat()
        guard fstat(file, &facts) == 0, facts.st_mode & S_IFMT == S_IFREG else {
            close(file)
            throw SwanError(
                .videoInvalid, "'\(path.printable())' is a folder, a device or a pipe, expected a video's file.",
                advice: "Name a file.")
        }
        return file
    }

    private static func unreadable(_ path: String, _ number: Int32) -> SwanError {
        SwanError(
            .videoMissing, "The video '\(path.printable())' cannot be read.", advice: "Check the path.",
            cause: SystemError(number: number))
    }

    /// Asks ffprobe about the first video stream and the container's tags.
    static func probe(_ path: String, tools: MediaTools) throws(SwanError) -> Facts {
        let ffprobe = try tools.requireFFprobe()
        let (status, output, errors) = try tools.run(
            ffprobe,
            [
                "-v", "error", "-protocol_whitelist", "file", "-select_streams", "v:0", "-show_entries",
                "stream=width,height,avg_frame_rate:format_tags", "-of", "json", "file:" + path,
            ])
        guard status == .code(0), let facts = try? JSONDecoder().decode(Facts.self, from: Data(output)) else {
            throw SwanError(
                .videoInvalid, "'\(path.printable())' is no video that ffprobe can read.",
                advice: "Check that the file is whole.",
                cause: ProgramFailure(program: "ffprobe", status: status, errors: errors))
        }
        return facts
    }
}
