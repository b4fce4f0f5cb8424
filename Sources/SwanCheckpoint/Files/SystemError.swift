import Glibc

/// A system call that failed, as the `cause` of an error that says what it was for.
struct SystemError: Error, Sendable, CustomStringConvertible {
    /// The call's name.
    let call: String
    /// The value of `errno` after it.
    let number: Int32

    /// Notes a call that has just failed on this thread.
    init(_ call: String) {
        self.call = call
        number = errno
    }

    var description: String {
        // strerror_r rather than strerror: the latter's buffer is shared by all threads.
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(number, &buffer, buffer.count) == 0 else { return "\(call): error \(number)" }
        let text = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return "\(call): \(String(decoding: text, as: UTF8.self))"
    }
}
