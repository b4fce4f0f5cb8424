extension String {
    /// The text with control characters and other unprintable scalars escaped, cut to `limit`
    /// characters: names that come from files are shown this way, so that a hostile file cannot
    /// drive the reader's terminal.
    public func printable(limit: Int = 200) -> String {
        var text = ""
        for scalar in unicodeScalars.prefix(limit) {
            switch scalar.properties.generalCategory {
            case .control, .format, .surrogate, .unassigned, .privateUse, .lineSeparator, .paragraphSeparator:
                text += "\\u{\(String(scalar.value, radix: 16))}"
            default:
                text.unicodeScalars.append(scalar)
            }
        }
        return unicodeScalars.count > limit ? text + "…" : text
    }
}

/// A number of bytes as people read it: `7.2 MB`, `61.3 GB` (powers of ten).
public func formatted(bytes: Int) -> String {
    let units = ["bytes", "kB", "MB", "GB", "TB"]
    var value = Double(bytes)
    var unit = 0
    while value >= 999.95, unit < units.count - 1 {
        value /= 1000
        unit += 1
    }
    return unit == 0 ? "\(bytes) bytes" : "\(tenths(value)) \(units[unit])"
}

/// Seconds as people read them: `0.42 s`, `12.3 s`, `3 min 05 s`, `1 h 12 min`; `?` for what is no time, or more than
/// 30 million years.
public func formatted(seconds: Double) -> String {
    guard (0 ..< 1e15).contains(seconds) else { return "?" }
    if seconds < 9.995 {
        let hundredths = Int((seconds * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100) s"
    }
    if seconds < 99.95 { return "\(tenths(seconds)) s" }
    let whole = Int(seconds.rounded())
    if whole < 3600 { return "\(whole / 60) min \(whole % 60 < 10 ? "0" : "")\(whole % 60) s" }
    return "\(whole / 3600) h \(whole % 3600 / 60) min"
}

private func tenths(_ value: Double) -> String {
    let scaled = Int((value * 10).rounded())
    return "\(scaled / 10).\(scaled % 10)"
}

extension Duration {
    /// The duration in seconds.
    public var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}

/// A number of at least 0 with a fixed count of digits behind the point; `?` for what is none.
public func decimal(_ value: Double, _ digits: Int) -> String {
    let scale = (0 ..< digits).reduce(1.0) { factor, _ in factor * 10 }
    guard value.isFinite, value >= 0, value * scale < 1e15 else { return "?" }
    let scaled = Int((value * scale).rounded())
    guard digits > 0 else { return String(scaled) }
    let fraction = String(scaled % Int(scale))
    return "\(scaled / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// The value in the middle, or between the two there; 0 of none.
public func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    guard !sorted.isEmpty else { return 0 }
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}
