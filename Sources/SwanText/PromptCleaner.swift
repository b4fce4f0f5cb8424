// The standard library normalises text, but only its own modules see that without this.
@_spi(_Unicode) import Swift

/// Cleans a prompt as the official code does before it is tokenised, so that the same words give the
/// same embedding: quotes are straightened, full-width forms narrowed (`，` becomes `,`), ligatures
/// taken apart, control characters and terminal escapes dropped, HTML entities decoded, accents
/// composed (NFC), and every run of white space becomes one space.
///
/// One step of the original is left out: the repair of text that was decoded in the wrong encoding
/// (`schÃ¶n`). It is a heuristic over large tables, and leaves text alone that was typed rather than
/// damaged. Such text is passed on as it is.
///
/// Source: Wan2.2 `wan/modules/tokenizers.py`, `basic_clean` and `whitespace_clean`, at 42bf4cf; ftfy
/// 6.3.1, `fix_text` with `fix_encoding` off.
public enum PromptCleaner {
    /// Entities nested more deeply than this stay encoded. Each level takes a walk through the text,
    /// so that hostile nesting would cost the square of its length.
    private static let deepestNesting = 64

    /// The cleaned text. Never fails; the cost is linear in the length of `prompt`.
    public static func clean(_ prompt: String) -> String {
        var decodesEntities = true
        var scalars: [Unicode.Scalar] = []
        let lines = prompt.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            // Text with a `<` may be HTML on purpose; from that line on, entities wait for the later step.
            if line.contains("<") { decodesEntities = false }
            scalars += fix(Array(line), decodesEntities: decodesEntities)
            if index < lines.count - 1 { scalars.append("\n") }
        }
        scalars = HTMLEntities.decode(HTMLEntities.decode(scalars))
        return collapsingWhitespace(scalars)
    }

    /// Repeats the fixes until nothing changes, since one can make work for another: an entity can
    /// stand for a quotation mark.
    private static func fix(_ line: [Unicode.Scalar], decodesEntities: Bool) -> [Unicode.Scalar] {
        var text = line
        for _ in 0 ..< deepestNesting {
            let before = text
            if decodesEntities { text = HTMLEntities.decodeClosed(text) }
            text = replacingCharacters(text)
            text = replacingLineBreaks(text)
            text = removingTerminalEscapes(text)
            text.removeAll(where: isUnwantedControl)
            text = composed(text)
            if text == before { break }
        }
        return text
    }

    /// C1 controls read as Windows-1252, ligatures, width, quotes.
    private static func replacingCharacters(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard text.contains(where: { $0.value >= 0x80 }) else { return text }
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(text.count)
        for scalar in text {
            let scalar = Unicode.Scalar(windows1252(scalar.value)) ?? scalar
            for scalar in replacements[scalar] ?? [scalar] { result.append(straightQuote(scalar)) }
        }
        return result
    }

    private static func straightQuote(_ scalar: Unicode.Scalar) -> Unicode.Scalar {
        switch scalar.value {
        case 0x02bc, 0x2018 ... 0x201b: "'"
        case 0x201c ... 0x201f: "\""
        default: scalar
        }
    }

    private static let replacements: [Unicode.Scalar: [Unicode.Scalar]] = {
        var table: [Unicode.Scalar: [Unicode.Scalar]] = ["\u{3000}": [" "]]
        for entry in widthFormTable.split(separator: " ") {
            let parts = entry.split(separator: ":")
            guard parts.count == 2, let form = scalars(ofHexadecimal: parts[0]).first else { continue }
            table[form] = scalars(ofHexadecimal: parts[1])
        }
        let ligatures: [(Unicode.Scalar, String)] = [
            ("\u{0132}", "IJ"), ("\u{0133}", "ij"), ("\u{0149}", "\u{02bc}n"), ("\u{01c4}", "D\u{017d}"),
            ("\u{01c5}", "D\u{017e}"), ("\u{01c6}", "d\u{017e}"), ("\u{01c7}", "LJ"), ("\u{01c8}", "Lj"),
            ("\u{01c9}", "lj"), ("\u{01ca}", "NJ"), ("\u{01cb}", "Nj"), ("\u{01cc}", "nj"), ("\u{01f1}", "DZ"),
            ("\u{01f2}", "Dz"), ("\u{01f3}", "dz"), ("\u{fb00}", "ff"), ("\u{fb01}", "fi"), ("\u{fb02}", "fl"),
            ("\u{fb03}", "ffi"), ("\u{fb04}", "ffl"), ("\u{fb05}", "\u{017f}t"), ("\u{fb06}", "st"),
        ]
        for (ligature, letters) in ligatures { table[ligature] = Array(letters.unicodeScalars) }
        return table
    }()

    private static func replacingLineBreaks(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(text.count)
        for (index, scalar) in text.enumerated() {
            switch scalar {
            case "\r": result.append("\n")
            case "\n" where index > 0 && text[index - 1] == "\r": break
            case "\u{2028}", "\u{2029}", "\u{85}": result.append("\n")
            default: result.append(scalar)
            }
        }
        return result
    }

    /// Drops `ESC [ digits and semicolons letter`.
    private static func removingTerminalEscapes(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard text.contains("\u{1b}") else { return text }
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            if text[position] == "\u{1b}", position + 1 < text.count, text[position + 1] == "[" {
                var end = position + 2
                while end < text.count, text[end] == ";" || text[end].properties.generalCategory == .decimalNumber {
                    end += 1
                }
                if end < text.count, ("a" ... "z").contains(text[end]) || ("A" ... "Z").contains(text[end]) {
                    position = end + 1
                    continue
                }
            }
            result.append(text[position])
            position += 1
        }
        return result
    }

    private static func isUnwantedControl(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x00 ... 0x08, 0x0b, 0x0e ... 0x1f, 0x7f, 0x206a ... 0x206f, 0xfeff, 0xfff9 ... 0xfffc: true
        default: false
        }
    }

    /// Normalization form C.
    private static func composed(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        // Nothing below U+0300 combines with what stands before it or decomposes for good.
        guard text.contains(where: { $0.value >= 0x300 }) else { return text }
        return Array(string(text[...])._nfc)
    }

    private static func collapsingWhitespace(_ text: [Unicode.Scalar]) -> String {
        var result = String.UnicodeScalarView()
        var pending = false
        for scalar in text {
            if isWhitespace(scalar) {
                pending = !result.isEmpty
            } else {
                if pending { result.append(" ") }
                pending = false
                result.append(scalar)
            }
        }
        return String(result)
    }

    private static func isWhitespace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        // U+001C to U+001F are white space to the original, not to Unicode.
        case 0x09 ... 0x0d, 0x1c ... 0x20, 0x85, 0xa0, 0x1680, 0x2000 ... 0x200a, 0x2028, 0x2029, 0x202f, 0x205f,
            0x3000:
            true
        default: false
        }
    }
}
