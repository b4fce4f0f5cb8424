public import SwanDiagnostics

/// Eight-bit numbers that products are computed with, each row with a scale of its own.
///
/// A row's scale makes its largest value the format's largest: `scale = a / largest` with `a` the largest magnitude of
/// the row, at least 2^-100, in float32. A value is stored as `round(value * (largest / a))`, to nearest even, and stands
/// for that number times the scale. A row that holds a NaN or an infinity has a scale that is no number, and so is every
/// value of it, whatever its numbers are. All devices follow these rules, so that the same values give the same bits.
public enum EightBitFormat: String, Sendable, Hashable, Codable, CaseIterable {
    /// float8 with 4 exponent and 3 mantissa bits: a relative error of 1/16 at most, down to 2^-15 of the row's largest.
    case fp8
    /// Whole numbers from -127 to 127: an error of 1/254 of the row's largest at most.
    case int8

    /// The element type.
    public var dtype: DType { self == .fp8 ? .float8E4M3 : .int8 }

    /// The format of an element type; nil for one of other widths.
    public init?(_ dtype: DType) {
        switch dtype {
        case .float8E4M3: self = .fp8
        case .int8: self = .int8
        default: return nil
        }
    }

    /// The largest number.
    public var largest: Float { self == .fp8 ? 448 : 127 }

    /// Linear layers with rows of a multiple of this many values can be computed in eight bits: what matrix units load
    /// at a time.
    public static let rowMultiple = 16

    /// The scale of a row, and what its values are multiplied with.
    ///
    /// - Parameter magnitude: the largest magnitude's bits: those of a NaN are above infinity's, which are above all
    ///   others'.
    package func scale(largestBits magnitude: UInt32) -> (scale: Float, factor: Float) {
        guard magnitude < Float.infinity.bitPattern else { return (.nan, .nan) }
        let largestValue = max(Float(bitPattern: magnitude), 0x1p-100)
        return (largestValue / largest, largest / largestValue)
    }

    /// The nearest number of the format, as it is stored.
    package func encode(_ value: Float) -> UInt8 {
        switch self {
        case .fp8: Self.encodeFloat8(value)
        case .int8:
            value.isNaN ? 0 : UInt8(bitPattern: Int8(max(-127, min(127, value.rounded(.toNearestOrEven)))))
        }
    }

    private static func encodeFloat8(_ value: Float) -> UInt8 {
        guard !value.isNaN else { return 0x7F }
        let sign: UInt8 = value.sign == .minus ? 0x80 : 0
        let magnitude = value.magnitude
        // Below 2^-6 numbers are multiples of 2^-9, which is the distance between floats from 2^14 on.
        guard magnitude >= 0x1p-6 else { return sign | UInt8((magnitude + 0x1p14).bitPattern & 15) }
        guard magnitude < 448 else { return sign | 0x7E }
        // Three of 23 mantissa bits, to nearest even; the exponent's bias is 7 instead of 127.
        let bits = magnitude.bitPattern
        return sign | UInt8((bits + 0x7FFFF + (bits >> 20 & 1)) >> 20 - 120 << 3)
    }

    /// What a stored byte is.
    package func decode(_ byte: UInt8) -> Float {
        self == .fp8 ? Self.float8Values[Int(byte)] : Float(Int8(bitPattern: byte))
    }

    /// What files' readers make of each byte.
    private static let float8Values: [Float] = {
        var values = [Float](repeating: 0, count: 256)
        values.withUnsafeMutableBufferPointer { values in
            Array(UInt8.min ... UInt8.max).withUnsafeBytes { ElementFormat.widen($0, .float8E4M3, into: values) }
        }
        return values
    }()

    /// Every stored byte's value.
    package var values: [Float] { (0 ..< 256).map { decode(UInt8($0)) } }

    /// Stores one row.
    ///
    /// - Returns: its scale.
    package func encode(
        _ row: UnsafeBufferPointer<Float>, into target: UnsafeMutableBufferPointer<UInt8>
    ) -> Float {
        let magnitude = row.reduce(UInt32(0)) { max($0, $1.bitPattern & 0x7FFF_FFFF) }
        let (scale, factor) = scale(largestBits: magnitude)
        guard self == .int8, !scale.isNaN else {
            for i in row.indices { target[i] = encode(row[i] * factor) }
            return scale
        }
        // The last binary digit of floats of this size is a one: the sum is rounded as `encode` does, and ends in the
        // number's eight bits. No product is above 127.5.
        for i in row.indices { target[i] = UInt8(truncatingIfNeeded: (row[i] * factor + 0x1.8p23).bitPattern) }
        return scale
    }
}

/// Rows of eight-bit numbers on a device: element `[r, c]` is `values[r, c] * scales[r]`, of rows that may be rotated.
public struct QuantizedRows {
    /// Eight-bit `[rows, width]`.
    public let values: Tensor
    /// float32 `[rows]`.
    public let scales: Tensor
    /// How the rows are stored.
    public let coding: EightBitCoding

