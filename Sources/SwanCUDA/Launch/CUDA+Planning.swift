public import SwanDiagnostics
public import SwanTensor

extension CUDABackend {
    /// Whether nothing is computed.
    public var isRehearsal: Bool { executor.isRehearsal }

    /// What the context, the libraries and their kernels take beside tensors, on a card where it was measured, rounded
    /// up. It depends on the card's processors and on how many of the libraries' kernels have been used.
    static let overheadBytes = 600 << 20

    /// See ``PlanningOps/deviceMemory()``.
    public func deviceMemory() throws(SwanError) -> DeviceMemory? {
        DeviceMemory(
            total: executor.facts.memoryBytes, free: try executor.freeBytes(), peak: arena.peakBytes,
            reserved: arena.reservedBytes, overhead: Self.overheadBytes)
    }

    /// See ``PlanningOps/rehearsal()``.
    public func rehearsal() -> (any Backend)? {
        CUDABackend(
            rehearsing: executor.facts, hasMatrixLibrary: executor.hasMatrixLibrary,
            hasGraphLibrary: executor.hasGraphLibrary)
    }

    /// See ``PlanningOps/reserve(_:)``.
    public func reserve(_ bytes: Int) throws(SwanError) { try arena.reserve(bytes) }

    /// See ``PlanningOps/pinnedBytes``.
    public var pinnedBytes: Int { executor.counts.peakPinnedBytes }
}
