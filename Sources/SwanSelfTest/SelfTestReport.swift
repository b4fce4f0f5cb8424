/// What a self-test found: one line for each operation, and a verdict.
public struct SelfTestReport: Sendable, Codable, Hashable {
    /// One operation on one shape.
    public struct Line: Sendable, Codable, Hashable {
        /// The operation of the backend.
        public var operation: String
        /// The shape, and what is hard about the values.
        public var shape: String
        /// The largest error, divided by what rounding explains at that place; at most 1. nil when nothing could be
        /// compared: the operation failed, or its result has another shape or is no number where one is expected.
        public var error: Double?
        /// What went wrong, when it is more than an error that is too large.
        public var problem: String?
        /// Seconds of the fastest of some runs.
        public var seconds: Double
        /// Arithmetic operations in a second, for those that are bound by them.
        public var operationsPerSecond: Double?
        /// Bytes in a second that the operation cannot do without, for the others.
        public var bytesPerSecond: Double?

        /// Makes a line.
        public init(
            operation: String, shape: String, error: Double? = nil, problem: String? = nil, seconds: Double,
            operationsPerSecond: Double? = nil, bytesPerSecond: Double? = nil
        ) {
            (self.operation, self.shape, self.error, self.problem) = (operation, shape, error, problem)
            (self.seconds, self.operationsPerSecond) = (seconds, operationsPerSecond)
            self.bytesPerSecond = bytesPerSecond
        }

        /// Whether the result is right.
        public var isRight: Bool { problem == nil && (error ?? .infinity) <= 1 }

        enum CodingKeys: String, CodingKey {
            case operation, shape, error, problem, seconds, operationsPerSecond = "operations_per_second"
            case bytesPerSecond = "bytes_per_second"
        }
    }

    /// The device's name.
    public var device: String
    /// What computed: library versions, threads, instruction set.
    public var summary: String
    /// All that was tested, in the order in which it was.
    public var lines: [Line]

    /// Makes a report.
    public init(device: String, summary: String, lines: [Line]) {
        (self.device, self.summary, self.lines) = (device, summary, lines)
    }

    /// Whether all results are right.
    public var hasPassed: Bool { !lines.isEmpty && lines.allSatisfy(\.isRight) }

    /// The operations with a wrong result, each once, in order.
    public var failedOperations: [String] {
        var seen: Set<String> = []
        return lines.filter { !$0.isRight }.map(\.operation).filter { seen.insert($0).inserted }
    }
}

extension SelfTestReport {
    /// One line as text.
    public static func text(_ line: Line) -> String {
        let error = line.error.map { $0.isFinite ? decimal($0, 3) : "inf" } ?? "-"
        var text =
            (line.isRight ? "ok    " : "WRONG ") + padded(line.operation, 19) + padded(line.shape, 46)
            + padded(error, 9) + padded(time(line.seconds), 10)
        if let rate = line.operationsPerSecond { text += decimal(rate / 1e9, 1) + " GFLOP/s" }
        if let rate = line.bytesPerSecond { text += decimal(rate / 1e9, 1) + " GB/s" }
        if let problem = line.problem { text += "\n      " + problem }
        return text
    }

    /// The head of a table of lines.
    public static var head: String {
        "      " + padded("operation", 19) + padded("shape", 46) + padded("error", 9) + padded("time", 10) + "rate"
    }

    /// What is written under the table.
    public var verdict: String {
        let wrong = lines.count { !$0.isRight }
        guard wrong > 0 else {
            return lines.isEmpty
                ? "Nothing was tested."
                : "\(lines.count) passed. Errors are fractions of what rounding explains; at most 1 is right."
        }
        return "\(wrong) of \(lines.count) are wrong: \(failedOperations.joined(separator: ", "))."
    }
}

private func padded(_ text: String, _ width: Int) -> String {
    text.count < width ? text + String(repeating: " ", count: width - text.count) : text + " "
}

/// A number with a fixed count of digits behind the point.
private func decimal(_ value: Double, _ digits: Int) -> String {
    let scale = (0 ..< digits).reduce(1.0) { factor, _ in factor * 10 }
    guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
    let scaled = Int((abs(value) * scale).rounded())
    let fraction = String(scaled % Int(scale))
    let sign = value < 0 && scaled > 0 ? "-" : ""
    return "\(sign)\(scaled / Int(scale))."
        + String(repeating: "0", count: max(0, digits - fraction.count)) + fraction
}

private func time(_ seconds: Double) -> String {
    switch seconds {
    case ..<1e-3: decimal(seconds * 1e6, 1) + " us"
    case ..<1: decimal(seconds * 1e3, 2) + " ms"
    default: decimal(seconds, 2) + " s"
    }
}
