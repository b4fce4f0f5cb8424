/// The element types of tensors, in files and on devices.
public enum DType: String, Sendable, Hashable, CaseIterable, Codable {
    case float64, float32, float16, bfloat16
    /// Eight bits, 4 exponent and 3 mantissa bits, no infinity ("fn").
    case float8E4M3
    /// Eight bits, 5 exponent and 2 mantissa bits, IEEE-like.
    case float8E5M2
    case int64, int32, int16, int8, uint8, bool
    /// GGUF blocks of 32 signed bytes with one float16 scale, 34 bytes each.
    case q80 = "Q8_0"

    /// Elements per stored block: 1, but 32 for GGUF's Q8_0.
    public var blockElements: Int { self == .q80 ? 32 : 1 }

    /// Bytes per stored block.
    public var blockBytes: Int {
        switch self {
        case .float64, .int64: 8
        case .float32, .int32: 4
        case .float16, .bfloat16, .int16: 2
        case .float8E4M3, .float8E5M2, .int8, .uint8, .bool: 1
        case .q80: 34
        }
    }

    /// Whether the values are real numbers that weights can be made of.
    public var isFloatingPoint: Bool {
        switch self {
        case .float64, .float32, .float16, .bfloat16, .float8E4M3, .float8E5M2, .q80: true
        default: false
        }
    }

    /// Bytes of `elements` values, or nil when they do not fill whole blocks or the size overflows.
    public func bytes(elements: Int) -> Int? {
        guard elements >= 0, elements % blockElements == 0 else { return nil }
        let (bytes, overflow) = (elements / blockElements).multipliedReportingOverflow(by: blockBytes)
        return overflow ? nil : bytes
    }
}
