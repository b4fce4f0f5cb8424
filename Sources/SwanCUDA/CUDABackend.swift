public import SwanDiagnostics
public import SwanTensor

/// A GPU of NVIDIA, with kernels compiled for it and the libraries that this machine has.
///
/// Activations are bfloat16; the residual stream, norms' sums and everything of the timestep is float32. One stream
/// keeps the order; nothing waits for the device but ``download(_:)``, ``framesToRGB8(_:)`` and
/// ``synchronize()``.
public final class CUDABackend: Backend {
    /// How a GPU is used.
    public struct Options: Sendable, Hashable {
        /// Where kernels and the choice of algorithms are kept.
        public var cacheFolder: String
        /// False leaves cuBLASLt and cuDNN aside: everything then runs on Swan's own kernels.
        public var usesLibraries = true
        /// A GPU of an earlier generation whose instructions and shared memory are all that kernels may use; nil
        /// for all that this one has.
        public var imitating: ComputeCapability?
        /// What computes attention of the shapes that it is made for; nil for the fastest.
        public var attention: AttentionKernel?

        /// Notes a folder; everything else as it is best.
        public init(cacheFolder: String) { self.cacheFolder = cacheFolder }
    }

    let executor: any Executor
    /// The memory of every tensor.
    let arena: Arena
    /// Bytes of shared memory that kernels may ask for.
    let sharedMemoryPerBlock: Int
    /// The generation whose instructions may be used.
    let capability: ComputeCapability
    /// What computes attention: the first that takes a call's shapes.
    let attentionKernels: [AttentionKernel]
    /// Whether the first of them was asked for by name.
    let isAttentionNamed: Bool
    /// What computed the largest attention so far.
    var largestAttention: (work: Int, kernel: AttentionKernel?) = (0, nil)
    private var libraryWorkspace: DeviceStorage?
    /// Weights that are being bound, where someone wants to know them; see ``group(_:)``.
    var recording: [Tensor]?
    /// The group that weights are read into, where they are read again.
    var refilling: Refill?
    /// What will be asked of cuDNN, last first; see ``expect(_:)``.
    var expectedOperations: [GraphOperation] = []
    /// What host memory is copied through.
    private var staging: [Queue: StagingRing] = [:]
    /// What weights that are read again pass through; see ``scratch(_:_:_:on:)``.
    var conversionScratch: [Scratch: DeviceStorage] = [:]

    /// The first generation with bfloat16 products.
    static let oldest = ComputeCapability(8, 0)

    /// The device's name.
    public let name: String
    /// Activations are bfloat16.
    public let activationType = DType.bfloat16

    /// Opens a GPU.
    ///
    /// - Parameters:
    ///   - ordinal: its number.
    ///   - search: where libraries are looked for.
    ///   - options: how it is used.
    /// - Throws: `cuda.library-unavailable` without a driver or compiler, `cuda.device-unavailable`, or
    ///   `cuda.unsupported` for a GPU from before 2020 (compute capability below 8.0), or one that cannot imitate
    ///   the wanted one.
    public convenience init(ordinal: Int, search: LibrarySearch, _ options: Options) throws(SwanError) {
        let driver = try Driver(search)
        let device = try Device(driver, ordinal: ordinal)
        let facts = device.facts
        guard facts.capability >= Self.oldest else {
            throw SwanError(
                .cudaUnsupported,
                "\(facts.name) has compute capability \(facts.capability); Swan needs 8.0, for bfloat16 products.",
                advice: "Use the device 'cpu'.")
        }
        let gpu = try GPU(
            device, search, compiler: Compiler(search), architecture: Self.architecture(facts, options.imitating),
            cacheFolder: options.cacheFolder, usesLibraries: options.usesLibraries)
        self.init(
            gpu, imitating: options.imitating,
            attention: try AttentionKernel.order(
                options.attention, facts: facts, isImitating: options.imitating != nil, hasTileMaps: gpu.hasTileMaps,
                hasGraphLibrary: gpu.hasGraphLibrary), isAttentionNamed: options.attention != nil)
    }

