import Glibc
import Synchronization

/// The encoder that runs and the file that is being written, for a program that has to end at once.
///
/// A signal handler may neither allocate nor wait, so it cannot ask the sink. Of several videos that are
/// written at once, the latest is known; the folder of a PNG sequence is not.
public enum UnfinishedOutput {
    /// The encoder's process; 0 for none.
    private static let encoder = Atomic<Int32>(0)
    /// The address of the file's path; 0 for none.
    private static let file = Atomic<UInt>(0)

    /// Makes ``discard()`` safe inside a signal handler.
    public static func prepare() { _ = (encoder.load(ordering: .relaxed), file.load(ordering: .relaxed)) }

    /// Ends the encoder and removes the file. Safe inside a signal handler, after ``prepare()``.
    public static func discard() {
        let process = encoder.load(ordering: .relaxed)
        if process > 0 { kill(-process, SIGKILL) }
        if let path = UnsafePointer<CChar>(bitPattern: file.load(ordering: .acquiring)) { unlink(path) }
    }

    static func began(process: pid_t) { encoder.store(process, ordering: .relaxed) }

    static func ended(process: pid_t) {
        _ = encoder.compareExchange(expected: process, desired: 0, ordering: .relaxed)
    }

    /// Notes a file.
    ///
    /// - Returns: what ``ended(file:)`` takes. The path's bytes stay for good: a handler may be reading them.
    static func began(file path: String) -> UInt {
        let address = UInt(bitPattern: strdup(path))
        file.store(address, ordering: .releasing)
        return address
    }

    static func ended(file address: UInt) {
        _ = file.compareExchange(expected: address, desired: 0, ordering: .relaxed)
    }
}
