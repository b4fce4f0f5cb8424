package import SwanDiagnostics
public import SwanNN

/// Where a run's weights are on a device with memory of its own, and how much memory the run takes.
public struct DevicePlan: Sendable, Hashable, Codable {
    /// What can be chosen.
    public struct Layout: Sendable, Hashable, Codable {
        /// Where the text encoder's layers are.
        public var textEncoder: WeightPlacement
        /// Where the layers of the transformer at work are.
        public var transformer: WeightPlacement
        /// Rows that the feed-forward computes at once; nil for all.
        public var feedForwardRows: Int?

        /// Notes a choice.
        public init(textEncoder: WeightPlacement, transformer: WeightPlacement, feedForwardRows: Int?) {
            (self.textEncoder, self.transformer) = (textEncoder, transformer)
            self.feedForwardRows = feedForwardRows
        }

        /// Everything on the device, everything at once.
        public static let resident = Layout(textEncoder: .resident, transformer: .resident, feedForwardRows: nil)

        /// Everything that can be streamed is, and little is computed at once: what takes the least of the device's
        /// memory.
        fileprivate static func leanest(_ weights: Weights, canReload: Bool) -> [Layout] {
            // A small model takes less than what it would be streamed through.
            let transformers: [WeightPlacement] =
                switch weights {
                case .resident: [.resident]
                case .pinned: [.pinned(resident: 0)]
                case .file: [.file(resident: 0)]
                case .auto: [canReload ? .file(resident: 0) : .pinned(resident: 0), .resident]
                }
            return transformers.flatMap { transformer in
                [.file(resident: 0), .resident].map { text in
                    Layout(textEncoder: text, transformer: transformer, feedForwardRows: chunks.last)
                }
            }
        }
    }

    /// Where the transformer's weights shall be.
    public enum Weights: String, Sendable, Codable, CaseIterable {
        /// Where it is fastest.
        case auto
        /// All in GPU memory, or not at all.
        case resident
        /// In pinned host memory, but for those that have room on the device.
        case pinned
        /// In their file, but for those that have room on the device.
        case file
    }

    /// What a layout takes, in bytes.
    package struct Need: Sendable, Hashable {
        /// Of the device's memory, for tensors and work space.
        package var arenaBytes: Int
        /// Of pinned host memory.
        package var pinnedBytes: Int

        /// Notes both.
        package init(arenaBytes: Int, pinnedBytes: Int) {
            (self.arenaBytes, self.pinnedBytes) = (arenaBytes, pinnedBytes)
        }
    }

    /// The choice.
    public var layout: Layout
    /// Bytes for tensors and work space, exactly.
    public var arenaBytes: Int
    /// Bytes of the driver, its libraries and kernels.
    public var overheadBytes: Int
    /// Bytes of pinned host memory.
    public var pinnedBytes: Int

    /// Bytes of the device's memory at most, as its driver counts them.
    public var peakBytes: Int { arenaBytes + overheadBytes }

    /// Rows of a chunk that cost next to nothing in speed, and of one that costs a little.
    static let chunks = [8192, 2048]

