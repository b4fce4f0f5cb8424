public import SwanDiagnostics

/// Bytes in host memory that nobody changes: an array, or part of a mapped file.
///
/// `@unchecked Sendable`: the pointer is read-only and valid as long as `owner` lives, which this
/// object guarantees by holding it.
public final class HostBytes: @unchecked Sendable {
    private let base: UnsafeRawPointer?
    private let owner: (any AnyObject & Sendable)?
    private let deallocate: Bool
    /// The number of bytes.
    public let count: Int

    /// Refers to memory that `owner` keeps alive and unchanged.
    public init(referringTo bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable) {
        base = bytes.baseAddress
        count = bytes.count
        self.owner = owner
        deallocate = false
    }

    /// Takes a copy of `bytes`.
    public init(copying bytes: UnsafeRawBufferPointer) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
        copy.copyMemory(from: bytes)
        base = UnsafeRawPointer(copy.baseAddress)
        count = bytes.count
        owner = nil
        deallocate = true
    }

    /// Takes over memory that was allocated for it.
    init(owning bytes: UnsafeMutableRawBufferPointer) {
        base = UnsafeRawPointer(bytes.baseAddress)
        count = bytes.count
        owner = nil
        deallocate = true
    }

    deinit {
        if deallocate { base?.deallocate() }
    }

    /// Gives `body` the bytes, which stay valid while it runs.
    public func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        defer { withExtendedLifetime(self) {} }
        return try body(UnsafeRawBufferPointer(start: base, count: count))
    }
}

/// A tensor in host memory: what checkpoints are read into and results are downloaded to.
///
/// A `Sendable` value; its bytes are never changed. The bytes need not be aligned.
public struct HostTensor: Sendable {
    /// The extents, slowest axis first.
    public let shape: Shape
    /// The element type.
    public let dtype: DType
    /// Where the values come from.
    enum Contents: Sendable {
        /// Row-major, little-endian values.
        case stored(HostBytes)
        /// Numbers that follow from their places.
        case noise(Noise)
        /// Eight bits and scales beside them.
        case quantized(QuantizedWeight)
        /// Those of a matrix, and what is added to them.
        indirect case changed(HostTensor, [LowRankChange])
    }

    let contents: Contents

    /// Row-major, little-endian values. Those of ``noise``, of ``quantized`` weights and of ``lowRank`` changes are made
    /// anew for each call.
    public var bytes: HostBytes {
        switch contents {
        case .stored(let bytes): bytes
        case .noise(let noise): Self.stored(noise, dtype, count: shape.count)
        case .quantized(let weight): weight.floatBytes()
        case .changed(let base, let changes): Self.stored(base, changes)
        }
    }

    /// Whether the values lie in memory as ``bytes`` has them.
    var isStored: Bool { if case .stored = contents { true } else { false } }

    /// Makes a tensor of given bytes.
    ///
    /// - Throws: `tensor.shape-mismatch` when the number of bytes is not what shape and type need.
    public init(_ shape: Shape, _ dtype: DType, _ bytes: HostBytes) throws(SwanError) {
        guard dtype.bytes(elements: shape.count) == bytes.count else {
            throw SwanError(
                .shapeMismatch, "\(bytes.count) bytes cannot hold a \(dtype) tensor of shape \(shape).")
        }
        self.init(unchecked: shape, dtype, .stored(bytes))
    }

    /// Makes a float32 tensor from values, as many as the shape has elements.
    public init(_ shape: Shape, _ values: [Float]) {
        precondition(values.count == shape.count)
        self.init(unchecked: shape, .float32, .stored(values.withUnsafeBytes { HostBytes(copying: $0) }))
    }

    /// The same values under another shape with as many elements.
    public func reshaped(_ shape: Shape) -> HostTensor {
        precondition(shape.count == self.shape.count)
        return HostTensor(unchecked: shape, dtype, contents)
    }

    init(unchecked shape: Shape, _ dtype: DType, _ contents: Contents) {
        self.shape = shape
        self.dtype = dtype
        self.contents = contents
    }
}

extension HostTensor {
    /// The entries `range` of the first axis, sharing the bytes.
    ///
    /// - Throws: `tensor.shape-mismatch` when the range leaves the first axis or cuts a block of the
    ///   element type.
    public func slice(_ range: Range<Int>) throws(SwanError) -> HostTensor {
        let (start, count) = (range.lowerBound * shape.rowCount, range.count * shape.rowCount)
        guard shape.rank > 0, range.lowerBound >= 0, range.upperBound <= shape[0], start % dtype.blockElements == 0,
            let first = dtype.bytes(elements: start), let size = dtype.bytes(elements: count)
        else {
            throw SwanError(
                .shapeMismatch, "Entries \(range) of a \(dtype) tensor of shape \(shape) are no whole blocks.")
        }
        let part: Contents
        switch contents {
        case .stored(let bytes):
            part = .stored(
                bytes.withBytes { all in
                    HostBytes(referringTo: UnsafeRawBufferPointer(rebasing: all[first ..< first + size]), owner: bytes)
                })
        case .noise(let noise):
            part = .noise(noise.dropping(start))
        case .quantized(let weight):
            guard let rows = weight.rows(range), weight.shape[0] == shape[0] else {
                throw SwanError(.shapeMismatch, "Entries \(range) of a weight of shape \(shape) cut a block of scales.")
            }
            part = .quantized(rows)
        case .changed:
            return try merged.slice(range)
        }
        return HostTensor(unchecked: Shape([range.count] + shape.extents.dropFirst()), dtype, part)
    }
}
