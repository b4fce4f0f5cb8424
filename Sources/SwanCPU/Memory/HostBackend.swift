public import SwanDiagnostics
public import SwanTensor

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A tensor's memory on the host; it goes back to its pool with the last tensor that uses it.
final class HostStorage: TensorStorage {
    let pool: BufferPool
    let buffer: HostBuffer

    init(_ pool: BufferPool, bytes: Int) throws(SwanError) {
        self.pool = pool
        buffer = try pool.take(bytes)
        super.init(byteCount: bytes)
    }

    convenience init(floats count: Int, _ pool: BufferPool) throws(SwanError) {
        guard let bytes = DType.float32.bytes(elements: count) else {
            throw SwanError(.outOfMemory, "A tensor of \(count) elements cannot exist on this machine.")
        }
        try self.init(pool, bytes: bytes)
    }

    deinit { pool.give(buffer) }

    /// The first float.
    var floats: Floats { buffer.address.assumingMemoryBound(to: Float.self) }
}

/// The floats of a tensor in host memory, valid while the tensor lives.
typealias Floats = UnsafeMutablePointer<Float>

/// What the backends on the host share: float32 tensors in pooled memory.
///
/// Everything is done when a call returns, so there is nothing to wait for.
public class HostBackend: MemoryOps, MemoryMeter {
    let pool: BufferPool

    /// Activations are float32.
    public let activationType = DType.float32

    init(pool: BufferPool) { self.pool = pool }

    /// What tensors and weights take up now and took up at most.
    public var memoryUse: MemoryUse { pool.use }

    /// See `MemoryMeter.peakBytes`.
    public var peakBytes: Int { pool.use.peakBytes }

    /// See `MemoryMeter.resetPeakBytes()`.
    public func resetPeakBytes() { pool.resetPeak() }

    /// Gives memory that is held back for later tensors to the system.
    public func releaseIdleMemory() { pool.releaseIdle() }

    /// See `MemoryOps.allocate(_:_:)`.
    public func allocate(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        guard dtype.blockElements == 1, let bytes = dtype.bytes(elements: shape.count) else {
            throw SwanError(.shapeMismatch, "allocate: there can be no tensor of shape \(shape) and type \(dtype).")
        }
        return Tensor(shape, dtype, storage: try HostStorage(pool, bytes: bytes))
    }

    /// See `MemoryOps.zeros(_:_:)`.
    public func zeros(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        let tensor = try allocate(shape, dtype)
        memset(try address(tensor), 0, shape.count * dtype.blockBytes)
        return tensor
    }

    /// See `MemoryOps.upload(_:as:)`.
    public func upload(_ host: HostTensor, as dtype: DType) throws(SwanError) -> Tensor {
        try checkUpload(host, as: dtype)
        if EightBitFormat(dtype) != nil {
            let tensor = try allocate(host.shape, dtype)
            let target = try bytes(tensor)
            host.bytes.withBytes { UnsafeMutableRawBufferPointer(start: target, count: $0.count).copyMemory(from: $0) }
            return tensor
        }
        let tensor = try allocate(host.shape, .float32)
        try write(host, to: floats(tensor))
        return tensor
    }

    /// See `MemoryOps.download(_:)`.
    public func download(_ tensor: Tensor) throws(SwanError) -> [Float] {
        if let format = EightBitFormat(tensor.dtype) {
            let (source, values) = (try bytes(tensor), format.values)
            defer { withExtendedLifetime(tensor) {} }
            return (0 ..< tensor.shape.count).map { values[Int(source[$0])] }
        }
        let source = try floats(tensor)
        defer { withExtendedLifetime(tensor) {} }
        return [Float](UnsafeBufferPointer(start: source, count: tensor.shape.count))
    }

    /// See `MemoryOps.copy(_:into:)`.
    public func copy(_ source: Tensor, into target: Tensor) throws(SwanError) {
        try checkCopy(source, into: target)
        memcpy(try address(target), try address(source), source.shape.count * source.dtype.blockBytes)
    }

    /// See `MemoryOps.synchronize()`.
    public func synchronize() throws(SwanError) {}

    /// A float32 tensor for a result, and its memory.
    func result(_ shape: Shape) throws(SwanError) -> (Tensor, Floats) {
        let tensor = try allocate(shape, .float32)
        return (tensor, try floats(tensor))
    }

    /// The first element of a float32 tensor of this backend.
    func floats(_ tensor: Tensor) throws(SwanError) -> Floats {
        guard tensor.dtype == .float32 else {
            throw SwanError(.shapeMismatch, "A tensor of type \(tensor.dtype) was given, expected float32.")
        }
        return try address(tensor).assumingMemoryBound(to: Float.self)
    }

    /// The first element of a tensor of eight-bit numbers of this backend.
    func bytes(_ tensor: Tensor) throws(SwanError) -> UnsafeMutablePointer<UInt8> {
        guard EightBitFormat(tensor.dtype) != nil else {
            throw SwanError(.shapeMismatch, "A tensor of type \(tensor.dtype) was given, expected eight bits.")
        }
        return try address(tensor).assumingMemoryBound(to: UInt8.self)
    }

    /// Weights of a layer, made by this backend.
    func own<Weights>(_ weights: any AnyObject, as type: Weights.Type) throws(SwanError) -> Weights {
        guard let own = weights as? Weights else {
            throw SwanError(.fault, "Weights of type \(Swift.type(of: weights)) were given, expected \(type).")
        }
        return own
    }

    /// Converts a host tensor into memory for as many floats.
    func write(_ host: HostTensor, to target: Floats) throws(SwanError) {
        guard host.dtype == .float32 else {
            target.update(from: try host.floats(), count: host.shape.count)
            return
        }
        host.bytes.withBytes { source in
            UnsafeMutableRawBufferPointer(start: target, count: source.count).copyMemory(from: source)
        }
    }

    private func address(_ tensor: Tensor) throws(SwanError) -> UnsafeMutableRawPointer {
        guard let storage = tensor.storage as? HostStorage, storage.pool === pool else {
            throw SwanError(.fault, "A tensor of another backend was given (\(type(of: tensor.storage))).")
        }
        return storage.buffer.address + tensor.offset * tensor.dtype.blockBytes
    }
}
