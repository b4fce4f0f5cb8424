public import SwanDiagnostics
public import SwanTensor

/// Times operations by events in their stream, which are read when all have passed.
final class DeviceClock: OperationClock {
    private final class Mark {
        let event: Event
        init(_ device: Device) throws(SwanError) { event = try Event(device, isTimed: true) }
    }

    private let stream: Stream
    /// A beginning and an end for each operation; used again by later ones.
    private var marks: [Mark] = []
    private var used = 0

    init(_ stream: Stream) { self.stream = stream }

    func begin() throws(SwanError) {
        used -= used % 2  // an operation that failed has no end
        try mark()
    }

    func end() throws(SwanError) { try mark() }

    private func mark() throws(SwanError) {
        if used == marks.count { marks.append(try Mark(stream.device)) }
        try marks[used].event.record(on: stream)
        used += 1
    }

    func collect() throws(SwanError) -> [Double] {
        used -= used % 2
        defer { used = 0 }
        guard used > 0 else { return [] }
        try marks[used - 1].event.synchronize()
        var seconds: [Double] = []
        for index in stride(from: 0, to: used, by: 2) {
            seconds.append(try marks[index + 1].event.seconds(since: marks[index].event))
        }
        return seconds
    }
}

/// What is rehearsed takes no time.
final class RehearsedClock: OperationClock {
    private var count = 0

    func begin() {}
    func end() { count += 1 }

    func collect() -> [Double] {
        defer { count = 0 }
        return Array(repeating: 0, count: count)
    }
}

extension CUDABackend: OperationTiming {
    /// See `OperationTiming.makeOperationClock()`.
    public func makeOperationClock() throws(SwanError) -> any OperationClock { executor.makeOperationClock() }
}

extension CUDABackend: MemoryMeter {
    /// See `MemoryMeter.peakBytes`.
    public var peakBytes: Int { counts.peakBytes }

    /// See `MemoryMeter.resetPeakBytes()`.
    public func resetPeakBytes() { executor.counts.peakBytes = executor.counts.currentBytes }
}

extension CUDABackend: WorkMeter {
    /// See `WorkMeter.workCounts`.
    public var workCounts: WorkCounts {
        WorkCounts(
            kernels: counts.launches, libraryCalls: counts.libraryCalls,
            allocations: counts.driverAllocations + counts.pinnedAllocations, waits: counts.synchronizations)
    }
}
