import SwanDiagnostics

/// Whether a model's own video has room on a machine, as the planner predicts it.
public enum MemoryFit: Sendable, Hashable {
    /// Each part has room as a whole; at its peak the run takes this many bytes.
    case runs(bytes: Int)
    /// Weights are streamed to the GPU, which takes this many bytes at its peak.
    case streams(bytes: Int)
    /// There is no room: this many bytes are needed.
    case needs(bytes: Int)

    /// Bytes of the device's memory that the prediction speaks of.
    public var bytes: Int {
        switch self {
        case .runs(let bytes), .streams(let bytes), .needs(let bytes): bytes
        }
    }

    /// The prediction in a few words: `runs`, `streams`, `needs 57.2 GB`.
    public var summary: String {
        switch self {
        case .runs: "runs"
        case .streams: "streams"
        case .needs(let bytes): "needs \(formatted(bytes: bytes))"
        }
    }
}

/// A number of parameters as people write it: `27B`, `1.3B`, `11M`.
func formatted(parameters: Int) -> String {
    let (unit, name) = parameters >= 1_000_000_000 ? (1_000_000_000, "B") : (1_000_000, "M")
    let tenths = (parameters * 10 + unit / 2) / unit
    return tenths % 10 == 0 ? "\(tenths / 10)\(name)" : "\(tenths / 10).\(tenths % 10)\(name)"
}

extension MemoryFit: Encodable {
    private enum Keys: String, CodingKey {
        case result, bytes
    }

    /// Encodes `{"result": "runs" | "streams" | "needs", "bytes": …}`.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: Keys.self)
        let result =
            switch self {
            case .runs: "runs"
            case .streams: "streams"
            case .needs: "needs"
            }
        try container.encode(result, forKey: .result)
        try container.encode(bytes, forKey: .bytes)
    }
}
