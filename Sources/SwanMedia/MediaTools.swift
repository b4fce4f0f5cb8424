import FoundationEssentials
import Glibc
import SwanDiagnostics

/// The programs that compressed video needs, and where they are.
public struct MediaTools: Sendable {
    /// The absolute path of `ffmpeg`, if it was found.
    public var ffmpeg: String?
    /// The absolute path of `ffprobe`, if it was found.
    public var ffprobe: String?

    /// Looks for the programs in the folders of a search path, which are separated by colons.
    /// Relative folders are skipped.
    public init(searchPath: String) {
        func find(_ name: String) -> String? {
            searchPath.split(separator: ":").lazy.filter { $0.hasPrefix("/") }.map { "\($0)/\(name)" }
                .first { access($0, X_OK) == 0 && FileKind(path: $0) == .other }
        }
        ffmpeg = find("ffmpeg")
        ffprobe = find("ffprobe")
    }

    /// The programs on this process' own `PATH`, looked up once.
    public static let installed = MediaTools(searchPath: ProcessInfo.processInfo.environment["PATH"] ?? "")

    /// The path of `ffmpeg`.
    ///
    /// - Throws: `media.encoder-missing`.
    func requireFFmpeg() throws(SwanError) -> String { try require(ffmpeg, "ffmpeg") }

    /// The path of `ffprobe`.
    ///
    /// - Throws: `media.encoder-missing`.
    func requireFFprobe() throws(SwanError) -> String { try require(ffprobe, "ffprobe") }

    private func require(_ path: String?, _ name: String) throws(SwanError) -> String {
        guard let path else {
            throw SwanError(
                .encoderMissing, "The program '\(name)' was not found.",
                advice:
                    "Install it with 'apt-get install ffmpeg', or write a '.y4m' file, which needs no other program.")
        }
        return path
    }

    /// Checks that ffmpeg is there and has the encoder of a format. Takes a tenth of a second.
    ///
    /// - Throws: `media.encoder-missing`; `media.encoder-failed` if the program cannot be run.
    func checkEncoder(of format: OutputFormat) throws(SwanError) {
        guard let encoder = format.encoder else { return }
        let ffmpeg = try requireFFmpeg()
        let found = try run(ffmpeg, ["-hide_banner", "-loglevel", "error", "-h", "encoder=\(encoder)"])
        guard String(decoding: found.output, as: UTF8.self).contains("Encoder \(encoder)") else {
            throw SwanError(
                .encoderMissing,
                "'\(ffmpeg.printable())' has no encoder '\(encoder)', which .\(format.rawValue) needs.",
                advice:
                    "Install a full build with 'apt-get install ffmpeg', or choose another format: '.y4m' needs none.")
        }
    }

    /// Runs a program to its end and collects what it prints.
    ///
    /// - Throws: `media.encoder-failed` if it cannot be started or prints more than `maximumBytes`.
    func run(
        _ executable: String, _ arguments: [String], maximumBytes: Int = 16 << 20
    ) throws(SwanError) -> (status: ExitStatus, output: [UInt8], errors: String) {
        let process = try ChildProcess(executable, arguments, input: false, output: true)
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(process.output, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            if count <= 0 { break }
            guard output.count + count <= maximumBytes else {
                process.kill()
                throw SwanError(
                    .encoderFailed, "'\(executable.printable())' printed more than \(formatted(bytes: maximumBytes)).",
                    advice: "Choose a smaller video.")
            }
            output += chunk.prefix(count)
        }
        let status = process.wait()
        return (status, output, process.errorText)
    }
}

/// What lies at a path.
enum FileKind {
    case folder, other

    /// Nil when there is nothing, or nothing that can be looked at. Links are followed.
    init?(path: String) {
        var facts = stat()
        guard stat(path, &facts) == 0 else { return nil }
        self = facts.st_mode & S_IFMT == S_IFDIR ? .folder : .other
    }
}
