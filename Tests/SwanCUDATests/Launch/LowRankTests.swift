import SwanCUDA
import SwanDiagnostics
import SwanTensor
import Testing

/// Guards what a GPU is asked to do for weights with low-rank changes, without one: the base crosses the bus as it is
/// stored, is merged where it lies, and again when it is read again; and nothing of it is read for a plan.
@Suite("Weights with low-rank changes on a GPU")
struct LowRankTests {
    private static let facts = DeviceFacts(
        ordinal: 0, name: "a card", capability: ComputeCapability(9, 0), multiprocessors: 100,
        sharedMemoryPerBlock: 227 << 10, cacheBytes: 50 << 20, memoryBytes: 24 << 30)

    /// Bytes that may not be read: there are none behind them.
    private func unread(_ shape: Shape, _ dtype: DType) throws -> HostTensor {
        final class Nobody: Sendable {}
        let nowhere = UnsafeRawPointer(bitPattern: 1 << 40)
        return try HostTensor(
            shape, dtype,
            HostBytes(
                referringTo: UnsafeRawBufferPointer(start: nowhere, count: shape.count * dtype.blockBytes),
                owner: Nobody()))
    }

    private func weight(_ dtype: DType, changes: Int, _ outputs: Int = 5120, _ inputs: Int = 1024) throws -> HostTensor
    {
        try (0 ..< changes).reduce(unread([outputs, inputs], dtype)) { weight, index in
            let rank = 64 + index
            return try weight.adding(
                LowRankChange(
                    up: unread([outputs, rank], .bfloat16), down: unread([rank, inputs], .bfloat16), factor: 0.5))
        }
    }

    /// Kernels and copies that binding a weight takes, and then reading it again.
    private func requests(
        _ weight: HostTensor, _ coding: EightBitCoding?
    ) throws -> (bound: DeviceCounts, again: DeviceCounts) {
        let backend = CUDABackend(rehearsing: Self.facts)
        func bind() throws(SwanError) -> any LinearWeights {
            guard let coding else { return try backend.makeLinear(weight: weight, bias: nil) }
            return try backend.makeLinear(weight: weight, bias: nil, as: coding)
        }
        let (layer, group) = try backend.group(bind)
        let bound = backend.counts
        for _ in 0 ..< 2 { try backend.reload(group) { () throws(SwanError) in _ = try bind() } }
        withExtendedLifetime(layer) {}
        var again = backend.counts
        again.launches -= bound.launches
        return (bound, again)
    }

    @Test("one kernel merges all changes, once for each time that weights are read")
    func launches() throws {
        for changes in 1 ... 3 {
            for type in [DType.bfloat16, .float16, .float32] {
                let (bound, again) = try requests(weight(type, changes: changes), nil)
                #expect(bound.launches == 1 && again.launches == 2, "\(changes) changes of \(type)")
            }
        }
        // Without changes what is stored in bfloat16 is copied and nothing else.
        #expect(try requests(weight(.bfloat16, changes: 0), nil).again.launches == 0)
    }

    @Test("eight bits are rounded from float32 sums, some rows at a time", arguments: EightBitCoding.allCases)
    func eightBit(coding: EightBitCoding) throws {
        // 8192 rows of 1024 at a time fill 32 MiB.
        #expect(try requests(weight(.bfloat16, changes: 1), coding).bound.launches == 2)
        #expect(try requests(weight(.bfloat16, changes: 2, 20_480), coding).bound.launches == 2 * 3)
        #expect(try requests(weight(.bfloat16, changes: 2, 20_480), coding).again.launches == 2 * 2 * 3)
    }

    @Test("memory on the way is the factors', and in eight bits that of some rows")
    func memory() throws {
        let (outputs, inputs, rank) = (5120, 1024, 64)
        let factors = 2 * rank * (outputs + inputs)
        let plain = try requests(weight(.bfloat16, changes: 0), nil)
        let merged = try requests(weight(.bfloat16, changes: 1), nil)
        #expect(plain.again.currentBytes == 2 * outputs * inputs)
        // What a rank and a factor take is rounded up.
        #expect(merged.again.currentBytes == plain.again.currentBytes + factors + 512)
        #expect(
            merged.bound.peakBytes == merged.again.currentBytes && merged.bound.currentBytes == 2 * outputs * inputs)
        let (rounded, wide) = (
            try requests(weight(.bfloat16, changes: 0, 20_480), .int8),
            try requests(weight(.bfloat16, changes: 1, 20_480), .int8)
        )
        #expect(
            wide.again.currentBytes
                == rounded.again.currentBytes + 2 * rank * (20_480 + inputs) + 512 + 32 << 20)
    }

    @Test("factors of several types cross the bus in float32")
    func mixed() throws {
        let mixed = try weight(.bfloat16, changes: 1).adding(
            LowRankChange(up: unread([5120, 8], .float32), down: unread([8, 1024], .float32), factor: 1))
        let alike = try weight(.bfloat16, changes: 1).adding(
            LowRankChange(up: unread([5120, 8], .bfloat16), down: unread([8, 1024], .bfloat16), factor: 1))
        let more = try requests(mixed, nil).again.currentBytes - requests(alike, nil).again.currentBytes
        #expect(more == 2 * (64 + 8) * (5120 + 1024))
    }
}
