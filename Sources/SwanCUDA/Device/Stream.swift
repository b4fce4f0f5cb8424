import CSwanCUDA
import SwanDiagnostics

/// One ordered queue of a device.
final class Stream {
    let device: Device
    let handle: OpaquePointer?
    /// What was enqueued so far.
    var counts = DeviceCounts()

    /// - Parameter isUrgent: whether blocks of its kernels go before those of others that wait for a multiprocessor.
    init(_ device: Device, isUrgent: Bool = false) throws(SwanError) {
        self.device = device
        let driver = device.driver
        // The least is that of streams that ask for none; the greatest is a smaller number.
        var (least, greatest): (Int32, Int32) = (0, 0)
        try driver.check(
            driver.table.cuCtxGetStreamPriorityRange(&least, &greatest), "cuCtxGetStreamPriorityRange")
        var handle: OpaquePointer?
        try driver.check(
            driver.table.cuStreamCreateWithPriority(
                &handle, UInt32(SWAN_CU_STREAM_NON_BLOCKING), isUrgent ? greatest : least),
            "cuStreamCreateWithPriority")
        self.handle = handle
    }

    deinit { _ = device.driver.table.cuStreamDestroy_v2(handle) }

    /// Waits for everything that was enqueued.
    func synchronize() throws(SwanError) {
        counts.synchronizations += 1
        try device.driver.check(device.driver.table.cuStreamSynchronize(handle), "cuStreamSynchronize")
    }

    /// Lets what is enqueued from now on wait for an event of another stream.
    func wait(for event: borrowing Event) throws(SwanError) {
        try device.driver.check(device.driver.table.cuStreamWaitEvent(handle, event.handle, 0), "cuStreamWaitEvent")
    }

    /// Enqueues a copy from pinned host memory, which must stay as it is until the copy has passed.
    func copy(_ source: UnsafeRawBufferPointer, to target: UInt64) throws(SwanError) {
        guard !source.isEmpty else { return }
        try device.driver.check(
            device.driver.table.cuMemcpyHtoDAsync_v2(target, source.baseAddress, source.count, handle),
            "cuMemcpyHtoDAsync")
    }

    /// Enqueues a copy to host memory.
    func copy(_ source: UInt64, to target: UnsafeMutableRawBufferPointer) throws(SwanError) {
        guard !target.isEmpty else { return }
        try device.driver.check(
            device.driver.table.cuMemcpyDtoHAsync_v2(target.baseAddress, source, target.count, handle),
            "cuMemcpyDtoHAsync")
    }

    /// Enqueues a copy on the device.
    func copy(_ source: UInt64, to target: UInt64, bytes: Int) throws(SwanError) {
        guard bytes > 0 else { return }
        try device.driver.check(
            device.driver.table.cuMemcpyDtoDAsync_v2(target, source, bytes, handle), "cuMemcpyDtoDAsync")
    }

    /// Enqueues zeros.
    func clear(_ target: UInt64, bytes: Int) throws(SwanError) {
        guard bytes > 0 else { return }
        try device.driver.check(device.driver.table.cuMemsetD8Async(target, 0, bytes, handle), "cuMemsetD8Async")
    }
}

/// What a stream was asked to do: the same on every run of the same work.
public struct DeviceCounts: Sendable, Hashable, Codable {
    /// Kernels of Swan's own.
    public var launches = 0
    /// Calls of cuBLASLt and cuDNN.
    public var libraryCalls = 0
    /// Copies between host and device or on the device.
    public var copies = 0
    /// Times that memory was taken from the arena.
    public var allocations = 0
    /// Times that memory was asked of the driver.
    public var driverAllocations = 0
    /// Times that pinned host memory was asked of the driver.
    public var pinnedAllocations = 0
    /// Bytes of pinned host memory in use.
    public var pinnedBytes = 0
    /// The largest ``pinnedBytes`` so far.
    public var peakPinnedBytes = 0

    /// Notes that pinned memory was taken, or, below zero, given back.
    mutating func pin(_ bytes: Int) {
        pinnedBytes += bytes
        peakPinnedBytes = max(peakPinnedBytes, pinnedBytes)
    }
    /// Times that the host waited for the device.
    public var synchronizations = 0
    /// Bytes of the arena in use.
    public var currentBytes = 0
    /// The largest ``currentBytes`` so far.
    public var peakBytes = 0
}

/// A point in a stream.
struct Event: ~Copyable {
    let handle: OpaquePointer?
    private let device: Device

    init(_ device: Device, isTimed: Bool = false) throws(SwanError) {
        self.device = device
        var handle: OpaquePointer?
        let flags = isTimed ? SWAN_CU_EVENT_DEFAULT : SWAN_CU_EVENT_DISABLE_TIMING
        try device.driver.check(device.driver.table.cuEventCreate(&handle, UInt32(flags)), "cuEventCreate")
        self.handle = handle
    }

    deinit { _ = device.driver.table.cuEventDestroy_v2(handle) }

    /// Marks the end of what was enqueued so far.
    func record(on stream: Stream) throws(SwanError) {
        try device.driver.check(device.driver.table.cuEventRecord(handle, stream.handle), "cuEventRecord")
    }

    /// Waits until the stream has come here.
    func synchronize() throws(SwanError) {
        try device.driver.check(device.driver.table.cuEventSynchronize(handle), "cuEventSynchronize")
    }

    /// Whether the stream has come here.
    func hasPassed() throws(SwanError) -> Bool {
        let result = device.driver.table.cuEventQuery(handle)
        guard result != SWAN_CUDA_ERROR_NOT_READY else { return false }
        try device.driver.check(result, "cuEventQuery")
        return true
    }

    /// Seconds between two timed events that have passed.
    func seconds(since start: borrowing Event) throws(SwanError) -> Double {
        var milliseconds: Float = 0
        try device.driver.check(
            device.driver.table.cuEventElapsedTime(&milliseconds, start.handle, handle), "cuEventElapsedTime")
        return Double(milliseconds) / 1000
    }
}
