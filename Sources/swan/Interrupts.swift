import Glibc
import SwanPipeline

/// Ctrl-C and polite kills: the first asks for a stop between two pieces of work, the second ends the
/// program at once.
enum Interrupts {
    /// Set by the handler, read by the run. A constant object, whose flag is atomic.
    static let cancellation = Cancellation()

    /// Installs the handlers. A closed pipe shows as a failed write instead of a signal.
    static func install() {
        _ = cancellation  // made before a handler can run: making it is not safe inside one
        for number in [SIGINT, SIGTERM, SIGHUP] {
            signal(number) { _ in
                if Interrupts.cancellation.cancel() { _exit(130) }
            }
        }
        signal(SIGPIPE, SIG_IGN)
    }
}
