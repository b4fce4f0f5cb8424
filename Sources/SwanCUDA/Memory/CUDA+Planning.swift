public import SwanDiagnostics
public import SwanTensor

extension CUDABackend {
    /// Whether nothing is computed.
    public var isRehearsal: Bool { executor.isRehearsal }

    /// What the context, the libraries and their kernels take beside tensors, on a card where it was measured, rounded
    /// up. It depends on the card's processors and on how many of the libraries' kernels have been used.
    static let overheadBytes = 600 << 20

    /// See `PlanningOps.deviceMemory()`.
    public func deviceMemory() throws(SwanError) -> DeviceMemory? {
        DeviceMemory(
            total: executor.facts.memoryBytes, free: try executor.freeBytes(), peak: arena.peakBytes,
            reserved: arena.reservedBytes, overhead: Self.overheadBytes,
            driverAllocations: executor.counts.driverAllocations)
    }

    /// See `PlanningOps.rehearsal()`.
    public func rehearsal() -> (any Backend)? {
        // The same kernels of attention: not all take as much memory.
        CUDABackend(
            Rehearsal(
                executor.facts, hasMatrixLibrary: executor.hasMatrixLibrary, hasRowScales: executor.hasRowScales,
                hasGraphLibrary: executor.hasGraphLibrary),
            attention: attentionKernels, isAttentionNamed: isAttentionNamed)
    }

    /// See `PlanningOps.reserve(_:)`.
    public func reserve(_ bytes: Int) throws(SwanError) {
        // What an earlier run has left would keep its memory from going back.
        try executor.synchronize()
        try executor.synchronizeCopies()
        releaseWorkspace()
        try arena.reserve(bytes)
    }

    /// See `PlanningOps.expect(_:)`. Kernels of cuDNN for convolutions are compiled when they are first used, for
    /// some tenths of a second each, which the host has time for while the device runs the steps.
    public func expect(_ rehearsal: any Backend) {
        guard let rehearsed = (rehearsal as? CUDABackend)?.executor as? Rehearsal else { return }
        expectedOperations = rehearsed.operations.filter { if case .attention = $0 { false } else { true } }.reversed()
    }

    /// See `PlanningOps.useIdleTime()`.
    public func useIdleTime() throws(SwanError) {
        guard !expectedOperations.isEmpty else { return }
        let mark = try executor.makeMark()
        try mark.record(on: .compute)
        while try !mark.hasPassed(), let operation = expectedOperations.popLast() {
            try executor.prepare(operation, workspaceBytes: Workspace.size)
        }
    }

    /// See `PlanningOps.pinnedBytes`.
    public var pinnedBytes: Int { executor.counts.peakPinnedBytes }
}