    init(
        _ executor: any Executor, imitating: ComputeCapability? = nil, attention: [AttentionKernel],
        isAttentionNamed: Bool = false
    ) {
        self.executor = executor
        (attentionKernels, self.isAttentionNamed) = (attention, isAttentionNamed)
        arena = Arena(executor)
        capability = imitating ?? executor.facts.capability
        sharedMemoryPerBlock = min(
            executor.facts.sharedMemoryPerBlock, imitating?.sharedMemoryPerBlock ?? executor.facts.sharedMemoryPerBlock)
        name = "cuda:\(executor.facts.ordinal)"
    }

    /// Nobody in the place of a GPU: the same operations take and give back the same memory, and nothing is computed.
    ///
    /// - Parameters:
    ///   - facts: of the GPU.
    ///   - hasMatrixLibrary: whether it has cuBLASLt.
    ///   - hasRowScales: whether that is 12.9 or later, with a scale for each row and column of fp8.
    ///   - hasGraphLibrary: whether it has cuDNN.
    public convenience init(
        rehearsing facts: DeviceFacts, hasMatrixLibrary: Bool = true, hasRowScales: Bool = true,
        hasGraphLibrary: Bool = true
    ) {
        // Nothing is asked for, so nothing can be missing.
        let kernels = try? AttentionKernel.order(
            nil, facts: facts, isImitating: false, hasTileMaps: true, hasGraphLibrary: hasGraphLibrary)
        self.init(
            Rehearsal(
                facts, hasMatrixLibrary: hasMatrixLibrary, hasRowScales: hasMatrixLibrary && hasRowScales,
                hasGraphLibrary: hasGraphLibrary),
            attention: kernels ?? [.plain])
    }

    /// The same of a GPU with all libraries whose attention is computed by a kernel that was asked for.
    ///
    /// - Parameters:
    ///   - facts: of the GPU.
    ///   - attention: nil for the fastest.
    /// - Throws: `cuda.unsupported` where it cannot run there.
    public convenience init(rehearsing facts: DeviceFacts, attention: AttentionKernel?) throws(SwanError) {
        self.init(
            Rehearsal(facts, hasMatrixLibrary: true, hasRowScales: true, hasGraphLibrary: true),
            attention: try AttentionKernel.order(
                attention, facts: facts, isImitating: false, hasTileMaps: true, hasGraphLibrary: true),
            isAttentionNamed: attention != nil)
    }

    /// Has each kernel of a rehearsal told, by its name, with the memory that it is given, in the order of its arguments.
    package func watchRehearsal(_ watch: @escaping (_ kernel: String, _ addresses: [UInt64]) -> Void) {
        (executor as? Rehearsal)?.watch = watch
    }

    /// The name that kernels are compiled for.
    private static func architecture(_ facts: DeviceFacts, _ imitated: ComputeCapability?) throws(SwanError) -> String {
        guard let imitated else { return facts.capability.architecture }
        guard imitated >= ComputeCapability(8, 0), imitated < ComputeCapability(9, 0), imitated <= facts.capability
        else {
            throw SwanError(
                .cudaUnsupported,
                "\(facts.name) (compute capability \(facts.capability)) cannot run as \(imitated.architecture).",
                advice: "It can run as sm_80, sm_86 or sm_89, where it is no older itself.")
        }
        return imitated.portableArchitecture
    }

    /// The GPU.
    public var facts: DeviceFacts { executor.facts }

    /// The libraries in use.
    public var libraries: [FoundLibrary] { executor.libraries }

    /// What the device was asked to do so far.
    public var counts: DeviceCounts { executor.counts }

    /// What computes.
    public var summary: String {
        executor.summary + ", attention by \(attentionKernels.map(\.rawValue).joined(separator: ", else "))"
    }

    /// The GPU and how much memory it has.
    public var hardware: String { "\(facts.name), \(formatted(bytes: facts.memoryBytes))" }

    // Memory --------------------------------------------------------------------------------------

    /// See `MemoryOps.allocate(_:_:)`.
    public func allocate(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        guard dtype.blockElements == 1, let bytes = dtype.bytes(elements: shape.count) else {
            throw SwanError(.shapeMismatch, "allocate: there can be no tensor of shape \(shape) and type \(dtype).")
        }
        return Tensor(shape, dtype, storage: try DeviceStorage(bytes: bytes, in: arena))
    }