    /// Puts numbers and scales together.
    ///
    /// - Throws: `tensor.shape-mismatch` where they are not as said above.
    public init(values: Tensor, scales: Tensor, as coding: EightBitCoding) throws(SwanError) {
        let contract = Contract("QuantizedRows")
        try contract.type(values, of: "values", coding.format.dtype)
        try contract.rank(values.shape, of: "values", "rows", "width")
        try contract.vector(scales, of: "scales", values.shape[0])
        (self.values, self.scales, self.coding) = (values, scales, coding)
    }

    /// Some of the rows; shares the memory.
    public func rows(_ range: Range<Int>) throws(SwanError) -> QuantizedRows {
        try QuantizedRows(values: values.rows(range), scales: scales.rows(range), as: coding)
    }
}

/// The weights of a linear layer in eight bits, in host memory: element `[o, i]` is `values[o, i] * scales[o]`, of rows
/// that may be rotated.
public struct EightBitWeight: Sendable {
    /// Eight-bit `[outputs, inputs]`.
    public let values: HostTensor
    /// float32 `[outputs]`.
    public let scales: HostTensor
    /// How the rows are stored.
    public let coding: EightBitCoding

    /// Puts numbers and scales together, as files hold them: of rows as they are.
    ///
    /// - Parameters:
    ///   - values: float8E4M3 or int8 `[outputs, inputs]`.
    ///   - scales: one for each output, `[outputs]` or `[outputs, 1]`, or one for all; any floating-point type.
    /// - Throws: `tensor.shape-mismatch` for anything else.
    public init(values: HostTensor, scales: HostTensor) throws(SwanError) {
        guard let format = EightBitFormat(values.dtype), values.shape.rank == 2, values.shape.count > 0 else {
            throw SwanError(
                .shapeMismatch,
                "EightBitWeight: values of type \(values.dtype) and shape \(values.shape), expected float8E4M3 or int8 [outputs, inputs]."
            )
        }
        let outputs = values.shape[0]
        guard scales.dtype.isFloatingPoint,
            scales.shape.count == 1 || scales.shape == [outputs] || scales.shape == [outputs, 1]
        else {
            throw SwanError(
                .shapeMismatch,
                "EightBitWeight: scales of type \(scales.dtype) and shape \(scales.shape), expected one real number or [\(outputs)]."
            )
        }
        let numbers = try scales.floats()
        self.values = values
        self.scales = HostTensor(
            [outputs], numbers.count == 1 ? Array(repeating: numbers[0], count: outputs) : numbers)
        coding = EightBitCoding(format)
    }

    /// Takes what a file holds as it is; nil where that is another format, or has a scale for each block.
    ///
    /// What activations were scaled by when the file was made (`inputScale`) is of no use here: each row of them gets the
    /// scale that suits it.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs]`; without a scale its numbers are the weights.
    ///   - format: the eight-bit numbers that are wanted.
    public init?(stored weight: HostTensor, as format: EightBitFormat) throws(SwanError) {
        if let stored = weight.quantized {
            guard EightBitFormat(stored.dtype) == format, stored.granularity == .row || stored.granularity == .tensor
            else { return nil }
            try self.init(
                values: HostTensor(weight.shape, stored.dtype, stored.payload),
                scales: HostTensor([stored.scales.count], stored.scales))
        } else {
            guard weight.dtype.isFloatingPoint, EightBitFormat(weight.dtype) == format else { return nil }
            try self.init(values: weight, scales: HostTensor([1], [1]))
        }
    }

    /// Rounds weights, each row by its own scale.
    ///
    /// - Parameters:
    ///   - weight: `[outputs, inputs]`, any floating-point type.
    ///   - coding: how the rows are stored.
    public init(_ weight: HostTensor, as coding: EightBitCoding) throws(SwanError) {
        let shapes = try LinearWeightShapes(weight: weight, bias: nil)
        let weight = weight.merged
        let (outputs, inputs) = (shapes.outputs, shapes.inputs)
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: outputs * inputs, alignment: 64)
        let all = bytes.bindMemory(to: UInt8.self)
        // Rows that cut a block of the stored type are widened all at once.
        let isWhole = inputs % weight.dtype.blockElements == 0
        let widened = isWhole ? [] : try weight.floats()
        var row = [Float](repeating: 0, count: inputs)
        var scales: [Float] = []
        for output in 0 ..< outputs {
            let range = output * inputs ..< (output + 1) * inputs
            row.withUnsafeMutableBufferPointer { row in
                guard let base = row.baseAddress else { return }
                if isWhole {
                    weight.copyFloats(range, to: base)
                } else {
                    _ = row.update(fromContentsOf: widened[range])
                }
            }
            scales.append(
                row.withUnsafeBufferPointer {
                    coding.encode($0, into: UnsafeMutableBufferPointer(rebasing: all[range]))
                }
            )
        }
        values = try HostTensor(weight.shape, coding.format.dtype, HostBytes(owning: bytes))
        self.scales = HostTensor([outputs], scales)
        self.coding = coding
    }

    /// The weights that the numbers stand for, rotated if they are, each rounded once to float32.
    package func dequantized() throws(SwanError) -> HostTensor {
        let numbers = try values.floats()
        let factors = try scales.floats()
        let inputs = values.shape[1]
        return HostTensor(values.shape, numbers.indices.map { numbers[$0] * factors[$0 / inputs] })
    }
}
