public import SwanDiagnostics
import Synchronization

/// A wish to stop, set from anywhere and looked at between the pieces of work.
public final class Cancellation: Sendable {
    private let requested = Atomic<Bool>(false)

    /// Nobody wants to stop yet.
    public init() {}

    /// Asks for a stop. Safe inside a signal handler.
    ///
    /// - Returns: whether a stop had been asked for before.
    @discardableResult
    public func cancel() -> Bool { requested.exchange(true, ordering: .relaxed) }

    /// Whether a stop was asked for.
    public var isCancelled: Bool { requested.load(ordering: .relaxed) }

    /// - Throws: `cancelled` once a stop was asked for.
    public func check() throws(SwanError) {
        if requested.load(ordering: .relaxed) {
            throw SwanError(.cancelled, "Stopped on request.", advice: "")
        }
    }
}
