import CSwanFormats

/// Loops between stored element types and float32, at the best level that the processor has.
package enum ElementFormat {
    /// The loops' name of a type, or nil for those that are converted elsewhere.
    package static func code(_ dtype: DType) -> UInt32? {
        let format: SwanFormat? =
            switch dtype {
            case .float16: SWAN_FLOAT16
            case .bfloat16: SWAN_BFLOAT16
            case .float8E4M3: SWAN_FLOAT8_E4M3
            case .float8E5M2: SWAN_FLOAT8_E5M2
            case .int8: SWAN_INT8
            case .q40: SWAN_Q4_0
            case .q41: SWAN_Q4_1
            case .q50: SWAN_Q5_0
            case .q51: SWAN_Q5_1
            case .q80: SWAN_Q8_0
            case .q2K: SWAN_Q2_K
            case .q3K: SWAN_Q3_K
            case .q4K: SWAN_Q4_K
            case .q5K: SWAN_Q5_K
            case .q6K: SWAN_Q6_K
            case .iq4NL: SWAN_IQ4_NL
            case .iq4XS: SWAN_IQ4_XS
            case .float64, .float32, .int64, .int32, .int16, .uint8, .bool: nil
            }
        return format?.rawValue
    }

    /// The table of a level, counted from the lowest; of the best level for nil.
    private static func table(_ level: Int?) -> UnsafePointer<SwanFormats>? {
        if let level { swan_formats_at(Int32(level)) } else { swan_formats() }
    }

    /// The names of the levels that this processor has, lowest first.
    package static var levels: [String] {
        (0 ..< 3).compactMap { table($0).map { String(cString: $0.pointee.name) } }
    }

    /// Whether values can be brought into a type: not for K-quants and IQ4, which are only read.
    package static func canNarrow(to dtype: DType) -> Bool {
        guard dtype != .float32 else { return true }
        guard let code = code(dtype), let table = table(nil) else { return false }
        return swan_narrow(table, SwanFormat(code)) != nil
    }

    /// Writes the values that `source` holds into `target`, which has room for just as many.
    package static func widen(
        _ source: UnsafeRawBufferPointer, _ dtype: DType, into target: UnsafeMutableBufferPointer<Float>,
        level: Int? = nil
    ) {
        guard let code = code(dtype), let table = table(level), let to = target.baseAddress,
            let from = source.baseAddress
        else { return }
        let blocks = target.count / dtype.blockElements
        precondition(blocks * dtype.blockBytes == source.count && blocks * dtype.blockElements == target.count)
        swan_widen(table, SwanFormat(code))(to, from.assumingMemoryBound(to: UInt8.self), blocks)
    }

    /// Writes values times `factor`, rounded to a type, into `target`. Blocks take no factor but 1.
    ///
    /// - Precondition: ``canNarrow(to:)``; whole blocks.
    package static func narrow(
        _ source: UnsafeBufferPointer<Float>, to dtype: DType, factor: Float = 1,
        into target: UnsafeMutableRawBufferPointer, level: Int? = nil
    ) {
        guard let code = code(dtype), let table = table(level), let narrow = swan_narrow(table, SwanFormat(code)),
            let to = target.baseAddress, let from = source.baseAddress
        else { return }
        let blocks = source.count / dtype.blockElements
        precondition(blocks * dtype.blockBytes == target.count && blocks * dtype.blockElements == source.count)
        precondition(factor == 1 || dtype.blockElements == 1)
        narrow(to.assumingMemoryBound(to: UInt8.self), from, blocks, factor)
    }

    /// The largest magnitude; NaN where a value is NaN, 0 where there is none.
    package static func largest(_ values: UnsafeBufferPointer<Float>) -> Float {
        guard let table = table(nil), let base = values.baseAddress else { return 0 }
        return table.pointee.largest(base, values.count)
    }

    /// Multiplies values in place.
    package static func scale(_ values: UnsafeMutableBufferPointer<Float>, by factor: Float) {
        guard factor != 1, let table = table(nil), let base = values.baseAddress else { return }
        table.pointee.scale(base, factor, values.count)
    }

    /// Adds `factor * up * down` to some rows of `target`, `[rows, columns]`; `up` is `[rows, rank]`, `down`
    /// `[rank, columns]`.
    package static func addProduct(
        _ up: UnsafeBufferPointer<Float>, _ down: UnsafeBufferPointer<Float>, rank: Int, factor: Float,
        rows: Range<Int>, to target: UnsafeMutableBufferPointer<Float>
    ) {
        guard rank > 0, let table = table(nil), let a = up.baseAddress, let b = down.baseAddress,
            let c = target.baseAddress
        else { return }
        let columns = down.count / rank
        precondition(rows.upperBound * rank <= up.count && rows.upperBound * columns <= target.count)
        table.pointee.add_product(c, a, b, rank, columns, factor, rows.lowerBound, rows.upperBound)
    }
}
