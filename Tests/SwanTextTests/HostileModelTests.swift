import SwanDiagnostics
import SwanText
import Testing

/// Damaged and hostile models throw, or give a tokenizer that keeps its promises. A crash ends the run.
@Suite struct HostileModelTests {
    /// One thing wrong each.
    enum Fault: String, CaseIterable {
        case noEnd, endIsText, noUnknown, twoUnknowns, twiceTheSamePiece, byteMissing, byteMisspelt, emptyPiece
        case bytePiecesWithoutFallback, otherModelType, scoreNaN, scoreInfinite, nulInPiece, longPiece, unknownType
        case noNormalPiece, oneByteCharsmap, charsmapWithoutPool, charsmapPointsOutside, charsmapValueOutside
        case charsmapPoolNotTerminated, charsmapPoolNotText, charsmapSizeHuge, charsmapSizeOdd

        var model: HandModel {
            var model = HandModel()
            switch self {
            case .noEnd: model.pieces[1].text = "<end>"
            case .endIsText: model.pieces[1].type = 1
            case .noUnknown: model.pieces[3].type = 3
            case .twoUnknowns: model.pieces[2].type = 2
            case .twiceTheSamePiece: model.pieces[265].text = "s"
            case .byteMissing: model.pieces.remove(at: 100)
            case .byteMisspelt: model.pieces[100].text = "<0xGG>"
            case .emptyPiece: model.pieces[262].text = ""
            case .bytePiecesWithoutFallback: model.hasByteFallback = false
            case .otherModelType: model.modelType = 2
            case .scoreNaN: model.pieces[262].score = .nan
            case .scoreInfinite: model.pieces[262].score = -.infinity
            case .nulInPiece: model.pieces[262].text = "s\u{0}x"
            case .longPiece: model.pieces[262].text = String(repeating: "a", count: 1_000_000)
            case .unknownType: model.pieces[262].type = 9
            case .noNormalPiece: model.pieces.removeLast(16)
            case .oneByteCharsmap: model.charsmap = [1]
            case .charsmapWithoutPool: model.charsmap = charsmap(pool: [])
            case .charsmapPointsOutside: model.charsmap = charsmap { $0[0] = 300 << 10 }
            case .charsmapValueOutside: model.charsmap = charsmap { $0[1] = 0x8000_0004 }
            case .charsmapPoolNotTerminated: model.charsmap = charsmap(pool: Array("bcd".utf8))
            case .charsmapPoolNotText: model.charsmap = charsmap(pool: [0xff, 0])
            case .charsmapSizeHuge: model.charsmap = [0xff, 0xff, 0xff, 0xff] + charsmap().dropFirst(4)
            case .charsmapSizeOdd: model.charsmap = [0xfc, 0x03, 0, 0] + charsmap().dropFirst(4)
            }
            return model
        }
    }

    @Test(arguments: Fault.allCases)
    func refuses(fault: Fault) {
        #expect(code { try SentencePieceTokenizer(model: fault.model.bytes) } == .tokenizerInvalid)
    }

    /// The table that the faults above start from is sound, and maps `a` to `t`.
    @Test func acceptsTheTableWithoutFault() throws {
        var model = HandModel()
        model.charsmap = charsmap()
        let tokenizer = try SentencePieceTokenizer(model: model.bytes)
        #expect(try tokenizer.encode("a") == [260, 265, 1])
    }

    @Test func refusesOtherFiles() {
        #expect(code { try SentencePieceTokenizer(model: []) } == .tokenizerInvalid)
        #expect(
            code { try SentencePieceTokenizer(model: Array("{\"model\": {\"type\": \"Unigram\"}}".utf8)) }
                == .tokenizerInvalid)
        #expect(code { try SentencePieceTokenizer(model: [UInt8](repeating: 0xff, count: 4096)) } == .tokenizerInvalid)
    }

    /// The normaliser's specification stands last, so that no shorter file is whole.
    @Test func refusesEveryTruncation() {
        let bytes = HandModel().bytes
        for count in bytes.indices {
            #expect(code { try SentencePieceTokenizer(model: bytes.prefix(count)) } == .tokenizerInvalid, "\(count)")
        }
    }

    @Test func survivesMutationsOfTheHandModel() throws {
        try survivesMutations(of: HandModel().bytes, times: 3000, seed: 1)
    }

    @Test func survivesMutationsOfATrainedModel() throws {
        try survivesMutations(of: try Fixture.bytes("small.model"), times: 400, seed: 2)
    }

    /// Mutations that hit only the normaliser's table, where the library itself checks least.
    @Test func survivesMutationsOfTheCharsmap() throws {
        var numbers = Numbers(seed: 3)
        for _ in 0 ..< 1000 {
            var model = HandModel()
            model.charsmap = charsmap { units in
                for _ in 0 ..< Int.random(in: 1 ... 3, using: &numbers) {
                    let unit =
                        [0, 1, 0x61, 0x60, Int.random(in: 0 ..< 256, using: &numbers)].randomElement(using: &numbers)
                        ?? 0
                    units[unit] =
                        UInt32(truncatingIfNeeded: numbers.next()) >> UInt32.random(in: 0 ..< 32, using: &numbers)
                }
            }
            try survives(model.bytes)
        }
    }

    private func survivesMutations(of bytes: [UInt8], times: Int, seed: UInt64) throws {
        var numbers = Numbers(seed: seed)
        for _ in 0 ..< times {
            var mutated = bytes
            for _ in 0 ..< Int.random(in: 1 ... 4, using: &numbers) {
                let position = Int.random(in: mutated.indices, using: &numbers)
                switch Int.random(in: 0 ..< 5, using: &numbers) {
                case 0: mutated[position] ^= 1 << UInt8.random(in: 0 ..< 8, using: &numbers)
                case 1: mutated[position] = UInt8.random(in: 0 ... 255, using: &numbers)
                case 2: mutated[position] = 0xff
                case 3: mutated.remove(at: position)
                default: mutated.insert(UInt8.random(in: 0 ... 255, using: &numbers), at: position)
                }
            }
            try survives(mutated)
        }
    }

    private func survives(_ bytes: [UInt8]) throws {
        var tokenizer: SentencePieceTokenizer?
        let refused = code {
            tokenizer = try SentencePieceTokenizer(model: bytes)
            return true
        }
        guard let tokenizer else {
            #expect(refused == .tokenizerInvalid)
            return
        }
        for text in ["a cat, the 猫", "ＡＢ\u{301} 🦙 aaa", "\u{0}\u{1}"] {
            var ids: [Int32] = []
            let failed = code {
                ids = try tokenizer.encode(text)
                return true
            }
            #expect(failed == nil || failed == .tokenizerFailed)
            #expect(ids.allSatisfy { (0 ..< Int32(tokenizer.vocabularySize)).contains($0) })
        }
    }
}

/// A normaliser's table of one block that maps `a` to the first text of `pool`.
private func charsmap(pool: [UInt8] = Array("t\u{0}".utf8), _ change: (inout [UInt32]) -> Void = { _ in }) -> [UInt8] {
    var units = [UInt32](repeating: 0x8000_0000, count: 256)
    units[0] = 0  // the root: its children lie at their labels
    units[0x61] = 0x60 << 10 | 0x61 | 0x100  // `a`: a match ends here, its value lies at 0x61 ^ 0x60 = 1
    units[1] = 0x8000_0000  // offset 0 of the pool
    change(&units)
    var bytes: [UInt8] = []
    for word in [UInt32(units.count * 4)] + units {
        for shift in stride(from: UInt32(0), to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    return bytes + pool
}
