import Glibc
import SwanDiagnostics

/// An exclusive `flock` on a file, released when the value ends or the process dies: what the hub's own tools use.
final class FileLock: Sendable {
    private let descriptor: Int32

    /// Takes the lock.
    ///
    /// - Returns: nil when somebody else has it.
    /// - Throws: `hub.cache-unwritable`.
    init?(_ path: String) throws(SwanError) {
        try FileSystem.makeFolder(above: path)
        while true {
            let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o664)
            guard descriptor >= 0 else { throw FileSystem.error("open", path) }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                let number = errno
                close(descriptor)
                if number == EWOULDBLOCK { return nil }
                if number == EINTR { continue }
                errno = number
                throw FileSystem.error("flock", path)
            }
            // Whoever had it may have removed the file, and a third may have made it anew.
            var (mine, there) = (stat(), stat())
            if fstat(descriptor, &mine) == 0, stat(path, &there) == 0, mine.st_ino == there.st_ino {
                self.descriptor = descriptor
                return
            }
            close(descriptor)
        }
    }

    deinit { close(descriptor) }
}
