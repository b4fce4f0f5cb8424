public import SwanDiagnostics

extension HostTensor {
    /// The values rounded to another type: to nearest even; blocks as ggml's reference quantises them.
    ///
    /// - Parameter dtype: float32, float16, bfloat16, a float8, int8, Q4_0, Q4_1, Q5_0, Q5_1 or Q8_0. Values beyond the
    ///   range of a float8 or of int8 become its largest, those beyond float16's infinite.
    /// - Throws: `tensor.conversion` for another type or a Boolean tensor, `tensor.shape-mismatch` where rows are no
    ///   whole blocks.
    public func rounded(to dtype: DType) throws(SwanError) -> HostTensor {
        guard dtype != self.dtype || !isStored else { return self }
        guard ElementFormat.canNarrow(to: dtype) else {
            throw SwanError(.conversion, "Values cannot be rounded to \(dtype).")
        }
        // An axis of blocks is the last one.
        guard (shape.extents.last ?? 1) % dtype.blockElements == 0, let size = dtype.bytes(elements: shape.count) else {
            throw SwanError(
                .shapeMismatch,
                "Rows of \(shape.extents.last ?? 1) values do not fill \(dtype) blocks of \(dtype.blockElements).")
        }
        let values = try floats()
        if dtype == .float32 { return HostTensor(shape, values) }
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 64)
        values.withUnsafeBufferPointer { ElementFormat.narrow($0, to: dtype, into: memory) }
        return try HostTensor(shape, dtype, HostBytes(owning: memory))
    }

    /// The values in eight bits, with a scale for all or for each row: the largest magnitude becomes the type's largest.
    ///
    /// - Parameters:
    ///   - dtype: float8E4M3 or int8.
    ///   - granularity: `tensor` or `row`.
    ///   - least: the smallest magnitude that a scale is made from.
    /// - Throws: `tensor.conversion` for another type or other scales, and where a value is no number.
    ///
    /// Source: ModelTC/LightX2V `tools/convert`, weights per channel; ComfyUI `QUANTIZATION.md` for a scale for all.
    public func quantized(
        to dtype: DType, _ granularity: QuantizedWeight.Granularity, least: Float = 1e-5
    ) throws(SwanError) -> QuantizedWeight {
        let most: Float
        switch dtype {
        case .float8E4M3: most = 448
        case .int8: most = 127
        default: throw SwanError(.conversion, "Values cannot be scaled to \(dtype).")
        }
        let parts: Int
        switch granularity {
        case .tensor: parts = 1
        case .row where shape.rank > 0: parts = shape[0]
        default: throw SwanError(.conversion, "A tensor of shape \(shape) cannot have scales by \(granularity).")
        }
        var values = try floats()
        let width = parts == 0 ? 0 : values.count / parts
        var scales: [Float] = []
        scales.reserveCapacity(parts)
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: values.count, alignment: 64)
        let payload = HostBytes(owning: memory)
        values.withUnsafeMutableBufferPointer { values in
            for part in 0 ..< parts {
                let range = part * width ..< (part + 1) * width
                let row = UnsafeMutableBufferPointer(rebasing: values[range])
                let scale = max(ElementFormat.largest(UnsafeBufferPointer(row)), least) / most
                // A quotient, as the reference rounds it: not a product with the reciprocal.
                for i in row.indices { row[i] /= scale }
                scales.append(scale)
                ElementFormat.narrow(
                    UnsafeBufferPointer(row), to: dtype, into: UnsafeMutableRawBufferPointer(rebasing: memory[range]))
            }
        }
        guard scales.allSatisfy(\.isFinite) else {
            throw SwanError(.conversion, "A tensor of shape \(shape) holds values that are no numbers.")
        }
        return try QuantizedWeight(shape, dtype, payload, scales: scales, granularity)
    }
}

extension HostTensor {
    /// The largest magnitude of the values; NaN where one is no number, 0 where there are none.
    ///
    /// - Throws: `tensor.conversion` for a Boolean tensor.
    public func largestMagnitude() throws(SwanError) -> Float {
        try floats().withUnsafeBufferPointer { ElementFormat.largest($0) }
    }
}
