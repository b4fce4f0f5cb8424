import SwanDiagnostics
import SwanText
import Testing

@Suite struct SentencePieceTokenizerTests {
    @Test(arguments: [
        Segmented(text: "the cat", ids: [264, 262]),
        Segmented(text: "the cats", ids: [264, 262, 263]),
        Segmented(text: "a cat, the cat", ids: [261, 262, 272, 264, 262]),
        Segmented(text: "cathe", ids: [262, 266, 267]),
        Segmented(text: "色猫", ids: [274, 273]),
        Segmented(text: "the  cat", ids: [264, 262]),
        Segmented(text: "猫 色", ids: [260, 273, 274]),
        Segmented(text: "xyz", ids: [260, 124, 125, 126]),
        Segmented(text: "é", ids: [260, 199, 173]),
        Segmented(text: "hat", ids: [260, 266, 268, 265]),
        Segmented(text: "a\tcat", ids: [261, 13, 270, 265]),
        Segmented(text: " a ", ids: [261]),
        Segmented(text: "cat🦙", ids: [262, 244, 163, 170, 157]),
        Segmented(text: "the▁cat", ids: [264, 262]),
        Segmented(text: "", ids: []),
        Segmented(text: "   ", ids: []),
        Segmented(text: "a\u{0}", ids: [261, 4]),
        // Special tokens are text: '<', '/', 's', '>' and so on.
        Segmented(text: "</s>", ids: [260, 64, 51, 263, 66]),
        Segmented(text: "<0x41>", ids: [260, 64, 52, 124, 56, 53, 66]),
    ])
    func segmentsAsTheSpecificationSays(expected: Segmented) throws {
        let tokenizer = try SentencePieceTokenizer(model: HandModel().bytes)
        #expect(try tokenizer.encode(expected.text) == expected.ids + [1])
    }

    @Test func readsTheSpecialIDsFromTheFile() throws {
        let plain = try SentencePieceTokenizer(model: HandModel().bytes)
        #expect(plain.vocabularySize == 276)
        #expect((plain.padID, plain.endID, plain.unknownID) == (0, 1, 3))

        var moved = HandModel()
        moved.pieces.swapAt(1, 270)
        moved.pieces.swapAt(3, 2)
        moved.pieces[0].text = "<nothing>"
        let tokenizer = try SentencePieceTokenizer(model: moved.bytes)
        #expect((tokenizer.padID, tokenizer.endID, tokenizer.unknownID) == (nil, 270, 2))
        #expect(try tokenizer.encode("the") == [264, 270])
    }

    /// Without byte pieces, a run of unknown characters is one unknown id.
    @Test func fallsBackToTheUnknownID() throws {
        var model = HandModel()
        model.pieces.removeAll { $0.type == 6 }
        model.hasByteFallback = false
        let tokenizer = try SentencePieceTokenizer(model: model.bytes)
        #expect(try tokenizer.encode("xyz the") == [4, 3, 8, 1])
    }

    @Test func followsTheFlagsOfTheFile() throws {
        var model = HandModel()
        model.normalizerFlags = [(3, 0)]  // add_dummy_prefix
        #expect(try SentencePieceTokenizer(model: model.bytes).encode("the cat") == [265, 266, 267, 262, 1])
        model.normalizerFlags = [(4, 0)]  // remove_extra_whitespaces
        #expect(try SentencePieceTokenizer(model: model.bytes).encode("the  cat") == [264, 260, 262, 1])
        model.normalizerFlags = [(5, 0)]  // escape_whitespaces
        let ids = try SentencePieceTokenizer(model: model.bytes).encode("the cat")
        #expect(ids == [36, 265, 266, 267, 36, 270, 265, 1])
        model.normalizerFlags = []
        model.trainerFlags = [(24, 1)]  // treat_whitespace_as_suffix
        #expect(try SentencePieceTokenizer(model: model.bytes).encode("the cat") == [265, 266, 267, 262, 260, 1])
    }

    @Test func cutsLongTextsAndKeepsTheEnd() throws {
        let tokenizer = try SentencePieceTokenizer(model: HandModel().bytes)
        let text = String(repeating: "the cat ", count: 300)
        let ids = try tokenizer.encode(text)
        #expect(ids.count == 512)
        #expect(Array(ids.prefix(511)) == Array((0 ..< 300).flatMap { _ in [264, 262] as [Int32] }.prefix(511)))
        #expect(ids.last == 1)
        #expect(try tokenizer.encode(text, maximumLength: 601).count == 601)
        #expect(try tokenizer.encode(text, maximumLength: 602).count == 601)
        #expect(try tokenizer.encode(text, maximumLength: 3) == [264, 262, 1])
        #expect(try tokenizer.encode(text, maximumLength: 1) == [1])
        #expect(try tokenizer.encode("the cat", maximumLength: 3) == [264, 262, 1])
        #expect(try tokenizer.encode("the cat", maximumLength: 2) == [264, 1])
        #expect(try tokenizer.encode("the cat", maximumLength: .max) == [264, 262, 1])
    }

    /// A trained model with the settings of UMT5's (nmt_nfkc, byte fallback), against the ids that the
    /// sentencepiece package gives.
    @Test func agreesWithTheReferenceOnATrainedModel() throws {
        let tokenizer = try SentencePieceTokenizer(model: try Fixture.bytes("small.model"))
        let texts = try Fixture.decoded("small.json", as: [Segmented].self)
        #expect(texts.count >= 30)
        for expected in texts {
            #expect(try tokenizer.encode(expected.text) == expected.ids + [1], "\(expected.text.debugDescription)")
        }
    }

    @Test func servesSeveralThreads() async throws {
        let tokenizer = try SentencePieceTokenizer(model: try Fixture.bytes("small.model"))
        let texts = try Fixture.decoded("small.json", as: [Segmented].self)
        await withTaskGroup(of: Int.self) { group in
            for _ in 0 ..< 4 {
                group.addTask {
                    var wrong = 0
                    for _ in 0 ..< 200 {
                        for expected in texts where (try? tokenizer.encode(expected.text)) != expected.ids + [1] {
                            wrong += 1
                        }
                    }
                    return wrong
                }
            }
            for await wrong in group { #expect(wrong == 0) }
        }
    }
}

/// The code of the error that a closure throws.
func code(_ body: () throws -> some Any) -> SwanError.Code? {
    do {
        _ = try body()
        return nil
    } catch {
        return (error as? SwanError)?.code
    }
}
