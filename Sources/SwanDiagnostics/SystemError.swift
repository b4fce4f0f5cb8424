import Glibc

/// A system call that failed, as the `cause` of an error that says what it was for.
public struct SystemError: Error, Sendable, CustomStringConvertible {
    /// The call's name; nil where the error says enough.
    public let call: String?
    /// The value of `errno` after it.
    public let number: Int32

    /// Notes a call that has just failed on this thread.
    public init(_ call: String) {
        self.call = call
        number = errno
    }

    /// Notes the error number of a call that has failed.
    public init(number: Int32) {
        call = nil
        self.number = number
    }

    /// What the system says of the number.
    public var text: String {
        // strerror_r rather than strerror: the latter's buffer is shared by all threads.
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(number, &buffer, buffer.count) == 0 else { return "error \(number)" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The value as text.
    public var description: String { call.map { "\($0): \(text)" } ?? text }
}
