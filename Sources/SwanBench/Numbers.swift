import SwanDiagnostics

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

func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
}

func aligned(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
}
