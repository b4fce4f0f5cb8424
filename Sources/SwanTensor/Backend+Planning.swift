public import SwanDiagnostics

/// What a device's memory is and was used for, in bytes.
public struct DeviceMemory: Sendable, Hashable, Codable {
    /// All of it.
    public var total: Int
    /// Not in use by anyone, as the driver reports it.
    public var free: Int
    /// Taken by tensors and work space so far, at most, gaps between them counted.
    public var peak: Int
    /// Given by the driver for tensors and work space.
    public var reserved: Int
    /// What the driver, its libraries and kernels take beside that.
    public var overhead: Int
    /// How often memory was asked of the driver, which makes the device wait.
    public var driverAllocations: Int

    /// Notes all numbers.
    public init(total: Int, free: Int, peak: Int, reserved: Int, overhead: Int, driverAllocations: Int) {
        (self.total, self.free, self.peak, self.reserved, self.overhead) = (total, free, peak, reserved, overhead)
        self.driverAllocations = driverAllocations
    }
}

/// Planning of a device's own memory. Devices that compute in the host's memory have nothing to say.
public protocol PlanningOps {
    /// Whether nothing is computed, and values that are downloaded mean nothing.
    var isRehearsal: Bool { get }

    /// The state of the device's memory; nil where tensors live in the host's.
    func deviceMemory() throws(SwanError) -> DeviceMemory?

    /// A stand-in that takes and gives back the same memory for the same operations and computes nothing; nil where
    /// tensors live in the host's memory.
    func rehearsal() -> (any Backend)?

    /// Asks for memory once, so that a run whose rehearsal reached a peak of `bytes` asks for nothing more.
    ///
    /// - Throws: `tensor.out-of-memory` when the device has not so much.
    func reserve(_ bytes: Int) throws(SwanError)

    /// Notes what a rehearsal has asked for, so that ``useIdleTime()`` can get ready for it.
    func expect(_ rehearsal: any Backend)

    /// Gets ready for what is expected, on the host, for as long as the device is busy with what was asked so far.
    func useIdleTime() throws(SwanError)

    /// Bytes of pinned host memory that were in use at most.
    var pinnedBytes: Int { get }
}

extension PlanningOps {
    /// False where it is not said.
    public var isRehearsal: Bool { false }
    /// Nothing to say.
    public func deviceMemory() -> DeviceMemory? { nil }
    /// Nothing to rehearse.
    public func rehearsal() -> (any Backend)? { nil }
    /// Nothing to ask for.
    public func reserve(_ bytes: Int) {}
    /// Nothing to get ready for.
    public func expect(_ rehearsal: any Backend) {}
    /// Nothing to get ready for.
    public func useIdleTime() {}
    /// None.
    public var pinnedBytes: Int { 0 }
}
