public import SwanDiagnostics

/// A weight in eight bits as files hold it: `value = payload * scale`, in float32.
///
/// A ``HostTensor`` of one gives these values to whoever asks for floats; a device that multiplies eight bits takes the
/// parts from ``HostTensor/quantized``.
public struct QuantizedWeight: Sendable {
    /// Which elements share a scale.
    public enum Granularity: Sendable, Hashable, Codable {
        /// All.
        case tensor
        /// Those of an entry of the first axis: of an output of a linear layer.
        case row
        /// Those of a block of a matrix; blocks at the end are smaller.
        case block(rows: Int, columns: Int)
    }

    /// The extents; the first axis is that of the outputs.
    public let shape: Shape
    /// The type of the payload: float8E4M3, float8E5M2 or int8.
    public let dtype: DType
    /// One byte for each element, row-major.
    public let payload: HostBytes
    /// Which elements share a scale.
    public let granularity: Granularity
    /// One number; one for each row; or one for each block, row-major.
    public let scales: [Float]
    /// What activations are to be divided by before they are rounded to float8, where calibration found it.
    public let inputScale: Float?

    /// The types that payloads can have.
    public static let types: Set<DType> = [.float8E4M3, .float8E5M2, .int8]

    /// Puts the parts together.
    ///
    /// - Throws: `tensor.shape-mismatch` where they do not belong together: another type, a payload or scales of another
    ///   size.
    public init(
        _ shape: Shape, _ dtype: DType, _ payload: HostBytes, scales: [Float], _ granularity: Granularity,
        inputScale: Float? = nil
    ) throws(SwanError) {
        guard Self.types.contains(dtype), payload.count == shape.count else {
            throw SwanError(
                .shapeMismatch,
                "\(payload.count) bytes of \(dtype) are no eight-bit weight of shape \(shape).")
        }
        guard scales.count == Self.scaleCount(shape, granularity) else {
            throw SwanError(
                .shapeMismatch,
                "\(scales.count) scales for a weight of shape \(shape), expected \(Self.scaleCount(shape, granularity).map(String.init) ?? "a matrix")."
            )
        }
        self.init(unchecked: shape, dtype, payload, scales, granularity, inputScale)
    }

    private init(
        unchecked shape: Shape, _ dtype: DType, _ payload: HostBytes, _ scales: [Float], _ granularity: Granularity,
        _ inputScale: Float?
    ) {
        (self.shape, self.dtype, self.payload) = (shape, dtype, payload)
        (self.scales, self.granularity, self.inputScale) = (scales, granularity, inputScale)
    }

    /// How many scales a weight has; nil where blocks are asked of what is no matrix.
    public static func scaleCount(_ shape: Shape, _ granularity: Granularity) -> Int? {
        switch granularity {
        case .tensor: return 1
        case .row: return shape.rank == 0 ? nil : shape[0]
        case .block(let rows, let columns):
            guard shape.rank == 2, rows > 0, columns > 0 else { return nil }
            return blocks(shape[0], of: rows) * blocks(shape[1], of: columns)
        }
    }

    /// How many blocks of `size` cover `extent`, whatever a file says that it is.
    public static func blocks(_ extent: Int, of size: Int) -> Int { extent / size + (extent % size == 0 ? 0 : 1) }

    /// Entries of the first axis; nil where that would cut a block of scales.
    func rows(_ range: Range<Int>) -> QuantizedWeight? {
        let width = shape.rowCount
        let part = payload.withBytes {
            HostBytes(
                referringTo: UnsafeRawBufferPointer(
                    rebasing: $0[range.lowerBound * width ..< range.upperBound * width]),
                owner: payload)
        }
        let kept: [Float]
        switch granularity {
        case .tensor: kept = scales
        case .row: kept = Array(scales[range])
        case .block(let rows, let columns):
            let across = Self.blocks(shape[1], of: columns)
            guard range.lowerBound % rows == 0 else { return nil }
            kept = Array(scales[range.lowerBound / rows * across ..< Self.blocks(range.upperBound, of: rows) * across])
        }
        return QuantizedWeight(
            unchecked: Shape([range.count] + shape.extents.dropFirst()), dtype, part, kept, granularity, inputScale)
    }

    /// Writes the values at a range of flat indices.
    func write(_ elements: Range<Int>, to target: UnsafeMutablePointer<Float>) {
        payload.withBytes { bytes in
            ElementFormat.widen(
                UnsafeRawBufferPointer(rebasing: bytes[elements]), dtype,
                into: UnsafeMutableBufferPointer(start: target, count: elements.count))
        }
        func scale(_ part: Range<Int>, by factor: Float) {
            ElementFormat.scale(
                UnsafeMutableBufferPointer(start: target + (part.lowerBound - elements.lowerBound), count: part.count),
                by: factor)
        }
        if granularity == .tensor { return scale(elements, by: scales[0]) }
        let width = shape.rowCount
        guard width > 0, !elements.isEmpty else { return }
        for row in elements.lowerBound / width ... (elements.upperBound - 1) / width {
            let part = (row * width ..< (row + 1) * width).clamped(to: elements)
            guard case .block(let rows, let columns) = granularity else {
                scale(part, by: scales[row])
                continue
            }
            let across = Self.blocks(width, of: columns)
            for block in 0 ..< across {
                let first = row * width + block * columns
                let piece = (first ..< min(first + columns, (row + 1) * width)).clamped(to: part)
                if !piece.isEmpty { scale(piece, by: scales[row / rows * across + block]) }
            }
        }
    }

    /// All values, as bytes of float32.
    func floatBytes() -> HostBytes {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * shape.count, alignment: 64)
        if let base = memory.bindMemory(to: Float.self).baseAddress { write(0 ..< shape.count, to: base) }
        return HostBytes(owning: memory)
    }
}

extension HostTensor {
    /// Makes a float32 tensor whose values are computed from eight bits and scales when they are asked for.
    public init(_ weight: QuantizedWeight) {
        self.init(unchecked: weight.shape, .float32, .quantized(weight))
    }

    /// What the values are computed from; nil where they are stored. Its shape may be another with as many elements.
    public var quantized: QuantizedWeight? { if case .quantized(let weight) = contents { weight } else { nil } }
}
