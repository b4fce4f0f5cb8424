import SwanDiagnostics

/// Whether a model's weights have room on a machine.
public enum MemoryFit: Sendable, Hashable {
    /// Each part has room as a whole; the largest takes this many bytes.
    case runs(bytes: Int)
    /// The largest part has no room as a whole; a GPU can take it block by block, with this many bytes
    /// in flight.
    case streams(bytes: Int)
    /// There is no room: this many bytes are needed.
    case needs(bytes: Int)

    /// Bytes of memory that the prediction speaks of.
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

extension CatalogueModel {
    /// The part that decides how much memory the model needs.
    public var largestPart: Part? { parts.max { $0.parameters < $1.parameters } }

    /// Predicts whether the weights have room; what the video itself needs comes on top and depends on its
    /// size (`swan generate --dry-run` counts it).
    ///
    /// The CPU computes in float32 and holds one part at a time, so it needs 4 bytes for each parameter of
    /// the largest part. A GPU takes 16-bit blocks one after the other, so two of them have to be in
    /// flight. Pure: equal arguments give equal answers.
    ///
    /// - Parameters:
    ///   - availableMemory: bytes of host memory that are free.
    ///   - hasGPU: whether a GPU does the work.
    /// - Returns: nil for a model that this version does not run.
    public func fit(availableMemory: Int, hasGPU: Bool) -> MemoryFit? {
        guard runs, let part = largestPart else { return nil }
        let whole = 4 * part.parameters
        if whole <= availableMemory { return .runs(bytes: whole) }
        let inFlight = 2 * 2 * (part.parameters / part.blocks)
        return hasGPU && inFlight <= availableMemory ? .streams(bytes: inFlight) : .needs(bytes: whole)
    }

    /// Why ``fit(availableMemory:hasGPU:)`` says what it says; nil where it says nothing.
    ///
    /// - Parameter availableMemory: bytes of host memory that are free.
    public func reason(for fit: MemoryFit, availableMemory: Int) -> String? {
        guard let part = largestPart else { return nil }
        let largest = "the largest part, \(part.title), has \(formatted(parameters: part.parameters)) parameters"
        let free = "\(formatted(bytes: availableMemory)) are free here"
        return switch fit {
        case .runs(let bytes), .needs(let bytes):
            "\(formatted(bytes: bytes)) for weights: \(largest) of 4 bytes, and parts take turns; \(free)"
        case .streams(let bytes):
            "\(formatted(bytes: bytes)) for weights on their way to the GPU: two of \(part.blocks) blocks at 2 bytes;"
                + " \(largest); \(free)"
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
