import Glibc
import SwanMedia
import SwanPipeline

/// Ctrl-C and polite kills: the first asks for a stop between two pieces of work, the second ends the
/// program at once.
enum Interrupts {
    /// Set by the handler, read by the run. A constant object, whose flag is atomic.
    static let cancellation = Cancellation()

    /// Installs the handlers. A closed pipe and a file that may not grow show as failed writes instead of
    /// signals.
    static func install() {
        // Made before a handler can run: making them is not safe inside one.
        _ = cancellation
        UnfinishedOutput.prepare()
        for number in [SIGINT, SIGTERM, SIGHUP] where !isIgnored(number) {
            signal(number) { _ in
                guard Interrupts.cancellation.cancel() else { return }
                UnfinishedOutput.discard()
                _exit(130)
            }
        }
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
    }

    /// Whether whoever started the program wants it to outlive a signal: `nohup`, or a job in the background
    /// of a script.
    private static func isIgnored(_ number: Int32) -> Bool {
        var action = sigaction()
        guard sigaction(number, nil, &action) == 0 else { return false }
        return unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self)
            == unsafeBitCast(SIG_IGN, to: Int.self)
    }
}
