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

/// What a device was asked for: the same on every run of the same work, but for the first, in which libraries are tried.
public struct WorkCounts: Sendable, Hashable, Codable {
    /// Kernels of the engine's own, and calls of the device's libraries.
    public var kernels, libraryCalls: Int
    /// Times that memory, the device's or pinned, was asked of the driver, and that the host waited for the device.
    public var allocations, waits: Int

    /// Counts by name.
    public init(kernels: Int, libraryCalls: Int, allocations: Int, waits: Int) {
        (self.kernels, self.libraryCalls) = (kernels, libraryCalls)
        (self.allocations, self.waits) = (allocations, waits)
    }

    /// What was asked for between two counts.
    public static func - (after: Self, before: Self) -> Self {
        Self(
            kernels: after.kernels - before.kernels, libraryCalls: after.libraryCalls - before.libraryCalls,
            allocations: after.allocations - before.allocations, waits: after.waits - before.waits)
    }

    enum CodingKeys: String, CodingKey {
        case kernels, libraryCalls = "library_calls", allocations, waits
    }
}

/// A device that counts what it is asked for.
public protocol WorkMeter: AnyObject {
    /// Since the device was opened.
    var workCounts: WorkCounts { get }
}
