import FoundationEssentials
import Glibc
import SwanDiagnostics

/// A video on its way: a file, or a folder of numbered files, under a hidden name beside the place
/// where it will be. It gets its name when it is whole.
final class PartialOutput {
    /// The hidden file or folder.
    let part: String
    private let output: OutputPath
    private let journal: (any OutputJournal)?
    /// The folder that the hidden one becomes; nil if its files move into an existing folder.
    private let madeFolder: String?
    private var isOpen = true
    /// Under which a file is known to ``UnfinishedOutput``.
    private var note: UInt = 0

    /// Makes the hidden file or folder.
    ///
    /// - Throws: `media.write-failed`, what the journal throws.
    init(_ output: OutputPath, _ journal: (any OutputJournal)?) throws(SwanError) {
        self.output = output
        self.journal = journal
        if output.format == .png {
            let isNew = FileKind(path: output.folder) == nil
            madeFolder = isNew ? output.folder : nil
            part =
                (isNew ? OutputPath.split(output.folder).folder : output.folder) + "/" + temporaryName(suffix: ".part")
            guard mkdir(part, 0o777) == 0 else { throw Self.failure(output.path, errno) }
        } else {
            madeFolder = nil
            part = "\(output.folder)/\(temporaryName(suffix: ".part.\(output.format.rawValue)"))"
            let file = open(part, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o666)
            guard file >= 0 else { throw Self.failure(output.path, errno) }
            close(file)
            note = UnfinishedOutput.began(file: part)
        }
        do throws(SwanError) {
            try journal?.began(output, part: part)
        } catch {
            discard()
            throw error
        }
    }

    deinit { discard() }

    /// Removes what has been written.
    func discard() {
        guard isOpen else { return }
        isOpen = false
        try? FileManager.default.removeItem(atPath: part)
        UnfinishedOutput.ended(file: note)
    }

    /// Gives the whole output its name.
    ///
    /// - Throws: `media.output-exists` if the name was taken meanwhile: the output is then kept under
    ///   the next free one. `media.write-failed`, what the journal throws.
    func publish() throws(SwanError) {
        if let journal {
            do throws(SwanError) {
                if let number = synchronize(part) { throw Self.failure(output.path, number) }
                guard let identity = FileIdentity(path: part) else { throw Self.failure(output.path, errno) }
                try journal.completed(output, part: part, identity)
            } catch {
                discard()
                throw error
            }
        }
        isOpen = false
        defer { UnfinishedOutput.ended(file: note) }
        if output.format == .png {
            try publishFolder()
        } else if !claimFile(output.path) {
            throw try keptElsewhere { name in claimFile(name) }
        }
    }

    private func publishFolder() throws(SwanError) {
        if let madeFolder {
            if claimFolder(madeFolder) { return }
        } else {
            let names = ((try? FileManager.default.contentsOfDirectory(atPath: part)) ?? []).sorted()
            var moved: [String] = []
            for name in names {
                let from = "\(part)/\(name)"
                let to = "\(output.folder)/\(name)"
                if !claim(to, from: from) { break }
                moved.append(name)
            }
            if moved.count == names.count {
                rmdir(part)
                return
            }
            for name in moved { _ = rename("\(output.folder)/\(name)", "\(part)/\(name)") }
        }
        throw try keptElsewhere { name in claimFolder(name) }
    }

    /// Takes a name that nothing has. An exclusive creation first makes the name ours, and a rename then
    /// replaces that: this works on every file system, unlike a rename that refuses to overwrite.
    private func claim(_ path: String, from: String) -> Bool {
        let file = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o666)
        guard file >= 0 else { return false }
        close(file)
        if rename(from, path) == 0 { return true }
        unlink(path)
        return false
    }

    private func claimFile(_ path: String) -> Bool { claim(path, from: part) }

    private func claimFolder(_ path: String) -> Bool {
        guard mkdir(path, 0o777) == 0 else { return false }
        if rename(part, path) == 0 { return true }
        rmdir(path)
        return false
    }

    /// Keeps a finished output whose name was taken: `cat.mp4` becomes `cat-2.mp4`.
    ///
    /// - Parameter claim: takes a name if nothing has it.
    /// - Returns: the error that says so.
    private func keptElsewhere(_ claim: (String) -> Bool) throws(SwanError) -> SwanError {
        let path = output.format == .png ? output.folder : output.path
        let dot = output.format == .png ? path.endIndex : path.lastIndex(of: ".") ?? path.endIndex
        let names = (2 ... 999).lazy.map { "\(path[..<dot])-\($0)\(path[dot...])" }
        guard let kept = names.first(where: claim) else { throw abandon(errno) }
        try journal?.keptElsewhere(output)
        return SwanError(
            .outputExists,
            "'\(output.path.printable())' came into being while the video was made; it is not overwritten.",
            advice: "The video is complete, and kept as '\(kept.printable())'.")
    }

    private func abandon(_ number: Int32) -> SwanError {
        isOpen = true
        discard()
        return Self.failure(output.path, number)
    }

    /// The error for a system call that failed on the output.
    static func failure(_ path: String, _ number: Int32, needing bytes: Int? = nil) -> SwanError {
        var message = "Writing '\(path.printable())' failed"
        if let bytes, let free = freeBytes(at: OutputPath.split(path).folder) {
            message += ": \(formatted(bytes: bytes)) more were needed, and the disk has \(formatted(bytes: free)) free"
        }
        return SwanError(
            .writeFailed, message + ".", advice: "Free some room, or choose an output on another disk.",
            cause: SystemError(number: number))
    }
}
