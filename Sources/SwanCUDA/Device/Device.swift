import CSwanCUDA
package import SwanDiagnostics
import SwanTensor

/// The version of the instructions that a GPU understands.
public struct ComputeCapability: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// The generation, and the chip within it.
    public var major, minor: Int

    /// Names a version: 9 and 0 for Hopper.
    public init(_ major: Int, _ minor: Int) { (self.major, self.minor) = (major, minor) }

    /// The older before the newer.
    public static func < (a: Self, b: Self) -> Bool { (a.major, a.minor) < (b.major, b.minor) }

    /// The compiler's name. From 9.0 on the instructions that only this chip has are asked for as well, so
    /// that the code runs on no other.
    public var architecture: String { "sm_\(major)\(minor)" + (major >= 9 ? "a" : "") }

    /// The compiler's name for text that the driver translates for this or any later version.
    var portableArchitecture: String { "compute_\(major)\(minor)" }

    /// Bytes of shared memory that one block may ask for: 163 KB on A100, 99 KB on the others of its generation.
    ///
    /// Source: CUDA C++ Programming Guide, "Compute Capabilities".
    var sharedMemoryPerBlock: Int { self == Self(8, 0) ? 163 << 10 : 99 << 10 }

    /// Reads the compiler's name of a version, `sm_80`; nil for anything else.
    public init?(architecture name: String) {
        let digits = name.hasPrefix("sm_") ? name.dropFirst(3) : ""
        guard digits.count >= 2, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(digits) else {
            return nil
        }
        self.init(number / 10, number % 10)
    }

    /// The value as text, `9.0`.
    public var description: String { "\(major).\(minor)" }
}

/// What decides which code runs on a GPU and how it is cut, asked of the device and never guessed from its name.
public struct DeviceFacts: Sendable, Hashable, Codable {
    /// The number behind `cuda:`.
    public var ordinal: Int
    /// The maker's name of it.
    public var name: String
    /// The instructions that it understands.
    public var capability: ComputeCapability
    /// Processors.
    public var multiprocessors: Int
    /// Bytes of shared memory that one block may ask for.
    public var sharedMemoryPerBlock: Int
    /// Bytes of its second cache level.
    public var cacheBytes: Int
    /// Bytes of its memory.
    public var memoryBytes: Int

    /// Notes facts, of a GPU that need not be there.
    public init(
        ordinal: Int, name: String, capability: ComputeCapability, multiprocessors: Int, sharedMemoryPerBlock: Int,
        cacheBytes: Int, memoryBytes: Int
    ) {
        (self.ordinal, self.name, self.capability) = (ordinal, name, capability)
        (self.multiprocessors, self.sharedMemoryPerBlock) = (multiprocessors, sharedMemoryPerBlock)
        (self.cacheBytes, self.memoryBytes) = (cacheBytes, memoryBytes)
    }
}

extension Driver {
    /// The facts of a GPU.
    ///
    /// - Throws: `cuda.device-unavailable` when there is none of that number.
    package func facts(_ ordinal: Int) throws(SwanError) -> DeviceFacts {
        let count = try deviceCount()
        guard ordinal >= 0, ordinal < count else {
            throw SwanError(
                .cudaDeviceUnavailable,
                count == 0 ? "The driver finds no GPU." : "There is no GPU \(ordinal); the driver finds \(count).",
                advice: "Devices are numbered from 0; CUDA_VISIBLE_DEVICES hides some.")
        }
        var device: Int32 = 0
        try check(table.cuDeviceGet(&device, Int32(ordinal)), "cuDeviceGet")
        var name = [CChar](repeating: 0, count: 256)
        try check(table.cuDeviceGetName(&name, Int32(name.count), device), "cuDeviceGetName")
        var bytes = 0
        try check(table.cuDeviceTotalMem_v2(&bytes, device), "cuDeviceTotalMem")
        func attribute(_ attribute: Int) throws(SwanError) -> Int {
            var value: Int32 = 0
            try check(table.cuDeviceGetAttribute(&value, Int32(attribute), device), "cuDeviceGetAttribute")
            return Int(value)
        }
        return DeviceFacts(
            ordinal: ordinal,
            name: String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self),
            capability: ComputeCapability(
                try attribute(SWAN_CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
                try attribute(SWAN_CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)),
            multiprocessors: try attribute(SWAN_CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT),
            sharedMemoryPerBlock: try attribute(SWAN_CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
            cacheBytes: try attribute(SWAN_CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE), memoryBytes: bytes)
    }
}

/// A GPU with its context, which lives as long as this object and is current on the thread that made it.
final class Device {
    let driver: Driver
    let facts: DeviceFacts
    private let handle: Int32

    init(_ driver: Driver, ordinal: Int) throws(SwanError) {
        self.driver = driver
        facts = try driver.facts(ordinal)
        var handle: Int32 = 0
        try driver.check(driver.table.cuDeviceGet(&handle, Int32(ordinal)), "cuDeviceGet")
        self.handle = handle
        // A thread that waits for the GPU sleeps: its core is needed for what runs beside it.
        _ = driver.table.cuDevicePrimaryCtxSetFlags_v2(handle, UInt32(SWAN_CU_CTX_SCHED_BLOCKING_SYNC))
        var context: OpaquePointer?
        try driver.check(driver.table.cuDevicePrimaryCtxRetain(&context, handle), "cuDevicePrimaryCtxRetain")
        try driver.check(driver.table.cuCtxSetCurrent(context), "cuCtxSetCurrent")
    }

    deinit { _ = driver.table.cuDevicePrimaryCtxRelease_v2(handle) }

    /// Bytes that are free, for this process and all others.
    func freeBytes() throws(SwanError) -> Int {
        var (free, total) = (0, 0)
        try driver.check(driver.table.cuMemGetInfo_v2(&free, &total), "cuMemGetInfo")
        return free
    }
}
