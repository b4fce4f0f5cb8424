import FoundationEssentials
import SwanText
import Testing

/// The files beside the scripts in `Tests/Fixtures/text`.
enum Fixture {
    static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Fixtures/text")

    static func path(_ name: String) -> String { folder.appending(path: name).path }

    static func bytes(_ name: String) throws -> [UInt8] {
        try Array(Data(contentsOf: folder.appending(path: name)))
    }

    static func decoded<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(contentsOf: folder.appending(path: name)))
    }
}

/// A text and its ids.
struct Segmented: Decodable, Sendable, CustomTestStringConvertible {
    var text: String
    var ids: [Int32]

    var testDescription: String { text.debugDescription }
}

/// The tokenizer model of the specification, written by hand: four special pieces, 256 bytes, 16 pieces.
struct HandModel {
    struct Piece {
        var text: String
        var score: Float
        var type: UInt64
    }

    var pieces: [Piece] = {
        var pieces = [
            Piece(text: "<pad>", score: 0, type: 3), Piece(text: "</s>", score: 0, type: 3),
            Piece(text: "<s>", score: 0, type: 3), Piece(text: "<unk>", score: 0, type: 2),
        ]
        for byte in 0 ..< 256 {
            let digits = String(byte, radix: 16, uppercase: true)
            pieces.append(Piece(text: "<0x\(byte < 16 ? "0" : "")\(digits)>", score: 0, type: 6))
        }
        let normal: [(String, Float)] = [
            ("▁", -2), ("▁a", -3), ("▁cat", -5), ("s", -3.5), ("▁the", -4), ("t", -4), ("h", -4.2), ("e", -4.1),
            ("a", -4.3), ("c", -4.4), ("ca", -6.5), ("▁th", -5.5), (",", -3.2), ("猫", -7), ("▁色", -7.5), ("色", -8),
        ]
        return pieces + normal.map { Piece(text: $0.0, score: $0.1, type: 1) }
    }()
    var modelType: UInt64 = 1
    var hasByteFallback = true
    var charsmap: [UInt8] = []
    /// Further flags of the trainer's and the normaliser's specification: field, value.
    var trainerFlags: [(UInt64, UInt64)] = []
    var normalizerFlags: [(UInt64, UInt64)] = []

    /// The model as a ModelProto.
    var bytes: [UInt8] {
        var model = ProtobufWriter()
        for piece in pieces {
            var message = ProtobufWriter()
            message.bytes(1, Array(piece.text.utf8))
            message.float(2, piece.score)
            message.varint(3, piece.type)
            model.bytes(1, message.content)
        }
        var trainer = ProtobufWriter()
        trainer.varint(3, modelType)
        trainer.varint(35, hasByteFallback ? 1 : 0)
        trainer.varint(40, 3)
        for (field, value) in trainerFlags { trainer.varint(field, value) }
        model.bytes(2, trainer.content)
        var normalizer = ProtobufWriter()
        normalizer.bytes(1, Array("identity".utf8))
        normalizer.bytes(2, charsmap)
        for (field, value) in normalizerFlags { normalizer.varint(field, value) }
        model.bytes(3, normalizer.content)
        return model.content
    }
}

/// A small generator of repeatable numbers (xorshift64*).
struct Numbers: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_f491_4f6c_dd1d
    }
}
