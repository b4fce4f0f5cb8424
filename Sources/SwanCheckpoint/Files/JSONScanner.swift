package import SwanDiagnostics
package import SwanTensor

/// A value of a JSON text.
package enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    /// A number without fraction and exponent that fits.
    case integer(Int)
    /// Any other number.
    case number(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])
}

/// Reads JSON from people we do not know: strict about the grammar and UTF-8, and, unlike Foundation's
/// parsers, about keys that occur twice; bounded in depth and in the number of values.
///
/// Source: RFC 8259.
package struct JSONScanner {
    private static let maximumDepth = 8
    private static let maximumValues = 16_000_000

    private let bytes: UnsafeRawBufferPointer
    private let origin: String
    private var offset = 0
    private var values = 0

    /// Reads one value and the white space around it.
    ///
    /// - Parameter origin: names the text in messages.
    /// - Throws: `checkpoint.malformed` with the place.
    package static func parse(_ bytes: HostBytes, origin: String) throws(SwanError) -> JSONValue {
        try bytes.withBytes { (raw) throws(SwanError) in try parse(raw, origin: origin) }
    }

    static func parse(_ bytes: UnsafeRawBufferPointer, origin: String) throws(SwanError) -> JSONValue {
        var scanner = JSONScanner(bytes: bytes, origin: origin)
        let value = try scanner.value(depth: 1)
        scanner.skipSpace()
        guard scanner.offset == bytes.count else { throw scanner.fault("expected the end") }
        return value
    }

    private init(bytes: UnsafeRawBufferPointer, origin: String) {
        self.bytes = bytes
        self.origin = origin
    }

    private func fault(_ problem: String) -> SwanError {
        SwanError(
            .malformed, "\(origin): \(problem) at byte \(offset) of \(bytes.count).", advice: SwanError.fetchAgain)
    }

    private var next: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    private mutating func skipSpace() {
        while let byte = next, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { offset += 1 }
    }

    /// Takes the next byte if it is `byte`.
    private mutating func take(_ byte: Unicode.Scalar) -> Bool {
        guard next == UInt8(ascii: byte) else { return false }
        offset += 1
        return true
    }

    private mutating func value(depth: Int) throws(SwanError) -> JSONValue {
        guard depth <= Self.maximumDepth else { throw fault("nested deeper than \(Self.maximumDepth) levels") }
        values += 1
        guard values <= Self.maximumValues else { throw fault("more than \(Self.maximumValues) values") }
        skipSpace()
        switch next {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func word(_ word: StaticString, _ value: JSONValue) throws(SwanError) -> JSONValue {
        let count = word.utf8CodeUnitCount
        guard bytes.count - offset >= count,
            word.withUTF8Buffer({ $0.elementsEqual(bytes[offset ..< offset + count]) })
        else { throw fault("expected a value") }
        offset += count
        return value
    }

    private mutating func object(depth: Int) throws(SwanError) -> JSONValue {
        offset += 1
        var members: [String: JSONValue] = [:]
        skipSpace()
        if take("}") { return .object(members) }
        repeat {
            skipSpace()
            guard next == UInt8(ascii: "\"") else { throw fault("expected a key") }
            let key = try string()
            skipSpace()
            guard take(":") else { throw fault("expected ':'") }
            let value = try value(depth: depth + 1)
            guard members.updateValue(value, forKey: key) == nil else {
                throw fault("the key '\(key.printable())' occurs twice, the second time before the value that ends")
            }
            skipSpace()
        } while take(",")
        guard take("}") else { throw fault("expected ',' or '}'") }
        return .object(members)
    }

    private mutating func array(depth: Int) throws(SwanError) -> JSONValue {
        offset += 1
        var elements: [JSONValue] = []
        skipSpace()
        if take("]") { return .array(elements) }
        repeat {
            elements.append(try value(depth: depth + 1))
            skipSpace()
        } while take(",")
        guard take("]") else { throw fault("expected ',' or ']'") }
        return .array(elements)
    }

    private mutating func string() throws(SwanError) -> String {
        offset += 1
        let start = offset
        var unescaped: [UInt8]?
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                let text =
                    unescaped.map { String(validating: $0, as: UTF8.self) }
                    ?? String(validating: UnsafeRawBufferPointer(rebasing: bytes[start ..< offset]), as: UTF8.self)
                guard let text else { throw fault("a string that is not UTF-8 ends") }
                offset += 1
                return text
            case UInt8(ascii: "\\"):
                var text = unescaped ?? Array(bytes[start ..< offset])
                offset += 1
                text.append(contentsOf: String(try escape()).utf8)
                unescaped = text
            case ..<0x20:
                throw fault("a control character in a string")
            default:
                unescaped?.append(byte)
                offset += 1
            }
        }
        throw fault("a string without end")
    }

    /// The character of an escape, after its backslash.
    private mutating func escape() throws(SwanError) -> Unicode.Scalar {
        guard let byte = next else { throw fault("an escape without end") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{C}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let high = try hexadecimal()
            if let scalar = Unicode.Scalar(high) { return scalar }
            // Half of a surrogate pair: the other half must follow.
            guard high < 0xDC00, take("\\"), take("u") else { throw fault("half a surrogate pair") }
            let low = try hexadecimal()
            guard (0xDC00 ... 0xDFFF).contains(low),
                let scalar = Unicode.Scalar(0x10000 + (high - 0xD800) << 10 + (low - 0xDC00))
            else { throw fault("half a surrogate pair") }
            return scalar
        default: throw fault("an unknown escape")
        }
    }

    private mutating func hexadecimal() throws(SwanError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0 ..< 4 {
            guard let byte = next, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
                throw fault("expected four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            offset += 1
        }
        return value
    }

    private mutating func number() throws(SwanError) -> JSONValue {
        let start = offset
        _ = take("-")
        let leadingZero = next == UInt8(ascii: "0")
        let digits = skipDigits()
        guard digits > 0 else { throw fault("expected a value") }
        guard digits == 1 || !leadingZero else { throw fault("a number with a leading zero") }
        if take(".") {
            guard skipDigits() > 0 else { throw fault("expected a digit") }
        }
        if take("e") || take("E") {
            _ = take("+") || take("-")
            guard skipDigits() > 0 else { throw fault("expected a digit") }
        }
        let text = String(decoding: bytes[start ..< offset], as: UTF8.self)
        // "-0" is the floating-point zero, not a count.
        if text != "-0", let integer = Int(text) { return .integer(integer) }
        guard let number = Double(text), number.isFinite else { throw fault("a number out of range ends") }
        return .number(number)
    }

    /// Takes digits and says how many.
    private mutating func skipDigits() -> Int {
        let start = offset
        while let byte = next, (UInt8(ascii: "0") ... UInt8(ascii: "9")).contains(byte) { offset += 1 }
        return offset - start
    }
}
