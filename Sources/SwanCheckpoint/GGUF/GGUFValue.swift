import SwanDiagnostics

/// A value of a GGUF file's metadata.
public enum GGUFValue: Sendable, Hashable {
    /// An integer of any width.
    case integer(Int)
    /// A float32 or float64.
    case float(Double)
    /// A Boolean.
    case bool(Bool)
    /// A text.
    case string(String)
    /// An array of unsigned bytes.
    case bytes([UInt8])
    /// An array of integers of any other width.
    case integers([Int])
    /// An array of float32 or float64, the latter rounded.
    case floats([Float])
    /// An array of Booleans.
    case bools([Bool])
    /// An array of texts.
    case strings([String])
}

/// The types of metadata values.
///
/// Source: ggml-org/ggml `docs/gguf.md`, `gguf_metadata_value_type`.
private enum GGUFValueType: UInt32 {
    case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

    /// The fewest bytes that a value takes.
    var minimumBytes: Int {
        switch self {
        case .uint8, .int8, .bool: 1
        case .uint16, .int16: 2
        case .uint32, .int32, .float32: 4
        case .uint64, .int64, .float64, .string: 8
        case .array: 12
        }
    }
}

extension ByteCursor {
    /// The next text: its length, then its bytes.
    mutating func ggufString(_ what: @autoclosure () -> String) throws(SwanError) -> String {
        let length = try read(UInt64.self, what())
        return try text(bytes: length, what())
    }

    /// The next metadata value, after its key.
    mutating func ggufValue(_ key: String) throws(SwanError) -> GGUFValue {
        func what() -> String { "the value of '\(key.printable())'" }
        let type = try ggufType(what())
        guard type == .array else {
            return switch type {
            case .float32, .float64: .float(try ggufFloat(type, what()))
            case .bool: .bool(try ggufBool(what()))
            case .string: .string(try ggufString(what()))
            default: .integer(try ggufInteger(type, what()))
            }
        }
        let element = try ggufType(what())
        let count = try read(UInt64.self, what())
        guard count <= 1 << 24 else {
            throw SwanError(
                .malformed, "\(origin): \(what()) is an array of \(count) elements, at most 2^24 are read.",
                advice: SwanError.fetchAgain)
        }
        // Bounds the memory before any is taken.
        guard count <= UInt64(remaining / element.minimumBytes) else {
            throw SwanError(
                .truncated, "\(origin): \(what()) is an array of \(count) elements, and \(remaining) bytes are left.",
                advice: SwanError.fetchAgain)
        }
        func elements<T>(_ next: (inout ByteCursor) throws(SwanError) -> T) throws(SwanError) -> [T] {
            var values: [T] = []
            for _ in 0 ..< count { values.append(try next(&self)) }
            return values
        }
        switch element {
        case .uint8: return .bytes(try Array(read(bytes: count, what())))
        case .float32, .float64:
            return .floats(try elements { (cursor) throws(SwanError) in Float(try cursor.ggufFloat(element, what())) })
        case .bool: return .bools(try elements { (cursor) throws(SwanError) in try cursor.ggufBool(what()) })
        case .string: return .strings(try elements { (cursor) throws(SwanError) in try cursor.ggufString(what()) })
        case .array:
            throw SwanError(.unsupported, "\(origin): \(what()) is an array of arrays.", advice: SwanError.fetchAgain)
        default:
            return .integers(try elements { (cursor) throws(SwanError) in try cursor.ggufInteger(element, what()) })
        }
    }

    private mutating func ggufType(_ what: @autoclosure () -> String) throws(SwanError) -> GGUFValueType {
        let number = try read(UInt32.self, what())
        guard let type = GGUFValueType(rawValue: number) else {
            throw SwanError(
                .malformed, "\(origin): \(what()) has the unknown type \(number).", advice: SwanError.fetchAgain)
        }
        return type
    }

    private mutating func ggufInteger(_ type: GGUFValueType, _ what: @autoclosure () -> String) throws(SwanError) -> Int
    {
        switch type {
        case .uint8: return Int(try read(UInt8.self, what()))
        case .int8: return Int(try read(Int8.self, what()))
        case .uint16: return Int(try read(UInt16.self, what()))
        case .int16: return Int(try read(Int16.self, what()))
        case .uint32: return Int(try read(UInt32.self, what()))
        case .int32: return Int(try read(Int32.self, what()))
        case .int64: return Int(try read(Int64.self, what()))
        default:
            let value = try read(UInt64.self, what())
            guard let integer = Int(exactly: value) else {
                throw SwanError(
                    .unsupported, "\(origin): \(what()) is \(value), at most \(Int.max) is read.",
                    advice: SwanError.fetchAgain)
            }
            return integer
        }
    }

    private mutating func ggufFloat(_ type: GGUFValueType, _ what: @autoclosure () -> String) throws(SwanError)
        -> Double
    {
        type == .float32
            ? Double(Float(bitPattern: try read(UInt32.self, what())))
            : Double(bitPattern: try read(UInt64.self, what()))
    }

    private mutating func ggufBool(_ what: @autoclosure () -> String) throws(SwanError) -> Bool {
        let byte = try read(UInt8.self, what())
        guard byte <= 1 else {
            throw SwanError(
                .malformed, "\(origin): \(what()) is the Boolean \(byte), expected 0 or 1.",
                advice: SwanError.fetchAgain)
        }
        return byte == 1
    }
}
