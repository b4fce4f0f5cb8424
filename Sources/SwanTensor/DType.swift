/// The element types of tensors, in files and on devices.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
    case float64, float32, float16, bfloat16
    /// Eight bits, 4 exponent and 3 mantissa bits, no infinity ("fn").
    case float8E4M3
    /// Eight bits, 5 exponent and 2 mantissa bits, IEEE-like.
    case float8E5M2
    case int64, int32, int16, int8, uint8, bool
    /// GGUF blocks of 32 signed bytes with one float16 scale.
    case q80 = "Q8_0"
    /// GGUF blocks of 32: four or five bits, one float16 scale, in the second of each a float16 minimum.
    case q40 = "Q4_0"
    case q41 = "Q4_1"
    case q50 = "Q5_0"
    case q51 = "Q5_1"
    /// GGUF superblocks of 256: two to six bits, with quantised scales of runs of 16 or 32.
    case q2K = "Q2_K"
    case q3K = "Q3_K"
    case q4K = "Q4_K"
    case q5K = "Q5_K"
    case q6K = "Q6_K"
    /// GGUF blocks of 32 and superblocks of 256 whose four bits name one of sixteen unevenly spaced values.
    case iq4NL = "IQ4_NL"
    case iq4XS = "IQ4_XS"

    /// Elements per stored block: 1, but 32 or 256 for GGUF's quantised types.
    public var blockElements: Int {
        switch self {
        case .float64, .float32, .float16, .bfloat16, .float8E4M3, .float8E5M2, .int64, .int32, .int16, .int8, .uint8,
            .bool:
            1
        case .q40, .q41, .q50, .q51, .q80, .iq4NL: 32
        case .q2K, .q3K, .q4K, .q5K, .q6K, .iq4XS: 256
        }
    }

    /// Bytes per stored block.
    public var blockBytes: Int {
        switch self {
        case .float64, .int64: 8
        case .float32, .int32: 4
        case .float16, .bfloat16, .int16: 2
        case .float8E4M3, .float8E5M2, .int8, .uint8, .bool: 1
        case .q40, .iq4NL: 18
        case .q41: 20
        case .q50: 22
        case .q51: 24
        case .q80: 34
        case .q2K: 84
        case .q3K: 110
        case .q4K: 144
        case .q5K: 176
        case .q6K: 210
        case .iq4XS: 136
        }
    }

    /// Whether the values are real numbers that weights can be made of.
    public var isFloatingPoint: Bool {
        switch self {
        case .int64, .int32, .int16, .int8, .uint8, .bool: false
        default: true
        }
    }

    /// Bytes of `elements` values, or nil when they do not fill whole blocks or the size overflows.
    public func bytes(elements: Int) -> Int? {
        guard elements >= 0, elements % blockElements == 0 else { return nil }
        let (bytes, overflow) = (elements / blockElements).multipliedReportingOverflow(by: blockBytes)
        return overflow ? nil : bytes
    }
}
