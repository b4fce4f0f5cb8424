public import SwanDiagnostics
public import SwanTensor

/// Weights that were bound together, and when they may be read and overwritten.
final class CUDAWeightGroup: WeightGroup {
    let weights: [Tensor]
    /// After which the values are there.
    let loaded: any QueueMark
    /// After which nobody reads them any more.
    let used: any QueueMark
    let byteCount: Int

    init(_ weights: [Tensor], _ executor: any Executor) throws(SwanError) {
        self.weights = weights
        byteCount = weights.reduce(0) { $0 + $1.byteCount }
        (loaded, used) = (try executor.makeMark(), try executor.makeMark())
        try loaded.record(on: .compute)
        try used.record(on: .compute)
    }

    deinit {
        // The memory may be given out again at once, in the order of what is computed: copies that are still on their
        // way have to arrive before. A failure has nobody to throw to; the next call reports it.
        try? loaded.wait(on: .compute)
    }
}

/// A group's values one behind the other, each at a multiple of 512 bytes.
private final class CUDAWeightImage: WeightImage {
    let memory: PinnedMemory
    let offsets: [Int]
    let byteCount: Int
    private let executor: any Executor
    /// After which the values are there.
    let written: any QueueMark

    init(_ weights: [Tensor], _ executor: any Executor) throws(SwanError) {
        var end = 0
        var offsets: [Int] = []
        for weight in weights {
            offsets.append(end)
            end += RangeAllocator.rounded(weight.byteCount)
        }
        (self.offsets, byteCount, self.executor) = (offsets, end, executor)
        memory = try executor.allocatePinned(end)
        executor.counts.pin(end)
        written = try executor.makeMark()
    }

    deinit {
        // Neither queue may still be at work in the memory that goes.
        try? written.synchronize()
        try? executor.synchronizeCopies()
        executor.counts.pin(-byteCount)
    }

    func bytes(_ index: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        guard !memory.bytes.isEmpty else { return memory.bytes }
        return UnsafeMutableRawBufferPointer(rebasing: memory.bytes[offsets[index] ..< offsets[index] + count])
    }
}

extension Tensor {
    /// Bytes of its elements.
    fileprivate var byteCount: Int { shape.count * dtype.blockBytes }
}

/// Reading weights into memory that they were in before.
final class Refill {
    let group: CUDAWeightGroup
    private var index = 0

    init(_ group: CUDAWeightGroup) { self.group = group }

    /// The weight whose turn it is.
    func next(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        guard index < group.weights.count, group.weights[index].shape.count == shape.count,
            group.weights[index].dtype == dtype
        else {
            throw SwanError(.fault, "Weights are read again in another order or shape than they were bound in.")
        }
        defer { index += 1 }
        return try group.weights[index].reshaped(shape)
    }

    var isComplete: Bool { index == group.weights.count }
}

/// What is in memory that weights pass through.
enum Scratch {
    /// Values as they cross the bus.
    case values
    /// Factors of low-rank changes, and what is to be known of each.
    case factors, list
    /// Rows of float32 that are about to be rounded to eight bits.
    case sums
}

extension CUDABackend {
    /// Weights can take turns.
    public var canStreamWeights: Bool { true }

    /// See `StreamingOps.group(_:)`.
    public func group<Layer>(
        _ bind: () throws(SwanError) -> Layer
    ) throws(SwanError) -> (layer: Layer, group: any WeightGroup) {
        recording = []
        defer { recording = nil }
        let layer = try bind()
        return (layer, try CUDAWeightGroup(recording ?? [], executor))
    }

    /// See `StreamingOps.image(of:)`.
    public func image(of group: any WeightGroup) throws(SwanError) -> any WeightImage {
        let group = try own(group, as: CUDAWeightGroup.self)
        let image = try CUDAWeightImage(group.weights, executor)
        for (index, weight) in group.weights.enumerated() {
            try executor.copy(address(weight), to: image.bytes(index, weight.byteCount))
        }
        try image.written.record(on: .compute)
        return image
    }

    /// See `StreamingOps.load(_:into:)`.
    public func load(_ image: any WeightImage, into group: any WeightGroup) throws(SwanError) {
        let group = try own(group, as: CUDAWeightGroup.self)
        let image = try own(image, as: CUDAWeightImage.self)
        guard image.offsets.count == group.weights.count else {
            throw SwanError(.fault, "A layer's image does not fit the memory that it is to be loaded into.")
        }
        try image.written.wait(on: .copies)
        try group.used.wait(on: .copies)
        for (index, weight) in group.weights.enumerated() {
            try executor.copy(
                UnsafeRawBufferPointer(image.bytes(index, weight.byteCount)), to: address(weight), on: .copies)
        }
        try group.loaded.record(on: .copies)
    }

    /// See `StreamingOps.reload(_:_:)`.
    public func reload(_ group: any WeightGroup, _ bind: () throws(SwanError) -> Void) throws(SwanError) {
        let group = try own(group, as: CUDAWeightGroup.self)
        try group.used.wait(on: .copies)
        let refill = Refill(group)
        refilling = refill
        defer { refilling = nil }
        try bind()
        guard refill.isComplete else {
            throw SwanError(.fault, "Fewer weights are read again than were bound.")
        }
        try group.loaded.record(on: .copies)
    }

    /// Memory that weights pass through on their way: new on the computing queue, whose order lets it be given back at
    /// once; beside it, the same for all weights, in the order of the copies alone.
    func scratch(_ use: Scratch, _ shape: Shape, _ dtype: DType, on queue: Queue) throws(SwanError) -> Tensor {
        guard queue == .copies else { return try allocate(shape, dtype) }
        let bytes = shape.count * dtype.blockBytes
        if let kept = conversionScratch[use], kept.byteCount >= bytes { return Tensor(shape, dtype, storage: kept) }
        // The old one may still be read by copies, which the computing queue knows nothing of.
        try executor.synchronizeCopies()
        conversionScratch[use] = nil
        let storage = try DeviceStorage(bytes: bytes, in: arena)
        conversionScratch[use] = storage
        // What was computed in this memory before has to be done.
        let mark = try executor.makeMark()
        try mark.record(on: .compute)
        try mark.wait(on: .copies)
        return Tensor(shape, dtype, storage: storage)
    }

    /// See `StreamingOps.begin(_:)`.
    public func begin(_ group: any WeightGroup) throws(SwanError) {
        try own(group, as: CUDAWeightGroup.self).loaded.wait(on: .compute)
    }

    /// See `StreamingOps.end(_:)`.
    public func end(_ group: any WeightGroup) throws(SwanError) {
        try own(group, as: CUDAWeightGroup.self).used.record(on: .compute)
    }
}
