import SwanCUDA
import SwanDiagnostics
import SwanTensor
import Testing

/// Guards what a GPU is asked to do at the end of a branch, without one: a product that adds where there is such a product,
/// and elsewhere the branch, with the memory that it takes.
@Suite("The end of a branch on a GPU")
struct BranchTests {
    private struct Ended {
        let isAdded: Bool
        let counts: WorkCounts
        let bytes: Int
    }

    private func end(
        capability: ComputeCapability = ComputeCapability(9, 0), hasMatrixLibrary: Bool = true,
        hasRowScales: Bool = true, _ coding: EightBitCoding = .fp8, groups: Int? = 1, outputs: Int = 256
    ) throws -> Ended {
        let facts = DeviceFacts(
            ordinal: 0, name: "a card", capability: capability, multiprocessors: 100, sharedMemoryPerBlock: 99 << 10,
            cacheBytes: 50 << 20, memoryBytes: 24 << 30)
        let backend = CUDABackend(
            rehearsing: facts, hasMatrixLibrary: hasMatrixLibrary, hasRowScales: hasRowScales)
        let (rows, inputs) = (4096, 128)
        let weights = try backend.makeLinear(
            weight: HostTensor([outputs, inputs], [Float](repeating: 1, count: outputs * inputs)),
            bias: HostTensor([outputs], [Float](repeating: 1, count: outputs)), as: coding)
        let x = try backend.quantizeRows(backend.allocate([rows, inputs], .bfloat16), to: coding)
        let residual = try backend.allocate([rows, outputs], .float32)
        let gate: Tensor? =
            if let groups { try backend.allocate([groups, outputs], .float32) } else { nil }
        // What a product needs once is there.
        _ = try backend.linear(x, weights, gate: gate, onto: residual)
        let (before, memory) = (backend.workCounts, backend.counts.currentBytes)
        let y = try backend.linear(x, weights, gate: gate, onto: residual)
        let counts = backend.workCounts - before
        let bytes = withExtendedLifetime(y) { backend.counts.currentBytes - memory }
        return Ended(isAdded: y == nil, counts: counts, bytes: bytes)
    }

    @Test("one product, and one kernel for a gate")
    func added() throws {
        let gated = try end(), open = try end(groups: nil)
        #expect(gated.isAdded && open.isAdded && gated.bytes == 0 && open.bytes == 0)
        #expect(gated.counts == WorkCounts(kernels: 1, libraryCalls: 1, allocations: 0, waits: 0))
        #expect(open.counts == WorkCounts(kernels: 0, libraryCalls: 1, allocations: 0, waits: 0))
    }

    @Test("elsewhere the branch, whose memory a plan then counts")
    func left() throws {
        let others = [
            try end(hasRowScales: false), try end(hasMatrixLibrary: false), try end(.rotatedInt8),
            try end(capability: ComputeCapability(8, 9)), try end(groups: 2), try end(outputs: 264),
        ]
        for (index, other) in others.enumerated() {
            #expect(!other.isAdded && other.bytes >= 4096 * 256 * 2, "\(index)")
        }
    }
}
