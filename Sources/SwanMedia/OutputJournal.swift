import FoundationEssentials
import Glibc
public import SwanDiagnostics

/// Told where a video is while it has no name yet, so that whoever goes on after a crash knows what to remove, and
/// what is whole already.
public protocol OutputJournal: AnyObject {
    /// The hidden file, or folder of files, of a video was made.
    ///
    /// - Throws: whatever keeps this from being noted; the video is not made then.
    func began(_ output: OutputPath, part: String) throws(SwanError)

    /// The hidden file or folder is whole and on the disk; it gets its name next.
    ///
    /// - Throws: whatever keeps this from being noted; the video is not kept then.
    func completed(_ output: OutputPath, part: String, _ identity: FileIdentity) throws(SwanError)

    /// The name was taken meanwhile: the whole video is kept under another, and is not what was asked for.
    ///
    /// - Throws: whatever keeps this from being noted.
    func keptElsewhere(_ output: OutputPath) throws(SwanError)
}

/// What stays the same of a file when it is renamed.
public struct FileIdentity: Sendable, Hashable, Codable {
    /// The file system.
    public var device: UInt64
    /// The file's number there.
    public var number: UInt64

    /// Takes over both numbers.
    public init(device: UInt64, number: UInt64) { (self.device, self.number) = (device, number) }

    /// Nil when nothing has this name. Links are not followed.
    init?(path: String) {
        var facts = stat()
        guard lstat(path, &facts) == 0 else { return nil }
        self.init(device: UInt64(facts.st_dev), number: UInt64(facts.st_ino))
    }
}

/// A video whose process has ended before it could say how far it came.
public struct InterruptedOutput: Sendable, Hashable {
    /// Where the video was to go.
    public var path: String
    /// The hidden file or folder.
    public var part: String
    /// What is known of the hidden file if it is whole.
    public var completed: FileIdentity?

    /// Takes over what a journal was told.
    public init(path: String, part: String, completed: FileIdentity?) {
        (self.path, self.part, self.completed) = (path, part, completed)
    }

    /// Gives a whole video its name, if it has not got it, and removes one that is not whole.
    ///
    /// - Returns: whether the video is there under its name.
    /// - Throws: `media.output-invalid` for a path that names no format, `media.write-failed`.
    public func settle() throws(SwanError) -> Bool {
        let format = try OutputFormat(path: path)
        let (folder, _) = OutputPath.split(path)
        guard let completed else {
            try? FileManager.default.removeItem(atPath: part)
            return false
        }
        let name = format == .png ? folder : path
        if FileIdentity(path: name) == completed { return true }
        // Gone, and the name is another file's, or nobody's. Frames that moved into a folder which was there leave no
        // trace of the hidden one; behind that note it goes by being emptied and in no other way.
        guard FileIdentity(path: part) == completed else { return format == .png && FileKind(path: name) == .folder }
        if format == .png, FileKind(path: folder) == .folder {
            for file in ((try? FileManager.default.contentsOfDirectory(atPath: part)) ?? []).sorted() {
                try move("\(part)/\(file)", to: "\(folder)/\(file)")
            }
            // Empty now, unless the folder is one that the video was to become: then nothing was in it either.
            rmdir(part)
        } else {
            try move(part, to: name)
        }
        return true
    }

    /// Renames a file to a name that nothing has, or that was taken by making an empty file of it.
    private func move(_ from: String, to path: String) throws(SwanError) {
        var facts = stat()
        if lstat(path, &facts) == 0, facts.st_size > 0 || facts.st_mode & S_IFMT != S_IFREG {
            throw SwanError(
                .outputExists, "'\(path.printable())' came into being while the video was made; it is not overwritten.",
                advice: "The video is complete, and kept as '\(from.printable())'.")
        }
        guard rename(from, path) == 0 else { throw PartialOutput.failure(path, errno) }
    }
}

/// Brings a file, or a folder and the files in it, to the disk.
///
/// - Returns: the error number where that failed.
func synchronize(_ path: String) -> Int32? {
    if FileKind(path: path) == .folder {
        for name in (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? [] {
            if let number = synchronize("\(path)/\(name)") { return number }
        }
    }
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { return errno }
    defer { close(file) }
    return fsync(file) == 0 ? nil : errno
}