    /// See `MemoryOps.zeros(_:_:)`.
    public func zeros(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        let tensor = try allocate(shape, dtype)
        try executor.clear(address(tensor), bytes: shape.count * dtype.blockBytes)
        return tensor
    }

    /// See `MemoryOps.upload(_:as:)`. What the file has in 16 or 32 bits crosses the bus as it is, and
    /// noise is made on the device.
    public func upload(_ host: HostTensor, as dtype: DType) throws(SwanError) -> Tensor {
        try checkUpload(host, as: dtype)
        return try EightBitFormat(dtype) == nil ? bring(host, as: dtype) : bringStored(host)
    }

    /// The queue that weights come in on.
    var weightQueue: Queue { refilling == nil ? .compute : .copies }

    /// A tensor of a host tensor's values: a new one, or, while weights are read again, the one that they belong in.
    ///
    /// Memory on the way is taken before that of the weight: the gaps that it leaves between weights are where memory on
    /// the way of the next ones lies, and not in the midst of what is computed.
    func bring(_ host: HostTensor, as dtype: DType) throws(SwanError) -> Tensor {
        let (queue, type) = (weightQueue, crossingType(host.lowRank?.base ?? host))
        let factors = try host.lowRank.map { (parts) throws(SwanError) in try stage(parts.changes, on: queue) }
        let source = type == dtype ? nil : try scratch(.values, host.shape, type, on: queue)
        let target: Tensor =
            if let refilling { try refilling.next(host.shape, dtype) } else { try allocate(host.shape, dtype) }
        try transfer(host.lowRank?.base ?? host, to: source ?? target, on: queue)
        if let factors {
            try addLowRank(factors, of: 0 ..< host.shape[0], to: source ?? target, into: target, on: queue)
        } else if let source {
            try convert(source, to: target, on: queue)
        }
        if refilling == nil { recording?.append(target) }
        return target
    }

    /// A new tensor of a host tensor's values, as they cross the bus.
    func stage(_ host: HostTensor) throws(SwanError) -> Tensor {
        let source = try allocate(host.shape, crossingType(host))
        try transfer(host, to: source, on: .compute)
        return source
    }

    /// The type in which values cross the bus: the stored one where the device converts it by itself, else float32.
    func crossingType(_ host: HostTensor) -> DType {
        [.float32, .float16, .bfloat16].contains(host.dtype) ? host.dtype : .float32
    }

    /// Enqueues a host tensor's values as they cross the bus, or in float32; noise is made where it is wanted.
    func transfer(_ host: HostTensor, to target: Tensor, on queue: Queue) throws(SwanError) {
        if let noise = host.noise, host.dtype == target.dtype {
            try fill(target, with: noise, on: queue)
        } else {
            try send(host, to: target, on: queue)
        }
    }

    /// Enqueues a copy of a host tensor's values, which have been read when this returns.
    ///
    /// - Parameter target: of the stored type, or of float32.
    func send(_ host: HostTensor, to target: Tensor, on queue: Queue) throws(SwanError) {
        let ring: StagingRing
        if let opened = staging[queue] {
            ring = opened
        } else {
            ring = try StagingRing(executor, queue)
            staging[queue] = ring
        }
        guard !executor.isRehearsal else { return }
        let place = try address(target)
        if host.dtype == target.dtype, host.quantized == nil {
            return try host.bytes.withBytes { (bytes) throws(SwanError) in try ring.copy(bytes, to: place) }
        }
        // What cannot be made in parts, and what are no numbers.
        guard host.lowRank == nil, host.dtype != .bool else {
            let values = try host.floats()
            // A closure of the standard library throws any error: the result is handed out instead.
            let result: Result<Void, SwanError> = values.withUnsafeBytes { bytes in
                Result { () throws(SwanError) in try ring.copy(bytes, to: place) }
            }
            return try result.get()
        }
        // Right where they are copied from, by several threads: of a large matrix in fewer bits, most of the time was one
        // thread's, and that of the memory between.
        try ring.copy(4 * host.shape.count, inUnitsOf: 4 * host.dtype.blockElements, to: place) { range, piece in
            if let floats = piece.bindMemory(to: Float.self).baseAddress {
                host.copyFloats(range.lowerBound / 4 ..< range.upperBound / 4, to: floats)
            }
        }
    }

