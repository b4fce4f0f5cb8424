public import SwanDiagnostics

/// Turns a cleaned prompt into token ids.
public protocol PromptTokenizer: Sendable {
    /// Every id is below it.
    var vocabularySize: Int { get }

    /// The ids of a text with the end token, at least one.
    ///
    /// - Parameters:
    ///   - text: the cleaned prompt; see ``PromptCleaner``.
    ///   - maximumLength: most ids to return, at least 1.
    func encode(_ text: String, maximumLength: Int) throws(SwanError) -> [Int32]
}
