import SwanDiagnostics
import SwanTensor
import Testing

/// Expects `body` to throw `tensor.shape-mismatch` with exactly this message.
func expectMismatch(
    _ message: String, sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> Void
) {
    do {
        try body()
        Issue.record("nothing was thrown, expected: \(message)", sourceLocation: sourceLocation)
    } catch let error as SwanError {
        #expect(error.code == .shapeMismatch, sourceLocation: sourceLocation)
        #expect(error.message == message, sourceLocation: sourceLocation)
    } catch {
        Issue.record(error, sourceLocation: sourceLocation)
    }
}
