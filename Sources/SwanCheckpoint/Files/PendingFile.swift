import Glibc
import SwanDiagnostics

/// A file that is written in any order under a private name beside its own, and gets its name when it is whole: nobody
/// sees it half-written.
final class PendingFile {
    private let path: String
    private let temporary: String
    private let isReplacing: Bool
    /// -1 while the file is closed.
    private var descriptor: Int32
    /// Whether the private file is there.
    private var isPending = true

    /// Makes the private file.
    ///
    /// - Parameter isReplacing: whether what has the name by the end is replaced, at once; else it is kept, and this
    ///   file is not.
    /// - Throws: `checkpoint.unwritable`.
    init(path: String, isReplacing: Bool) throws(SwanError) {
        (self.path, self.isReplacing) = (path, isReplacing)
        temporary = path + ".\(getpid())-\(UInt32.random(in: 0 ... .max)).tmp"
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            isPending = false
            throw Self.fault(path, "open")
        }
    }

    deinit { abandon() }

    /// Removes the private file, unless it has its name already.
    func abandon() {
        suspend()
        if isPending { unlink(temporary) }
        isPending = false
    }

    /// Gives the descriptor back until more is written: a process has few of them.
    func suspend() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }

    private func resume() throws(SwanError) {
        guard descriptor < 0 else { return }
        guard isPending else { throw SwanError(.fault, "\(path.printable()) is finished, and more was to be written.") }
        descriptor = open(temporary, O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.fault(path, "open") }
    }

    private static func fault(_ path: String, _ call: String) -> SwanError {
        let cause = SystemError(call)
        return SwanError(
            .unwritable, "\(path.printable(limit: 1024)) cannot be written.",
            advice: "Check that the folder exists, may be written to and has room.", cause: cause)
    }

    /// The error for a name that something else got while this was written.
    static func taken(_ path: String) -> SwanError {
        SwanError(
            .unwritable,
            "\(path.printable(limit: 1024)) came into being while it was written, and is not overwritten.",
            advice: "Choose another name, or move away what is there.")
    }

    /// Writes bytes at a place.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SwanError) {
        try resume()
        var (rest, place) = (bytes[...], offset)
        while !rest.isEmpty {
            let count = pwrite(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count, place)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Self.fault(path, "write") }
            rest = rest.dropFirst(count)
            place += count
        }
    }

    /// Makes the file last and gives it its name.
    ///
    /// - Parameter size: its bytes; what was not written is zero.
    /// - Throws: `checkpoint.unwritable`, also for a name that is taken and not to be replaced.
    func finish(size: Int) throws(SwanError) {
        try resume()
        guard ftruncate(descriptor, size) == 0 else { throw Self.fault(path, "ftruncate") }
        guard fsync(descriptor) == 0 else { throw Self.fault(path, "fsync") }
        if !isReplacing {
            // The name is made ours first, and what makes it so is then replaced: unlike a rename that refuses to
            // overwrite, every file system has that.
            let claim = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            guard claim >= 0 else { throw errno == EEXIST ? Self.taken(path) : Self.fault(path, "open") }
            close(claim)
        }
        guard rename(temporary, path) == 0 else {
            let fault = Self.fault(path, "rename")
            if !isReplacing { unlink(path) }
            throw fault
        }
        isPending = false
        suspend()
    }
}
