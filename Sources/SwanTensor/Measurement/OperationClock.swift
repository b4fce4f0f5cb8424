public import SwanDiagnostics

/// Times operations in the order in which they are asked for.
public protocol OperationClock: AnyObject {
    /// An operation is about to be asked for.
    func begin() throws(SwanError)

    /// It was asked for. One that failed is never ended, and not counted.
    func end() throws(SwanError)

    /// Waits for the operations and returns the seconds of each, from the first after the last call on.
    func collect() throws(SwanError) -> [Double]
}

/// A device that operations are enqueued on and that times them by itself, so that nothing waits between them.
public protocol OperationTiming {
    /// A clock of its operations.
    func makeOperationClock() throws(SwanError) -> any OperationClock
}

/// The clock on the wall, for devices whose operations are done when a call returns. Others are waited for.
final class WallClock: OperationClock {
    private let backend: any Backend
    private let clock = ContinuousClock()
    private var start: ContinuousClock.Instant
    private var seconds: [Double] = []

    init(_ backend: any Backend) {
        self.backend = backend
        start = clock.now
    }

    func begin() throws(SwanError) {
        try backend.synchronize()
        start = clock.now
    }

    func end() throws(SwanError) {
        try backend.synchronize()
        seconds.append((clock.now - start).inSeconds)
    }

    func collect() -> [Double] {
        defer { seconds = [] }
        return seconds
    }
}

/// A device that knows how much of its memory tensors take.
public protocol MemoryMeter: AnyObject {
    /// The most bytes of tensors and weights at a time, since the device was opened or ``resetPeakBytes()``.
    var peakBytes: Int { get }

    /// Forgets what was in use before.
    func resetPeakBytes()
}
