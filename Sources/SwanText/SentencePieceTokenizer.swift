import CSwanSentencePiece
public import SwanDiagnostics

/// Turns text into token ids with a SentencePiece unigram model, as UMT5 uses it.
///
/// Special tokens that a user types (`</s>`, `<pad>`, `<extra_id_0>`) are plain text here, unlike in
/// Hugging Face's tokenizers, which cut them out of the text.
///
/// Sendable: the handle is set once, and libsentencepiece's `Encode` is a const member that reads the
/// loaded model and keeps its working memory in the call, so that threads do not meet.
public final class SentencePieceTokenizer: PromptTokenizer, @unchecked Sendable {
    private let handle: OpaquePointer
    /// The number of pieces; every id is below it.
    public let vocabularySize: Int
    /// The id that ends a text.
    public let endID: Int32
    /// The id for padding, where the model has one.
    public let padID: Int32?
    /// The id for text that the vocabulary cannot express; never emitted by a model with byte pieces.
    public let unknownID: Int32

    /// Loads a model from the bytes of a `spiece.model`.
    ///
    /// - Throws: `text.tokenizer-invalid` for bytes that are no unigram model with an end piece, whatever
    ///   they hold.
    public init(model: some Sequence<UInt8>) throws(SwanError) {
        let parsed = try SentencePieceModel(Array(model))
        let bytes = parsed.serialized()
        var message = [CChar](repeating: 0, count: 512)
        let opened = bytes.withUnsafeBytes {
            swan_sentencepiece_open($0.baseAddress, $0.count, &message, message.count)
        }
        guard let opened else { throw .invalidTokenizer("libsentencepiece says: \(text(message).printable())") }
        let size = Int(swan_sentencepiece_size(opened))
        guard size == parsed.pieces.count else {
            swan_sentencepiece_close(opened)
            throw .invalidTokenizer("libsentencepiece sees \(size) of its \(parsed.pieces.count) pieces")
        }
        handle = opened
        vocabularySize = size
        endID = parsed.endID
        padID = parsed.padID
        unknownID = parsed.unknownID
    }

    deinit {
        swan_sentencepiece_close(handle)
    }

    /// The ids of a text, cut to `maximumLength - 1`, then ``endID``. An empty text is one id.
    ///
    /// - Parameters:
    ///   - text: the cleaned prompt; see ``PromptCleaner``.
    ///   - maximumLength: most ids to return, at least 1.
    /// - Throws: `text.tokenizer-failed` if the library refuses the text, which no sound model makes it do.
    public func encode(_ text: String, maximumLength: Int = 512) throws(SwanError) -> [Int32] {
        precondition(maximumLength >= 1)
        var input = text
        var message = [CChar](repeating: 0, count: 512)
        // No model makes more ids than the bytes of its normalised text, but that may be longer than `text`.
        let capacity = maximumLength - 1
        var ids = [Int32](repeating: 0, count: min(capacity, max(512, 4 * input.utf8.count + 4)))
        let count = input.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) {
                swan_sentencepiece_encode(handle, $0.baseAddress, $0.count, &ids, ids.count, &message, message.count)
            }
        }
        guard count >= 0 else {
            throw SwanError(
                .tokenizerFailed, "The tokenizer could not segment a text: \(SwanText.text(message).printable()).",
                advice: "Check the tokenizer's model file, and the text for unusual characters.")
        }
        ids.removeLast(ids.count - min(ids.count, Int(count)))
        ids.append(endID)
        return ids
    }
}

/// The text of a C buffer that ends with NUL.
private func text(_ buffer: [CChar]) -> String {
    String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}
