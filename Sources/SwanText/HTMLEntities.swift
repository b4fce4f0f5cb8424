/// Decodes the character references of HTML: `&amp;`, `&#20320;`, `&#x4f60;`.
///
/// Two readings are needed, because the official clean-up applies two: the standard's, and ftfy's,
/// which is stricter about semicolons and knows names in capitals.
enum HTMLEntities {
    private static let names: (closed: [String: [Unicode.Scalar]], open: [String: [Unicode.Scalar]]) = {
        var closed: [String: [Unicode.Scalar]] = [:]
        var open: [String: [Unicode.Scalar]] = [:]
        for entry in htmlEntityTable.split(separator: " ") {
            guard let mark = entry.firstIndex(where: { $0 == ":" || $0 == "!" }) else { continue }
            let name = String(entry[..<mark])
            let expansion = scalars(ofHexadecimal: entry[entry.index(after: mark)...])
            closed[name] = expansion
            if entry[mark] == "!" { open[name] = expansion }
        }
        return (closed, open)
    }()

    /// What the standard makes of the references U+0080 to U+009F: Windows-1252, holes kept.
    private static let invalidReferences: [UInt32: UInt32] = {
        var table: [UInt32: UInt32] = [0x00: 0xfffd, 0x0d: 0x0d]
        for byte in UInt32(0x80) ... 0x9f { table[byte] = windows1252(byte) }
        return table
    }()

    /// Decodes every reference as the HTML5 standard does, also those without a semicolon, once.
    ///
    /// Source: CPython 3.11 `Lib/html/__init__.py`, `unescape`.
    static func decode(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard text.contains("&") else { return text }
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            if text[position] == "&", let (replacement, end) = reference(in: text, at: position) {
                result += replacement
                position = end
            } else {
                result.append(text[position])
                position += 1
            }
        }
        return result
    }

    /// Decodes the references that end in a semicolon, and names of letters written in capitals
    /// (`&NTILDE;`), once.
    ///
    /// Source: ftfy 6.3.1 `fixes.py`, `unescape_html`.
    static func decodeClosed(_ text: [Unicode.Scalar]) -> [Unicode.Scalar] {
        guard text.contains("&") else { return text }
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(text.count)
        var position = 0
        while position < text.count {
            guard text[position] == "&", let end = endOfClosedReference(in: text, at: position) else {
                result.append(text[position])
                position += 1
                continue
            }
            let whole = Array(text[position ..< end])
            if whole[1] == "#" {
                // A reference of which only a part decodes is left alone, and so is `&#59;`.
                let decoded = decode(whole)
                result += decoded.contains(";") ? whole : decoded
            } else {
                result += closed(name: string(whole[1 ..< whole.count - 1])) ?? whole
            }
            position = end
        }
        return result
    }

    private static func closed(name: String) -> [Unicode.Scalar]? {
        if let scalars = names.closed[name] { return scalars }
        let lower = name.lowercased()
        guard name == lower.uppercased(), let scalars = names.closed[lower] else { return nil }
        let whole = Array("&\(name);".unicodeScalars)
        guard decode(whole) == whole else { return nil }
        return Array(string(scalars[...]).uppercased().unicodeScalars)
    }

    /// The end of `&name;` or `&#number;` of at most 24 letters and digits that starts at `start`.
    private static func endOfClosedReference(in text: [Unicode.Scalar], at start: Int) -> Int? {
        var position = start + 1
        if position < text.count, text[position] == "#" { position += 1 }
        let first = position
        while position < text.count, isLetterOrDigit(text[position]) { position += 1 }
        guard (1 ... 24).contains(position - first), position < text.count, text[position] == ";" else { return nil }
        return position + 1
    }

    /// The reference that starts with the `&` at `start`, and where it ends.
    private static func reference(in text: [Unicode.Scalar], at start: Int) -> ([Unicode.Scalar], end: Int)? {
        var position = start + 1
        guard position < text.count else { return nil }
        if text[position] == "#" {
            position += 1
            guard position < text.count else { return nil }
            var radix: UInt32 = 10
            if text[position] == "x" || text[position] == "X" {
                radix = 16
                position += 1
            }
            let first = position
            var value: UInt32 = 0
            while position < text.count, let digit = digit(text[position], radix: radix) {
                value = min(value * radix + digit, 0x11_0000)  // stays above every scalar once it is there
                position += 1
            }
            guard position > first else { return nil }
            if position < text.count, text[position] == ";" { position += 1 }
            return (meaning(ofReference: value), position)
        }

        let first = position
        while position < text.count, position - first < 32, !endsName(text[position]) { position += 1 }
        guard position > first else { return nil }
        let name = string(text[first ..< position])
        if position < text.count, text[position] == ";" {
            if let scalars = names.closed[name] { return (scalars, position + 1) }
            position += 1
        }
        if let scalars = names.open[name] { return (scalars, first + name.unicodeScalars.count) }
        // The longest name that the text starts with; names without a semicolon have 2 to 6 letters.
        for length in stride(from: min(6, position - first - 1), through: 2, by: -1) {
            if let scalars = names.open[string(text[first ..< first + length])] { return (scalars, first + length) }
        }
        return (Array(text[start ..< position]), position)
    }

    private static func meaning(ofReference value: UInt32) -> [Unicode.Scalar] {
        if let known = invalidReferences[value], let scalar = Unicode.Scalar(known) { return [scalar] }
        guard let scalar = Unicode.Scalar(value) else { return ["\u{fffd}"] }
        switch value {
        case 0x01 ... 0x08, 0x0b, 0x0e ... 0x1f, 0x7f, 0xfdd0 ... 0xfdef: return []
        default: return value & 0xfffe == 0xfffe ? [] : [scalar]
        }
    }

    private static func endsName(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\t", "\n", "\u{0c}", " ", "<", "&", "#", ";": true
        default: false
        }
    }

    private static func isLetterOrDigit(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "0" ... "9", "A" ... "Z", "a" ... "z": true
        default: false
        }
    }

    private static func digit(_ scalar: Unicode.Scalar, radix: UInt32) -> UInt32? {
        switch scalar {
        case "0" ... "9": scalar.value - 0x30
        case "a" ... "f" where radix == 16: scalar.value - 0x61 + 10
        case "A" ... "F" where radix == 16: scalar.value - 0x41 + 10
        default: nil
        }
    }
}

/// The scalars of a list of hexadecimal code points, separated by commas.
func scalars(ofHexadecimal list: Substring) -> [Unicode.Scalar] {
    list.split(separator: ",").compactMap { UInt32($0, radix: 16).flatMap(Unicode.Scalar.init) }
}

/// The string of some scalars.
func string(_ scalars: ArraySlice<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
}

/// What Windows-1252 means by a byte from 0x80 to 0x9f; bytes that it leaves open stay as they are.
func windows1252(_ byte: UInt32) -> UInt32 {
    let table: [UInt32] = [
        0x20ac, 0x81, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d,
        0x017d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a,
        0x0153, 0x9d, 0x017e, 0x0178,
    ]
    return 0x80 ... 0x9f ~= byte ? table[Int(byte - 0x80)] : byte
}
