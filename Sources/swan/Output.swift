import Glibc

/// Writing to the terminal without buffers that a crash would lose.
enum Output {
    /// Puts nothing in place of standard streams that are closed: the next file that is opened would get
    /// their number, and with it what is printed.
    static func fillClosedStreams() {
        for descriptor in STDIN_FILENO ... STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            _ = open("/dev/null", O_RDWR)
        }
    }

    /// Writes text to standard output.
    ///
    /// - Returns: the error number when that failed: a closed pipe, a full disk.
    @discardableResult
    static func standardOutput(_ text: String) -> Int32? { write(text, to: STDOUT_FILENO) }

    /// Writes text to standard error. There is nobody to tell when that fails.
    static func standardError(_ text: String) { _ = write(text, to: STDERR_FILENO) }

    /// The columns of the terminal that standard error is; nil when it is none, and a line cannot be
    /// rewritten.
    static var terminalWidth: Int? {
        guard isatty(STDERR_FILENO) == 1 else { return nil }
        var size = winsize()
        let isKnown = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
        return isKnown ? Int(size.ws_col) : 80
    }

    private static func write(_ text: String, to descriptor: Int32) -> Int32? {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let written = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0 {
                if errno == EINTR { continue }
                return errno
            }
            bytes = bytes.dropFirst(written)
        }
        return nil
    }
}