    /// Chooses the fastest layout that fits.
    ///
    /// - Parameters:
    ///   - limits: bytes of the device's memory, overhead included, and of pinned host memory.
    ///   - layers: of a transformer.
    ///   - weights: where its weights shall be.
    ///   - canReload: whether weights may be read from their file again and again; false where each reading is
    ///     much work, as with LoRAs that are more than products of two factors.
    ///   - rehearse: what a layout takes; more for more resident layers.
    /// - Throws: `pipeline.not-enough-memory` with what the leanest layout needs.
    package static func choose(
        limits: (device: Int, pinned: Int), overhead: Int, layers: Int, weights: Weights = .auto, canReload: Bool,
        rehearse: (Layout) throws(SwanError) -> Need
    ) throws(SwanError) -> DevicePlan {
        func plan(_ layout: Layout) throws(SwanError) -> DevicePlan {
            let need = try rehearse(layout)
            return DevicePlan(
                layout: layout, arenaBytes: need.arenaBytes, overheadBytes: overhead, pinnedBytes: need.pinnedBytes)
        }
        func fits(_ plan: DevicePlan) -> Bool {
            plan.peakBytes <= limits.device && plan.pinnedBytes <= limits.pinned
        }
        // The text encoder works once: where it has no room, it is read from its file once, layer by layer.
        let texts: [WeightPlacement] = [.resident, .file(resident: 0)]
        func first(_ transformer: WeightPlacement, _ rows: Int?) throws(SwanError) -> DevicePlan? {
            for text in texts {
                let found = try plan(Layout(textEncoder: text, transformer: transformer, feedForwardRows: rows))
                if fits(found) { return found }
            }
            return nil
        }
        if weights == .file, !canReload {
            throw SwanError(
                .invalidRequest,
                "Weights whose LoRA holds DoRA, LoKr, LoHa or whole matrices cannot be read from their file at every step, since the CPU merges them.",
                advice: "Leave --weights out, or ask for --weights pinned, which merges once.")
        }
        if weights == .auto || weights == .resident {
            for rows in [nil] + chunks.prefix(1).map(Optional.init) {
                if let found = try first(.resident, rows) { return found }
            }
        }
        // Layers that take turns: as many resident ones as there is room for.
        var sources: [(Int) -> WeightPlacement] = []
        if weights == .auto || weights == .pinned { sources.append { .pinned(resident: $0) } }
        if weights == .file || weights == .auto && canReload { sources.append { .file(resident: $0) } }
        for rows in chunks {
            for source in sources {
                guard var best = try first(source(0), rows) else { continue }
                var (low, high) = (0, layers - 2)
                while high - low > 1 {
                    let middle = (low + high) / 2
                    var layout = best.layout
                    layout.transformer = source(middle)
                    let found = try plan(layout)
                    if fits(found) { (low, best) = (middle, found) } else { high = middle }
                }
                return best
            }
        }
        let leanest = try leanest(overhead: overhead, weights: weights, canReload: canReload, rehearse: rehearse)
        guard leanest.peakBytes > limits.device else {
            throw SwanError(
                .notEnoughMemory,
                "The leanest plan needs \(formatted(bytes: leanest.pinnedBytes)) of pinned host memory and \(formatted(bytes: limits.pinned)) are free.",
                advice: canReload
                    ? "Close other programs, or ask for --weights file."
                    : "Close other programs; with LoRAs of two factors alone, --weights file needs none of it.")
        }
        throw SwanError(
            .notEnoughMemory,
            "The leanest plan\(weights == .auto ? "" : " with weights \(leanest.layout.transformer.title)") needs \(formatted(bytes: leanest.peakBytes)) of GPU memory and there are \(formatted(bytes: limits.device)).",
            advice: "Ask for a smaller size or fewer frames, or raise --memory-limit.")
    }

    /// The plan that takes the least of the device's memory, whether it fits or not.
    ///
    /// - Parameters: as of ``choose(limits:overhead:layers:weights:canReload:rehearse:)``.
    package static func leanest(
        overhead: Int, weights: Weights = .auto, canReload: Bool, rehearse: (Layout) throws(SwanError) -> Need
    ) throws(SwanError) -> DevicePlan {
        var best: DevicePlan?
        for layout in Layout.leanest(weights, canReload: canReload) {
            let need = try rehearse(layout)
            guard need.arenaBytes < best?.arenaBytes ?? Int.max else { continue }
            best = DevicePlan(
                layout: layout, arenaBytes: need.arenaBytes, overheadBytes: overhead, pinnedBytes: need.pinnedBytes)
        }
        guard let best else { throw SwanError(.fault, "No layout was planned.") }
        return best
    }

    /// The plan in words.
    public var summary: String {
        var parts = ["at most \(formatted(bytes: peakBytes)) of GPU memory", "weights \(layout.transformer.title)"]
        if pinnedBytes > 0 { parts.append("\(formatted(bytes: pinnedBytes)) of pinned host memory") }
        if let rows = layout.feedForwardRows { parts.append("feed-forward by \(rows) rows") }
        if layout.textEncoder != .resident { parts.append("text encoder \(layout.textEncoder.title)") }
        return parts.joined(separator: ", ")
    }
}

extension WeightPlacement {
    /// How people read it.
    public var title: String {
        switch self {
        case .resident: "in GPU memory"
        case .pinned(0): "streamed from pinned memory"
        case .pinned(let resident): "streamed from pinned memory but for \(resident) layers"
        case .file(0): "streamed from the file"
        case .file(let resident): "streamed from the file but for \(resident) layers"
        }
    }
}
