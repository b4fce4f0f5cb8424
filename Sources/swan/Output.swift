import Glibc

/// Writing to the terminal without buffers that a crash would lose.
enum Output {
    /// Writes text to standard output; a closed pipe ends the program quietly, as for any filter.
    static func standardOutput(_ text: String) { write(text, to: STDOUT_FILENO) }

    /// Writes text to standard error.
    static func standardError(_ text: String) { write(text, to: STDERR_FILENO) }

    /// Whether standard error is a terminal that a line can be rewritten on.
    static var errorIsTerminal: Bool { isatty(STDERR_FILENO) == 1 }

    private static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                return
            }
            bytes = bytes.dropFirst(written)
        }
    }
}
