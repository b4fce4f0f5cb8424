import CSwanCUDA
import SwanDiagnostics
import SwanTensor

/// Memory on the device, owned: freed, in the stream's order, when the value ends.
struct DeviceBuffer: ~Copyable {
    let address: UInt64
    let byteCount: Int
    private let stream: Stream  // kept alive: the free is enqueued on it

    init(bytes: Int, on stream: Stream) throws(SwanError) {
        self.stream = stream
        byteCount = bytes
        let driver = stream.device.driver
        var address: UInt64 = 0
        // A buffer of no bytes has an address too: nobody then has to ask.
        let size = max(bytes, 1)
        let result =
            stream.device.facts.hasMemoryPools
            ? driver.table.cuMemAllocAsync(&address, size, stream.handle) : driver.table.cuMemAlloc_v2(&address, size)
        do {
            try driver.check(result, "cuMemAllocAsync")
        } catch {
            throw SwanError(
                error.code, "\(formatted(bytes: bytes)) of GPU memory are missing.", advice: error.advice, cause: error)
        }
        self.address = address
        stream.counts.allocations += 1
        stream.counts.currentBytes += bytes
        stream.counts.peakBytes = max(stream.counts.peakBytes, stream.counts.currentBytes)
    }

    deinit {
        // A failing free has nobody to throw to; the next call on the stream reports it.
        let table = stream.device.driver.table
        stream.counts.currentBytes -= byteCount
        if stream.device.facts.hasMemoryPools {
            _ = table.cuMemFreeAsync(address, stream.handle)
        } else {
            _ = table.cuMemFree_v2(address)
        }
    }
}

/// A tensor's memory on the device.
final class DeviceStorage: TensorStorage {
    let buffer: DeviceBuffer
    /// The stream that everything in this memory is enqueued on.
    unowned let stream: Stream

    init(bytes: Int, on stream: Stream) throws(SwanError) {
        self.stream = stream
        buffer = try DeviceBuffer(bytes: bytes, on: stream)
        super.init(byteCount: bytes)
    }
}

/// Pinned host memory, which the device reads by itself.
struct PinnedBuffer: ~Copyable {
    let bytes: UnsafeMutableRawBufferPointer
    private let device: Device

    init(bytes count: Int, on device: Device) throws(SwanError) {
        self.device = device
        var address: UnsafeMutableRawPointer?
        try device.driver.check(
            device.driver.table.cuMemHostAlloc(&address, max(count, 1), 0), "cuMemHostAlloc")
        bytes = UnsafeMutableRawBufferPointer(start: address, count: count)
    }

    deinit { _ = device.driver.table.cuMemFreeHost(bytes.baseAddress) }
}
