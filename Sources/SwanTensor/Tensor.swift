public import SwanDiagnostics

/// Memory of a device that tensors live in. Each backend has its own subclass and is the only one
/// that looks inside.
open class TensorStorage {
    /// Bytes that were asked for.
    public let byteCount: Int

    /// Notes the size; the subclass holds the memory.
    public init(byteCount: Int) { self.byteCount = byteCount }
}

/// An array of numbers on a device: a shape over a piece of the device's memory.
///
/// Contiguous and row-major. Copies of the value share the memory, which is freed with the last of
/// them. Not `Sendable`: a tensor belongs to the queue of the backend that made it.
public struct Tensor {
    /// The extents, slowest axis first.
    public let shape: Shape
    /// The element type.
    public let dtype: DType
    /// The memory.
    public let storage: TensorStorage
    /// Index of the first element in the memory, counted in elements.
    public let offset: Int

    /// Lays a shape over memory; used by backends.
    ///
    /// - Precondition: `offset` and the shape lie inside the storage.
    public init(_ shape: Shape, _ dtype: DType, storage: TensorStorage, offset: Int = 0) {
        precondition(dtype.blockElements == 1 && offset >= 0)
        precondition((offset + shape.count) * dtype.blockBytes <= storage.byteCount)
        self.shape = shape
        self.dtype = dtype
        self.storage = storage
        self.offset = offset
    }

    /// Where in the memory the elements lie.
    var bytes: Range<Int> { offset * dtype.blockBytes ..< (offset + shape.count) * dtype.blockBytes }

    /// The same memory under another shape with as many elements.
    public func reshaped(_ shape: Shape) throws(SwanError) -> Tensor {
        guard shape.count == self.shape.count else {
            throw SwanError(.shapeMismatch, "A tensor of shape \(self.shape) cannot be seen as \(shape).")
        }
        return Tensor(shape, dtype, storage: storage, offset: offset)
    }

    /// The entries `range` of the first axis; shares the memory.
    public func rows(_ range: Range<Int>) throws(SwanError) -> Tensor {
        guard shape.rank > 0, range.lowerBound >= 0, range.upperBound <= shape[0] else {
            throw SwanError(.shapeMismatch, "Rows \(range) lie outside a tensor of shape \(shape).")
        }
        return Tensor(
            Shape([range.count] + shape.extents.dropFirst()), dtype, storage: storage,
            offset: offset + range.lowerBound * shape.rowCount)
    }
}
