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

        /// Notes a folder; everything else as it is best.
        public init(cacheFolder: String) { self.cacheFolder = cacheFolder }
    }

    let device: Device
    let stream: Stream
    private let cache: KernelCache
    private var loaded: [KernelRequest: LoadedKernel] = [:]
    let compiler: Compiler
    /// Bytes of shared memory that kernels may ask for.
    let sharedMemoryPerBlock: Int
    /// nil where cuBLASLt is missing.
    let matrices: MatrixLibrary?
    /// nil where cuDNN is missing.
    let graphs: GraphLibrary?

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
    /// - Throws: `cuda.library-unavailable` without a driver or compiler, `cuda.device-unavailable`, or
    ///   `cuda.unsupported` for a GPU from before 2020 (compute capability below 8.0), or one that cannot imitate
    ///   the wanted one.
    public init(ordinal: Int, search: LibrarySearch, _ options: Options) throws(SwanError) {
        let driver = try Driver(search)
        device = try Device(driver, ordinal: ordinal)
        let facts = device.facts
        guard facts.capability >= Self.oldest else {
            throw SwanError(
                .cudaUnsupported,
                "\(facts.name) has compute capability \(facts.capability); Swan needs 8.0, for bfloat16 products.",
                advice: "Use the device 'cpu'.")
        }
        let compiler = try Compiler(search)
        let stream = try Stream(device)
        self.stream = stream
        let disk = BlobCache(folder: options.cacheFolder)
        let architecture = try Self.architecture(facts, options.imitating)
        sharedMemoryPerBlock = min(
            facts.sharedMemoryPerBlock, options.imitating?.sharedMemoryPerBlock ?? facts.sharedMemoryPerBlock)
        cache = KernelCache(
            disk: disk, compilerVersion: compiler.found.version, architecture: architecture
        ) { (kernel) throws(SwanError) in
            try compiler.compile(kernel, for: architecture).code
        }
        self.compiler = compiler
        matrices = try Self.ifInstalled(options.usesLibraries) { () throws(SwanError) in
            try MatrixLibrary(search, stream, choices: disk)
        }
        graphs = try Self.ifInstalled(options.usesLibraries) { () throws(SwanError) in
            try GraphLibrary(search, stream)
        }
        name = "cuda:\(ordinal)"
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

    /// nil for a library that is not there; one that is there and fails is an error.
    private static func ifInstalled<Library>(
        _ isWanted: Bool, _ open: () throws(SwanError) -> Library
    ) throws(SwanError) -> Library? {
        guard isWanted else { return nil }
        do {
            return try open()
        } catch  where error.code == .cudaLibraryUnavailable {
            return nil
        }
    }

    /// The GPU.
    public var facts: DeviceFacts { device.facts }

    /// The libraries in use.
    public var libraries: [FoundLibrary] {
        [device.driver.found, compiler.found] + [matrices?.found, graphs?.found].compactMap { $0 }
    }

    /// What the device was asked to do so far.
    public var counts: DeviceCounts { stream.counts }

    /// What computes.
    public var summary: String {
        let parts = [
            "\(device.facts.name), driver for \(device.driver.found.version)", "NVRTC \(compiler.found.version)",
            matrices.map { "products by cuBLASLt \($0.found.version)" } ?? "products by a plain kernel (no cuBLASLt)",
            graphs.map { "attention and convolutions by cuDNN \($0.found.version)" }
                ?? "attention by Swan's kernel, convolutions by a plain one (no cuDNN)",
        ]
        return parts.joined(separator: ", ")
    }

    // Memory --------------------------------------------------------------------------------------

    /// See ``MemoryOps/allocate(_:_:)``.
    public func allocate(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        guard dtype.blockElements == 1, let bytes = dtype.bytes(elements: shape.count) else {
            throw SwanError(.shapeMismatch, "allocate: there can be no tensor of shape \(shape) and type \(dtype).")
        }
        return Tensor(shape, dtype, storage: try DeviceStorage(bytes: bytes, on: stream))
    }

    /// See ``MemoryOps/zeros(_:_:)``.
    public func zeros(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        let tensor = try allocate(shape, dtype)
        try stream.clear(address(tensor), bytes: shape.count * dtype.blockBytes)
        return tensor
    }

    /// See ``MemoryOps/upload(_:as:)``. What the file has in 16 or 32 bits crosses the bus as it is, and
    /// noise is made on the device.
    public func upload(_ host: HostTensor, as dtype: DType) throws(SwanError) -> Tensor {
        try checkUpload(host, as: dtype)
        return try bring(host, as: dtype)
    }

    func bring(_ host: HostTensor, as dtype: DType) throws(SwanError) -> Tensor {
        let source: Tensor
        switch host.dtype {
        case .float32, .float16, .bfloat16:
            source = try allocate(host.shape, host.dtype)
            if let noise = host.noise {
                try fill(source, with: noise)
            } else {
                try host.bytes.withBytes { (bytes) throws(SwanError) in try stream.copy(bytes, to: address(source)) }
            }
        default:
            source = try allocate(host.shape, .float32)
            let values = try host.floats()
            try copy(values, to: source)
        }
        return try converted(source, to: dtype)
    }

    private func copy(_ values: [Float], to target: Tensor) throws(SwanError) {
        // A closure of the standard library throws any error: the result is handed out instead.
        let result: Result<Void, SwanError> = values.withUnsafeBytes { bytes in
            Result { () throws(SwanError) in try stream.copy(bytes, to: address(target)) }
        }
        try result.get()
    }

    func converted(_ x: Tensor, to dtype: DType) throws(SwanError) -> Tensor {
        guard x.dtype != dtype else { return x }
        let result = try allocate(x.shape, dtype)
        guard x.shape.count > 0 else { return result }
        let plan = try KernelPlan.convert(
            count: x.shape.count, from: x.dtype, to: dtype, isAligned: try isAligned(x, result))
        try launch(plan, [address(x), address(result)], [.index(x.shape.count)])
        return result
    }

    /// See ``MemoryOps/download(_:)``.
    public func download(_ tensor: Tensor) throws(SwanError) -> [Float] {
        let values = try converted(tensor, to: .float32)
        var floats = [Float](repeating: 0, count: values.shape.count)
        try read(address(values), into: &floats)
        return floats
    }

    func read<T: BitwiseCopyable>(_ source: UInt64, into target: inout [T]) throws(SwanError) {
        let result: Result<Void, SwanError> = target.withUnsafeMutableBytes { bytes in
            Result { () throws(SwanError) in try stream.copy(source, to: bytes) }
        }
        try result.get()
        try stream.synchronize()
    }

    /// See ``MemoryOps/copy(_:into:)``.
    public func copy(_ source: Tensor, into target: Tensor) throws(SwanError) {
        try checkCopy(source, into: target)
        try stream.copy(
            try address(source), to: address(target), bytes: source.shape.count * source.dtype.blockBytes)
    }

    /// See ``MemoryOps/synchronize()``.
    public func synchronize() throws(SwanError) { try stream.synchronize() }

    // Launches ------------------------------------------------------------------------------------

    /// The first element of a tensor of this backend.
    func address(_ tensor: Tensor) throws(SwanError) -> UInt64 {
        guard let storage = tensor.storage as? DeviceStorage, storage.stream === stream else {
            throw SwanError(.fault, "A tensor of another backend was given (\(type(of: tensor.storage))).")
        }
        return storage.buffer.address + UInt64(tensor.offset * tensor.dtype.blockBytes)
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
    func launch(_ plan: KernelPlan, _ addresses: [UInt64], _ numbers: [KernelArgument]) throws(SwanError) {
        try stream.launch(kernel(plan.request), plan.shape, addresses.map { .address($0) } + numbers)
    }

    private func kernel(_ request: KernelRequest) throws(SwanError) -> LoadedKernel {
        if let kernel = loaded[request] { return kernel }
        let kernel: LoadedKernel
        do {
            kernel = try LoadedKernel(request, cache.cubin(request), device)
        } catch  where error.code == .cudaCallFailed {
            // A kept cubin that the driver refuses is made anew, once.
            kernel = try LoadedKernel(request, cache.rebuilt(request), device)
        }
        loaded[request] = kernel
        return kernel
    }
}
