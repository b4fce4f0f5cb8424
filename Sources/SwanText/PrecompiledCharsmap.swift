import SwanDiagnostics

/// The normaliser's table in a SentencePiece model: a double-array trie from text to offsets, then a
/// pool of NUL-terminated replacements.
///
/// Layout: uint32 size of the trie in bytes; the trie's units, uint32 each; the pool. All little-endian.
/// Source: sentencepiece `src/normalizer.cc`, `DecodePrecompiledCharsMap`; darts-clone `darts.h`,
/// `commonPrefixSearch`.
enum PrecompiledCharsmap {
    /// The longest replacement accepted, in bytes. The longest of NFKC has 33.
    private static let longestReplacement = 256

    /// Checks that no text can lead a lookup outside the table, and that every replacement is text.
    /// An empty table is fine: it changes nothing.
    ///
    /// - Throws: `text.tokenizer-invalid`.
    static func check(_ table: [UInt8]) throws(SwanError) {
        if table.isEmpty { return }
        guard table.count > 4 else { throw .invalidTokenizer("its normaliser's table has \(table.count) bytes") }
        let trieBytes = Int(word(table, 0))
        guard trieBytes >= 1024, trieBytes % 1024 == 0, trieBytes < table.count - 4 else {
            throw .invalidTokenizer(
                "its normaliser's trie has \(trieBytes) bytes: a multiple of 1024 below \(table.count - 4) is expected")
        }
        let units = (0 ..< trieBytes / 4).map { Unit(bits: word(table, 4 + 4 * $0)) }
        let replacements = try starts(ofTextsIn: table[(4 + trieBytes)...])

        // Every unit that some text leads to. A unit's children lie in one aligned block of 256, which
        // lies in the table as a whole or not at all, since the table has whole blocks.
        var isKnown = [Bool](repeating: false, count: units.count)
        var open = [0]
        isKnown[0] = true
        while let position = open.popLast() {
            let base = position ^ units[position].offset
            guard base < units.count else {
                throw .invalidTokenizer("its normaliser's trie points to unit \(base) of \(units.count)")
            }
            if units[position].hasLeaf {
                let value = units[base].value
                guard value < replacements.count, replacements[value] else {
                    throw .invalidTokenizer("its normaliser's trie names a replacement at \(value), where none starts")
                }
            }
            for byte in 0 ... 255 where units[base ^ byte].label == UInt32(byte) && !isKnown[base ^ byte] {
                isKnown[base ^ byte] = true
                open.append(base ^ byte)
            }
        }
    }

    /// Which positions of the pool a replacement may start at: those where the text up to the next NUL
    /// is UTF-8 and short enough.
    private static func starts(ofTextsIn pool: ArraySlice<UInt8>) throws(SwanError) -> [Bool] {
        guard pool.last == 0, String(validating: pool, as: UTF8.self) != nil else {
            throw .invalidTokenizer("its normaliser's replacements are no NUL-terminated UTF-8 text")
        }
        var length = 0
        var starts: [Bool] = []
        starts.reserveCapacity(pool.count)
        for byte in pool.reversed() {
            length = byte == 0 ? 0 : length + 1
            starts.append(length <= longestReplacement && byte & 0xc0 != 0x80)
        }
        return starts.reversed()
    }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt32 {
        (0 ..< 4).reduce(0) { $0 | UInt32(bytes[offset + $1]) << UInt32(8 * $1) }
    }

    /// One unit of the double array.
    private struct Unit {
        let bits: UInt32

        var offset: Int { Int(bits >> 10) << Int((bits & 0x200) >> 6) }
        var label: UInt32 { bits & 0x8000_00ff }
        var hasLeaf: Bool { bits >> 8 & 1 == 1 }
        var value: Int { Int(bits & 0x7fff_ffff) }
    }
}
