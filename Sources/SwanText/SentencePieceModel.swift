import SwanDiagnostics

/// The content of a `spiece.model` file that segmentation needs, checked.
///
/// libsentencepiece trusts its model: it reads outside the normaliser's table if that says so, and ends
/// the process on some contradictions. So the file is read here, checked, and ``serialized()`` writes
/// afresh what the library gets to see: nothing reaches it that was not looked at.
///
/// Source: sentencepiece `src/sentencepiece_model.proto`; field numbers checked against the library.
struct SentencePieceModel {
    enum Kind: UInt64 {
        case normal = 1
        case unknown = 2
        case control = 3
        case userDefined = 4
        case unused = 5
        case byte = 6
    }

    struct Piece {
        var text: [UInt8] = []
        var score: Float = 0
        var kind = Kind.normal
    }

    /// Larger files and longer pieces are no tokenizer for text; the library builds its trie by a
    /// recursion as deep as the longest piece.
    static let largestFile = 64 << 20
    private static let mostPieces = 2_000_000
    private static let longestPiece = 1024

    private(set) var pieces: [Piece] = []
    private var endPiece = Array("</s>".utf8)
    private var paddingPiece = Array("<pad>".utf8)
    private var hasByteFallback = false
    private var treatsWhitespaceAsSuffix = false
    private var charsmap: [UInt8] = []
    private var addsDummyPrefix = true
    private var removesExtraWhitespace = true
    private var escapesWhitespace = true

    /// The id of the piece that ends a text.
    let endID: Int32
    /// The id of the padding piece, where there is one.
    let padID: Int32?
    /// The id of the piece for what the vocabulary cannot express.
    let unknownID: Int32

