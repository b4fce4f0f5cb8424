/// A number with a fixed count of digits behind the point.
func decimal(_ value: Double, _ digits: Int) -> String {
    let scale = (0 ..< digits).reduce(1.0) { factor, _ in factor * 10 }
    guard value.isFinite, value >= 0, value < 1e15 else { return "?" }
    let scaled = Int((value * scale).rounded())
    guard digits > 0 else { return String(scaled) }
    let fraction = String(scaled % Int(scale))
    return "\(scaled / Int(scale))." + String(repeating: "0", count: digits - fraction.count) + fraction
}

/// `12.3 %`.
func percent(_ part: Double) -> String { decimal(100 * part, 1) + " %" }

/// Milliseconds below ten seconds, else seconds: `27.41 ms`, `12.70 s`.
func formatted(milliseconds seconds: Double) -> String {
    seconds < 10 ? decimal(seconds * 1000, 2) + " ms" : decimal(seconds, 2) + " s"
}

/// `773.2 TFLOP/s`.
func formatted(rate: Double, _ unit: String) -> String {
    let (factor, prefix) = rate >= 1e12 ? (1e12, "T") : rate >= 1e9 ? (1e9, "G") : (1e6, "M")
    return decimal(rate / factor, 1) + " " + prefix + unit
}

/// The value in the middle, or between the two there; 0 of none.
func median(_ values: [Double]) -> Double {
    let sorted = values.sorted()
    let middle = sorted.count / 2
    guard !sorted.isEmpty else { return 0 }
    return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
}

func aligned(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
}