    /// A weight that is made of another on the device; see ``bring(_:as:)``.
    func derived(_ x: Tensor, as dtype: DType) throws(SwanError) -> Tensor {
        if let refilling {
            let target = try refilling.next(x.shape, dtype)
            try convert(x, to: target, on: .copies)
            return target
        }
        let result = try converted(x, to: dtype)
        recording?.append(result)
        return result
    }

    func converted(_ x: Tensor, to dtype: DType) throws(SwanError) -> Tensor {
        guard x.dtype != dtype else { return x }
        let result = try allocate(x.shape, dtype)
        try convert(x, to: result, on: .compute)
        return result
    }

    func convert(_ x: Tensor, to result: Tensor, on queue: Queue) throws(SwanError) {
        guard x.shape.count > 0 else { return }
        let plan = try KernelPlan.convert(
            count: x.shape.count, from: x.dtype, to: result.dtype, isAligned: try isAligned(x, result))
        try launch(plan, [address(x), address(result)], [.index(x.shape.count)], on: queue)
    }

    /// See `MemoryOps.download(_:)`.
    public func download(_ tensor: Tensor) throws(SwanError) -> [Float] {
        let values = try converted(tensor, to: .float32)
        var floats = [Float](repeating: 0, count: values.shape.count)
        try read(address(values), into: &floats)
        return floats
    }

    func read<T: BitwiseCopyable>(_ source: UInt64, into target: inout [T]) throws(SwanError) {
        let result: Result<Void, SwanError> = target.withUnsafeMutableBytes { bytes in
            Result { () throws(SwanError) in try executor.copy(source, to: bytes) }
        }
        try result.get()
        try executor.synchronize()
    }

    /// See `MemoryOps.copy(_:into:)`.
    public func copy(_ source: Tensor, into target: Tensor) throws(SwanError) {
        try checkCopy(source, into: target)
        try executor.copy(
            try address(source), to: address(target), bytes: source.shape.count * source.dtype.blockBytes)
    }

    /// See `MemoryOps.synchronize()`.
    public func synchronize() throws(SwanError) { try executor.synchronize() }

    // Launches ------------------------------------------------------------------------------------

    /// The first element of a tensor of this backend.
    func address(_ tensor: Tensor) throws(SwanError) -> UInt64 {
        guard let storage = tensor.storage as? DeviceStorage, storage.arena === arena else {
            throw SwanError(.fault, "A tensor of another backend was given (\(type(of: tensor.storage))).")
        }
        return storage.address + UInt64(tensor.offset * tensor.dtype.blockBytes)
    }

    /// Whether vectors of any kernel may start at these tensors' first elements: four or eight elements, at most
    /// 32 bytes.
    func isAligned(_ tensors: Tensor...) throws(SwanError) -> Bool {
        for tensor in tensors where try address(tensor) % UInt64(min(8 * tensor.dtype.blockBytes, 16)) != 0 {
            return false
        }
        return true
    }

    /// Weights of a layer, made by this backend.
    func own<Weights>(_ weights: any AnyObject, as type: Weights.Type) throws(SwanError) -> Weights {
        guard let own = weights as? Weights else {
            throw SwanError(.fault, "Weights of type \(Swift.type(of: weights)) were given, expected \(type).")
        }
        return own
    }

    /// Enqueues a kernel whose arguments are addresses and then numbers.
    func launch(
        _ plan: KernelPlan, _ addresses: [UInt64], _ numbers: [KernelArgument], on queue: Queue = .compute
    ) throws(SwanError) {
        try executor.launch(plan, addresses.map { .address($0) } + numbers, on: queue)
    }

    /// Gives back what is only used while something computes; it is taken again when it is needed.
    func releaseWorkspace() {
        libraryWorkspace = nil
        conversionScratch = [:]
    }

    /// What libraries use while they compute.
    func workspace() throws(SwanError) -> Workspace {
        let storage: DeviceStorage
        if let libraryWorkspace {
            storage = libraryWorkspace
        } else {
            storage = try DeviceStorage(bytes: Workspace.size, in: arena)
            libraryWorkspace = storage
        }
        return Workspace(address: storage.address, bytes: storage.byteCount)
    }
}