    /// Reads and checks a serialised ModelProto.
    ///
    /// - Throws: `text.tokenizer-invalid`.
    init(_ bytes: [UInt8]) throws(SwanError) {
        guard bytes.count <= Self.largestFile else {
            throw .invalidTokenizer("it has \(formatted(bytes: bytes.count)), and such files have a few megabytes")
        }
        var trainer: Range<Int>?
        var normalizer: Range<Int>?
        var pieces: [Piece] = []
        var reader = ProtobufReader(bytes, 0 ..< bytes.count)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let range)):
                guard pieces.count < Self.mostPieces else { throw .invalidTokenizer("it has too many pieces") }
                pieces.append(try Self.piece(bytes, range, id: pieces.count))
            case (2, .bytes(let range)):
                guard trainer == nil else { throw .invalidTokenizer("it has two trainer specifications") }
                trainer = range
            case (3, .bytes(let range)):
                guard normalizer == nil else { throw .invalidTokenizer("it has two normaliser specifications") }
                normalizer = range
            case (1 ... 3, _): throw .invalidTokenizer("its field \(field) is of the wrong type")
            default: break
            }
        }
        guard let trainer, let normalizer, !pieces.isEmpty else {
            throw .invalidTokenizer("it lacks its pieces, its trainer or its normaliser specification")
        }

        func id(_ kind: Kind, _ text: [UInt8]?) -> Int32? {
            pieces.firstIndex { $0.kind == kind && (text == nil || $0.text == text) }.flatMap(Int32.init(exactly:))
        }
        // The names of the special pieces come first, since they decide which ids are looked for.
        var names = SpecialNames(end: endPiece, padding: paddingPiece)
        try Self.readNames(bytes, trainer, into: &names)
        guard let endID = id(.control, names.end) else {
            throw .invalidTokenizer(
                "it has no control piece '\(String(decoding: names.end, as: UTF8.self).printable())'")
        }
        guard let unknownID = id(.unknown, nil) else { throw .invalidTokenizer("it has no piece for the unknown") }
        self.endID = endID
        self.unknownID = unknownID
        padID = id(.control, names.padding)
        endPiece = names.end
        paddingPiece = names.padding
        self.pieces = pieces
        try readTrainer(bytes, trainer)
        try readNormalizer(bytes, normalizer)
        try PrecompiledCharsmap.check(charsmap)
    }

    private static func piece(_ bytes: [UInt8], _ range: Range<Int>, id: Int) throws(SwanError) -> Piece {
        var piece = Piece()
        var reader = ProtobufReader(bytes, range)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (1, .bytes(let text)): piece.text = Array(bytes[text])
            case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
            case (3, .varint(let number)):
                guard let kind = Kind(rawValue: number) else {
                    throw .invalidTokenizer("its piece \(id) is of unknown type \(number)")
                }
                piece.kind = kind
            case (1 ... 3, _): throw .invalidTokenizer("field \(field) of its piece \(id) is of the wrong type")
            default: break
            }
        }
        guard (1 ... longestPiece).contains(piece.text.count) else {
            throw .invalidTokenizer(
                "its piece \(id) has \(piece.text.count) bytes, and 1 to \(longestPiece) are expected")
        }
        guard !piece.text.contains(0), String(validating: piece.text, as: UTF8.self) != nil else {
            throw .invalidTokenizer("its piece \(id) is no UTF-8 text")
        }
        guard piece.score.isFinite else { throw .invalidTokenizer("the score of its piece \(id) is \(piece.score)") }
        return piece
    }

    private struct SpecialNames {
        var end: [UInt8]
        var padding: [UInt8]
    }

    private static func readNames(
        _ bytes: [UInt8], _ range: Range<Int>, into names: inout SpecialNames
    ) throws(SwanError) {
        var reader = ProtobufReader(bytes, range)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (47, .bytes(let text)): names.end = Array(bytes[text])
            case (48, .bytes(let text)): names.padding = Array(bytes[text])
            default: break
            }
        }
    }

    private mutating func readTrainer(_ bytes: [UInt8], _ range: Range<Int>) throws(SwanError) {
        var reader = ProtobufReader(bytes, range)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (3, .varint(let type)):
                guard type == 1 else {
                    throw .invalidTokenizer("its model type is \(type), and 1 (unigram) is expected")
                }
            case (24, .varint(let flag)): treatsWhitespaceAsSuffix = flag != 0
            case (35, .varint(let flag)): hasByteFallback = flag != 0
            case (3, _), (24, _), (35, _), (47, .varint), (48, .varint):
                throw .invalidTokenizer("field \(field) of its trainer specification is of the wrong type")
            default: break
            }
        }
    }

    private mutating func readNormalizer(_ bytes: [UInt8], _ range: Range<Int>) throws(SwanError) {
        var reader = ProtobufReader(bytes, range)
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (2, .bytes(let map)): charsmap = Array(bytes[map])
            case (3, .varint(let flag)): addsDummyPrefix = flag != 0
            case (4, .varint(let flag)): removesExtraWhitespace = flag != 0
            case (5, .varint(let flag)): escapesWhitespace = flag != 0
            case (2 ... 5, _):
                throw .invalidTokenizer("field \(field) of its normaliser specification is of the wrong type")
            default: break
            }
        }
    }

    /// A ModelProto with the content of this value and nothing else.
    func serialized() -> [UInt8] {
        var model = ProtobufWriter()
        for piece in pieces {
            var message = ProtobufWriter()
            message.bytes(1, piece.text)
            message.float(2, piece.score)
            message.varint(3, piece.kind.rawValue)
            model.bytes(1, message.content)
        }
        var trainer = ProtobufWriter()
        trainer.varint(3, 1)
        trainer.varint(24, treatsWhitespaceAsSuffix ? 1 : 0)
        trainer.varint(35, hasByteFallback ? 1 : 0)
        trainer.bytes(47, endPiece)
        trainer.bytes(48, paddingPiece)
        model.bytes(2, trainer.content)
        var normalizer = ProtobufWriter()
        normalizer.bytes(2, charsmap)
        normalizer.varint(3, addsDummyPrefix ? 1 : 0)
        normalizer.varint(4, removesExtraWhitespace ? 1 : 0)
        normalizer.varint(5, escapesWhitespace ? 1 : 0)
        model.bytes(3, normalizer.content)
        return model.content
    }
}

/// Writes the fields of one protobuf message.
package struct ProtobufWriter {
    /// The message so far.
    package private(set) var content: [UInt8] = []

    /// An empty message.
    package init() {}

    /// Adds a number or a flag.
    package mutating func varint(_ field: UInt64, _ value: UInt64) {
        append(field << 3)
        append(value)
    }

    /// Adds a 32-bit float.
    package mutating func float(_ field: UInt64, _ value: Float) {
        append(field << 3 | 5)
        for shift in stride(from: 0, to: 32, by: 8) {
            content.append(UInt8(truncatingIfNeeded: value.bitPattern >> UInt32(shift)))
        }
    }

    /// Adds bytes, text or a message.
    package mutating func bytes(_ field: UInt64, _ value: some Collection<UInt8>) {
        append(field << 3 | 2)
        append(UInt64(value.count))
        content += value
    }

    private mutating func append(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            content.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        content.append(UInt8(rest))
    }
}
