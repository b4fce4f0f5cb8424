import FoundationEssentials
import Glibc
public import SwanDiagnostics

/// Where a video goes: a path that has been checked.
public struct OutputPath: Sendable {
    /// The path as it was given.
    public let path: String
    /// The format that its extension names.
    public let format: OutputFormat

    /// The folder of the file; "." for a bare name.
    var folder: String { Self.split(path).folder }
    /// The file's name, or the pattern of several.
    var name: String { Self.split(path).name }

    private init(path: String, format: OutputFormat) {
        self.path = path
        self.format = format
    }

    /// Checks everything that can be checked before a video is made: a known extension, a folder that
    /// can be written to (by making a file there and removing it), no file of that name, the ffmpeg
    /// program and its encoder where the format needs them, and room on the disk.
    ///
    /// The folder of a PNG sequence need not exist, as long as its own folder does.
    ///
    /// - Parameters:
    ///   - path: as the user wrote it; see ``OutputFormat``.
    ///   - width: of a frame, in pixels.
    ///   - height: of a frame, in pixels.
    ///   - frames: how many there will be; for the room on the disk, 0 to leave that out.
    ///   - checksEncoder: whether the program and its encoder are looked for, which takes a tenth of a second.
    ///   - tools: where the programs are.
    /// - Throws: `media.output-invalid`, `media.folder-missing`, `media.folder-unwritable`, `media.output-exists`,
    ///   `media.encoder-missing`, `media.disk-room`.
    public static func check(
        _ path: String, width: Int, height: Int, frames: Int = 0, checksEncoder: Bool = true,
        tools: MediaTools = .installed
    ) throws(SwanError) -> OutputPath {
        let output = OutputPath(path: path, format: try OutputFormat(path: path))
        let shown = path.printable()
        guard (1 ... 16384).contains(width), (1 ... 16384).contains(height), frames >= 0 else {
            throw SwanError(
                .outputInvalid, "\(frames) frames of \(width)x\(height) cannot be written to '\(shown)'.",
                advice: "Both sides have 1 to 16384 pixels.")
        }
        if output.format == .mp4, width % 2 != 0 || height % 2 != 0 {
            throw SwanError(
                .outputInvalid, "\(width)x\(height) cannot be written as .mp4, whose sides are even.",
                advice: "Choose an even size, or write .webm, .y4m or a PNG sequence.")
        }

        var folder = output.folder
        if FileKind(path: folder) == nil, output.format == .png { folder = split(folder).folder }
        try checkIsFolder(folder, of: path)
        try output.checkIsNew()
        try checkIsWritable(folder, of: path)

        if checksEncoder { try tools.checkEncoder(of: output.format) }
        try checkRoom(output.format.bytes(width: width, height: height, frames: frames), in: folder, of: path)
        return output
    }

    private static func checkRoom(_ needed: Int, in folder: String, of path: String) throws(SwanError) {
        guard let free = freeBytes(at: folder), free < needed else { return }
        throw SwanError(
            .diskRoom,
            "The output '\(path.printable())' may take \(formatted(bytes: needed)), and \(formatted(bytes: free)) are free.",
            advice: "Free some room, choose another disk, or make fewer or smaller frames.")
    }

    /// Checks that a file which is no video can be made: its folder can be written to and has room, and nothing
    /// has its name.
    ///
    /// - Parameters:
    ///   - path: where it will be.
    ///   - bytes: how large it will be.
    /// - Throws: `media.folder-missing`, `media.folder-unwritable`, `media.output-exists`, `media.disk-room`.
    public static func checkFile(_ path: String, bytes: Int) throws(SwanError) {
        let folder = split(path).folder
        try checkIsFolder(folder, of: path)
        if isTaken(path) { throw exists(path) }
        try checkIsWritable(folder, of: path)
        try checkRoom(bytes, in: folder, of: path)
    }

    private static func checkIsFolder(_ folder: String, of path: String) throws(SwanError) {
        guard FileKind(path: folder) == .folder else {
            throw SwanError(
                .folderMissing,
                "The folder '\(folder.printable())' of the output '\(path.printable())' does not exist.",
                advice: "Make it, or choose another output.")
        }
    }

    /// Makes a file in a folder and removes it.
    private static func checkIsWritable(_ folder: String, of path: String) throws(SwanError) {
        let probe = "\(folder)/\(temporaryName(suffix: ".tmp"))"
        let file = open(probe, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw SwanError(
                .folderUnwritable,
                "The folder '\(folder.printable())' of the output '\(path.printable())' cannot be written to.",
                advice: "Choose an output in a folder of yours.", cause: SystemError(number: errno))
        }
        close(file)
        unlink(probe)
    }

    private static func exists(_ path: String) -> SwanError {
        SwanError(
            .outputExists, "'\(path.printable())' exists already, and is not overwritten.",
            advice: "Choose another output, or move the file away.")
    }

    /// Checks that nothing would be overwritten.
    private func checkIsNew() throws(SwanError) {
        var taken: String?
        if format == .png, let pattern = NumberPattern(name) {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            taken = names.filter(pattern.matches).min().map { "\(folder)/\($0)" }
        } else if isTaken(path) {
            taken = path
        }
        if let taken { throw Self.exists(taken) }
    }

    /// The path's last part and what is before it.
    static func split(_ path: String) -> (folder: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        return (slash == path.startIndex ? "/" : String(path[..<slash]), String(path[path.index(after: slash)...]))
    }
}

/// Whether something has this name, be it a link to nowhere.
func isTaken(_ path: String) -> Bool {
    var facts = stat()
    return lstat(path, &facts) == 0
}

/// A name for a file that is not finished yet.
func temporaryName(suffix: String) -> String {
    ".swan-\(String(UInt64.random(in: 0x1000_0000_0000_0000 ... .max), radix: 16))\(suffix)"
}

/// The bytes that may be written on the disk of a folder.
func freeBytes(at folder: String) -> Int? {
    var facts = statvfs()
    guard statvfs(folder, &facts) == 0 else { return nil }
    let (bytes, overflow) = UInt64(facts.f_bavail).multipliedReportingOverflow(by: UInt64(facts.f_frsize))
    return overflow ? nil : Int(exactly: bytes)
}
