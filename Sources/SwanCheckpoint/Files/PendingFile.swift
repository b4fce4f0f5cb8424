import Glibc
import SwanDiagnostics

/// A file that is written in any order under a private name beside its own, and gets its name when it is whole: nobody
/// sees it half-written, and what had the name before is replaced at once.
final class PendingFile {
    private let path: String
    private let temporary: String
    private var descriptor: Int32

    /// Makes the private file.
    ///
    /// - Throws: `checkpoint.unwritable`.
    init(path: String) throws(SwanError) {
        self.path = path
        temporary = path + ".\(getpid())-\(UInt32.random(in: 0 ... .max)).tmp"
        descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.fault(path, "open") }
    }

    deinit { abandon() }

    /// Removes the private file, unless it has its name already.
    func abandon() {
        guard descriptor >= 0 else { return }
        close(descriptor)
        descriptor = -1
        unlink(temporary)
    }

    private static func fault(_ path: String, _ call: String) -> SwanError {
        let cause = SystemError(call)
        return SwanError(
            .unwritable, "\(path.printable(limit: 1024)) cannot be written.",
            advice: "Check that the folder exists, may be written to and has room.", cause: cause)
    }

    /// Writes bytes at a place.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(SwanError) {
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
    func finish(size: Int) throws(SwanError) {
        guard ftruncate(descriptor, size) == 0 else { throw Self.fault(path, "ftruncate") }
        guard fsync(descriptor) == 0 else { throw Self.fault(path, "fsync") }
        guard rename(temporary, path) == 0 else { throw Self.fault(path, "rename") }
        close(descriptor)
        descriptor = -1
    }
}
