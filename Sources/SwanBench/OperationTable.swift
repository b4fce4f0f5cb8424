import SwanDiagnostics
public import SwanTensor

/// Where the time of one call of a stage went, and how near each operation came to what the device can do.
public struct OperationTable: Sendable, Codable {
    /// An operation, all its shapes together, or one of them.
    public struct Row: Sendable, Codable {
        /// The operation.
        public var operation: String
        /// Its shapes; nil for all together.
        public var form: String?
        /// How often it was asked for.
        public var calls: Int
        /// Seconds of all calls.
        public var seconds: Double
        /// Part of the whole call's time.
        public var share: Double
        /// Floating-point operations of products.
        public var operations: Double
        /// Bytes that have to be moved at least.
        public var bytes: Double
        /// The time that the device would need at its ceilings, over the time that it took.
        public var ceilingShare: Double

        enum CodingKeys: String, CodingKey {
            case operation, form, calls, seconds, share, operations, bytes, ceilingShare = "ceiling_share"
        }
    }

    /// Seconds of the call by the clock on the wall.
    public var seconds: Double
    /// Seconds in which the device did nothing: it waited for the host, or the host worked alone.
    public var idleSeconds: Double
    /// Operations, the one that took longest first; each is followed by its shapes if there are several.
    public var rows: [Row]

    enum CodingKeys: String, CodingKey {
        case seconds, idleSeconds = "idle_seconds", rows
    }

    /// Adds up a profile.
    ///
    /// - Parameters:
    ///   - profile: of one call.
    ///   - seconds: of the whole call, by the clock on the wall.
    ///   - ceilings: what the operations are measured by.
    public init(_ profile: OperationProfile, seconds: Double, _ ceilings: DeviceCeilings) {
        self.seconds = seconds
        idleSeconds = max(0, seconds - profile.seconds)
        func row(_ entries: [OperationProfile.Entry], form: String?) -> Row {
            let cost = entries.reduce(OperationCost(bytes: 0)) { $0 + $1.cost }
            let taken = entries.reduce(0) { $0 + $1.seconds }
            // Entry by entry: some may be bound by arithmetic and some by memory.
            let floor = entries.reduce(0) {
                $0
                    + $1.cost.seconds(
                        operationsPerSecond: ceilings.operationsPerSecond,
                        eightBitOperationsPerSecond: ceilings.eightBitOperationsPerSecond,
                        bytesPerSecond: ceilings.bytesPerSecond)
            }
            return Row(
                operation: entries.first?.kind.rawValue ?? "", form: form,
                calls: entries.reduce(0) { $0 + $1.calls }, seconds: taken, share: seconds > 0 ? taken / seconds : 0,
                operations: cost.operations, bytes: cost.bytes, ceilingShare: taken > 0 ? floor / taken : 0)
        }
        func time(_ entries: [OperationProfile.Entry]) -> Double { entries.reduce(0) { $0 + $1.seconds } }
        let kinds = Dictionary(grouping: profile.entries, by: \.kind).values
            .sorted { (time($0), $0[0].kind.rawValue) > (time($1), $1[0].kind.rawValue) }
        rows = kinds.flatMap { entries -> [Row] in
            guard entries.count > 1 else { return [row(entries, form: entries[0].form)] }
            let forms = entries.sorted { ($0.seconds, $0.form) > ($1.seconds, $1.form) }
            return [row(entries, form: nil)] + forms.map { row([$0], form: $0.form) }
        }
    }

    /// The table as people read it; of an operation with many shapes the first few.
    public var text: String {
        var lines = [Self.line("operation", "calls", "time", "share", "rate", "of ceiling")]
        var shapes = 0
        for (index, row) in rows.enumerated() {
            let isPart = index > 0 && row.form != nil && rows[index - 1].operation == row.operation
            shapes = isPart ? shapes + 1 : 0
            guard shapes <= Self.mostShapes else { continue }
            let name =
                isPart ? "  \(row.form ?? "")" : [row.operation, row.form].compactMap(\.self).joined(separator: " ")
            let rate =
                row.operations > 0
                ? formatted(rate: row.operations / row.seconds, "FLOP/s")
                : formatted(rate: row.bytes / row.seconds, "B/s")
            lines.append(
                Self.line(
                    name, String(row.calls), formatted(milliseconds: row.seconds), percent(row.share), rate,
                    percent(row.ceilingShare)))
        }
        lines.append(
            Self.line(
                "nothing", "", formatted(milliseconds: idleSeconds), percent(seconds > 0 ? idleSeconds / seconds : 0),
                "", ""))
        return lines.joined(separator: "\n")
    }

    private static let mostShapes = 6

    private static func line(
        _ name: String, _ calls: String, _ time: String, _ share: String, _ rate: String, _ ceiling: String
    ) -> String {
        padded(name, 44) + aligned(calls, 6) + aligned(time, 13) + aligned(share, 8) + aligned(rate, 15)
            + aligned(ceiling, 12)
    }
}
