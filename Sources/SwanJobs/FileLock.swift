import Glibc
public import SwanDiagnostics

/// A lock that a process holds as long as it lives, however it ends.
///
/// It belongs to the open file, so that a process which inherits the descriptor holds it as well, and it can be asked
/// about without being taken (`F_OFD_GETLK`), so that nobody who looks gets into the way of somebody who takes it.
public final class FileLock {
    /// The open file; to be handed to a process that is started.
    public let descriptor: Int32

    /// Takes a lock, and makes its file where there is none.
    ///
    /// - Returns: nil when another process holds it.
    /// - Throws: `jobs.store-unavailable` when the file cannot be made, or has no locks: some network file systems.
    public init?(path: String) throws(SwanError) {
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else {
            throw SwanError(
                .storeUnavailable, "The lock \(path.printable(limit: 1024)) cannot be made.",
                advice: "Check that its folder may be written to and has room.", cause: SystemError(number: errno))
        }
        var range = Self.wholeFile
        guard fcntl(file, Self.setLock, &range) == 0 else {
            let number = errno
            close(file)
            if number == EAGAIN || number == EACCES { return nil }
            throw SwanError(
                .storeUnavailable, "The lock \(path.printable(limit: 1024)) cannot be taken.",
                advice: "Name a folder on a local disk with XDG_STATE_HOME.", cause: SystemError(number: number))
        }
        descriptor = file
        // Of whoever held it last.
        _ = ftruncate(file, 0)
    }

    /// Takes over a lock that this process was started with.
    ///
    /// - Returns: nil when the descriptor is not that file.
    public init?(inherited descriptor: Int32, path: String) {
        var (open, file) = (stat(), stat())
        guard fstat(descriptor, &open) == 0, stat(path, &file) == 0, open.st_dev == file.st_dev,
            open.st_ino == file.st_ino
        else { return nil }
        // What this process starts shall not hold it.
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        self.descriptor = descriptor
    }

    /// Notes this process in the file, as the one that can be told something.
    public func noteHolder() {
        let text = Array("\(getpid())\n".utf8)
        _ = pwrite(descriptor, text, text.count, 0)
        _ = ftruncate(descriptor, text.count)
    }

    /// The process that holds a lock; nil where none does, or none has noted itself.
    static func holder(_ path: String) -> pid_t? {
        guard isHeld(path), let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 32)
        let count = fread(&bytes, 1, bytes.count, file)
        let number = pid_t(String(decoding: bytes.prefix(count), as: UTF8.self).prefix { $0.isNumber })
        return number.flatMap { $0 > 1 ? $0 : nil }
    }

    deinit { close(descriptor) }

    /// Whether a process holds a lock. Where that cannot be found out, it does: nothing is begun a second time then.
    public static func isHeld(_ path: String) -> Bool {
        let file = open(path, O_RDWR | O_CLOEXEC)
        guard file >= 0 else { return errno != ENOENT && errno != ENOTDIR }
        defer { close(file) }
        var range = wholeFile
        guard fcntl(file, getLock, &range) == 0 else { return true }
        return range.l_type != Int16(F_UNLCK)
    }

    /// Linux: fcntl(2), "Open file description locks"; GNU's extensions are not among what Swift imports.
    private static let setLock: Int32 = 37  // F_OFD_SETLK
    private static let getLock: Int32 = 36  // F_OFD_GETLK

    private static var wholeFile: flock {
        var range = flock()
        range.l_type = Int16(F_WRLCK)
        range.l_whence = Int16(SEEK_SET)
        return range
    }
}
