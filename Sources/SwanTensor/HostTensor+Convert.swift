public import SwanDiagnostics

extension HostTensor {
    /// All values as float32, in row-major order.
    ///
    /// float16, bfloat16, float8, int8 and Q8_0 blocks (float16 scale times integer) are exact; other blocks have
    /// the bits of ggml's own dequantisation, weights with scales are rounded products of both; float64 and
    /// large integers are rounded to nearest.
    ///
    /// - Throws: `tensor.conversion` for a Boolean tensor.
    public func floats() throws(SwanError) -> [Float] {
        try floats(elements: 0 ..< shape.count)
    }

    /// The values of some rows of the first axis, one after the other: for tables that are too large
    /// to be converted whole.
    ///
    /// - Parameter rows: indices of the first axis, each inside it.
    /// - Returns: `[rows.count, …]`, in the stored type where its blocks end with the rows, else in float32.
    public func rows(_ rows: [Int]) throws(SwanError) -> HostTensor {
        if case .changed = contents { return try merged.rows(rows) }
        let width = shape.rowCount
        if isStored, width % dtype.blockElements == 0, let size = dtype.bytes(elements: width) {
            var picked = [UInt8](repeating: 0, count: rows.count * size)
            bytes.withBytes { all in
                picked.withUnsafeMutableBytes { target in
                    for (index, row) in rows.enumerated() {
                        precondition(row >= 0 && row < shape[0])
                        let source = UnsafeRawBufferPointer(rebasing: all[row * size ..< (row + 1) * size])
                        UnsafeMutableRawBufferPointer(rebasing: target[index * size ..< (index + 1) * size])
                            .copyMemory(from: source)
                    }
                }
            }
            return try HostTensor(
                Shape([rows.count] + shape.extents.dropFirst()), dtype,
                picked.withUnsafeBytes { HostBytes(copying: $0) })
        }
        var values: [Float] = []
        values.reserveCapacity(rows.count * width)
        for row in rows {
            precondition(row >= 0 && row < shape[0])
            values += try floats(elements: row * width ..< (row + 1) * width)
        }
        return HostTensor(Shape([rows.count] + shape.extents.dropFirst()), values)
    }

    /// Writes the values at a range of flat indices, as float32: for weights that are rearranged piece by
    /// piece on several threads.
    ///
    /// - Precondition: the tensor holds numbers (not Booleans), and the range starts and ends on whole
    ///   blocks.
    package func copyFloats(_ elements: Range<Int>, to target: UnsafeMutablePointer<Float>) {
        precondition(elements.lowerBound % dtype.blockElements == 0 && elements.count % dtype.blockElements == 0)
        switch contents {
        case .stored: break
        case .noise(let noise): return noise.write(elements, roundedTo: dtype, to: target)
        case .quantized(let weight): return weight.write(elements, to: target)
        case .changed(let base, let changes):
            guard elements == 0 ..< shape.count else { return merged.copyFloats(elements, to: target) }
            return Self.write(base, changes, to: UnsafeMutableBufferPointer(start: target, count: elements.count))
        }
        let start = elements.lowerBound / dtype.blockElements * dtype.blockBytes
        let size = elements.count / dtype.blockElements * dtype.blockBytes
        bytes.withBytes { all in
            convert(
                UnsafeRawBufferPointer(rebasing: all[start ..< start + size]), dtype,
                into: UnsafeMutableBufferPointer(start: target, count: elements.count))
        }
    }

    /// The values at a range of flat indices; the range starts and ends on whole blocks.
    private func floats(elements: Range<Int>) throws(SwanError) -> [Float] {
        guard dtype != .bool else {
            throw SwanError(.conversion, "A bool tensor of shape \(shape) is no tensor of numbers.")
        }
        return [Float](unsafeUninitializedCapacity: elements.count) { target, count in
            if let base = target.baseAddress { copyFloats(elements, to: base) }
            count = elements.count
        }
    }
}

/// Widens `source` into `target`; both hold as many elements. Loads are unaligned.
private func convert(_ source: UnsafeRawBufferPointer, _ dtype: DType, into target: UnsafeMutableBufferPointer<Float>) {
    func each<T>(_ type: T.Type, _ widen: (T) -> Float) {
        for i in target.indices {
            target[i] = widen(source.loadUnaligned(fromByteOffset: i * MemoryLayout<T>.size, as: T.self))
        }
    }
    switch dtype {
    case .float32:
        UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
    case .float64: each(Double.self) { Float($0) }
    case .int64: each(Int64.self) { Float($0) }
    case .int32: each(Int32.self) { Float($0) }
    case .int16: each(Int16.self) { Float($0) }
    case .uint8: each(UInt8.self) { Float($0) }
    case .float16, .bfloat16, .float8E4M3, .float8E5M2, .int8, .q40, .q41, .q50, .q51, .q80, .q2K, .q3K, .q4K, .q5K,
        .q6K, .iq4NL, .iq4XS:
        ElementFormat.widen(source, dtype, into: target)
    case .bool: preconditionFailure("checked by the caller")
    }
}
