import SwanDiagnostics

/// Walks the fields of one protobuf message, trusting no length in it.
///
/// Source: protobuf.dev, "Encoding" (wire format of proto2).
struct ProtobufReader {
    /// A field's content, by wire type.
    enum Value {
        case varint(UInt64)
        case fixed32(UInt32)
        case fixed64
        case bytes(Range<Int>)
    }

    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    /// A reader of the message at `range` of `bytes`; `range` lies within them.
    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    /// The next field, or nil at the end of the message.
    mutating func next() throws(SwanError) -> (field: Int, value: Value)? {
        guard position < end else { return nil }
        let tag = try varint()
        guard let field = Int(exactly: tag >> 3), (1 ..< 1 << 29).contains(field) else {
            throw damaged("field number \(tag >> 3)")
        }
        switch tag & 7 {
        case 0:
            return (field, .varint(try varint()))
        case 1:
            _ = try take(8)
            return (field, .fixed64)
        case 2:
            let length = try varint()
            guard let count = Int(exactly: length) else { throw damaged("length \(length)") }
            return (field, .bytes(try take(count)))
        case 5:
            let range = try take(4)
            return (field, .fixed32(bytes[range].reversed().reduce(0) { $0 << 8 | UInt32($1) }))
        default:
            throw damaged("wire type \(tag & 7)")
        }
    }

    private mutating func varint() throws(SwanError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard position < end else { throw damaged("a number that is cut off") }
            let byte = bytes[position]
            position += 1
            guard shift < 63 || byte <= 1 else { break }
            value |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return value }
        }
        throw damaged("a number of more than 64 bits")
    }

    private mutating func take(_ count: Int) throws(SwanError) -> Range<Int> {
        guard count <= end - position else { throw damaged("\(count) bytes where \(end - position) are left") }
        defer { position += count }
        return position ..< position + count
    }

    private func damaged(_ what: String) -> SwanError {
        .invalidTokenizer("it has \(what) before byte \(position)")
    }
}

extension SwanError {
    /// A tokenizer model that is not what it should be: `what` completes "The tokenizer model is not usable: …".
    static func invalidTokenizer(_ what: String) -> SwanError {
        SwanError(
            .tokenizerInvalid, "The tokenizer model is not usable: \(what).",
            advice: "Use the 'spiece.model' that belongs to the text encoder; fetch it again if it may be damaged.")
    }
}
