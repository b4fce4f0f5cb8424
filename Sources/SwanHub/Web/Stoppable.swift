import SwanDiagnostics

/// Runs something that waits for the network, and ends it soon after somebody wants to stop.
///
/// - Parameter isCancelled: asked several times a second.
/// - Throws: what `body` throws; `cancelled`.
func stoppable<T: Sendable>(
    _ isCancelled: @escaping @Sendable () -> Bool, _ body: @Sendable () async throws(SwanError) -> T
) async throws(SwanError) -> T {
    do {
        return try await withoutActuallyEscaping(body) { body in
            try await withThrowingTaskGroup(of: T?.self) { group in
                group.addTask { try await body() }
                group.addTask {
                    while !isCancelled() { try await Task.sleep(for: .milliseconds(100)) }
                    return nil
                }
                // Whichever comes first ends the other; what the work says when it is ended is what counts.
                while let value = try await group.next() {
                    group.cancelAll()
                    if let value { return value }
                }
                throw CancellationError()
            }
        }
    } catch let error as SwanError where !isCancelled() || error.code == .cancelled {
        throw error
    } catch {
        throw SwanError(.cancelled, "Stopped on request.", advice: "The same command begins again.")
    }
}
