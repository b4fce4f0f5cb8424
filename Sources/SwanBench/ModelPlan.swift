public import SwanDiagnostics
import SwanModels
import SwanNN
public import SwanPipeline
public import SwanTensor

/// What a video of a model takes on one device or on several, of which neither has to be there: sizes are those of
/// ``SyntheticModel``, and a GPU may be a stand-in.
public struct ModelPlan: Sendable {
    /// What it takes on one device.
    public struct Place: Sendable {
        /// `cpu`, `cuda:0`; `gpu` for a stand-in.
        public var device: String
        /// Bytes of its own memory; nil where tensors live in the host's.
        public var memoryBytes: Int?
        /// How the run fits; where it does not, what takes the least. Nil where tensors live in the host's memory.
        public var plan: DevicePlan?
        /// Why it does not fit; nil where it does.
        public var refusal: SwanError?

        /// Whether there is room.
        public var fits: Bool { refusal == nil }
        /// Whether some of the transformer's weights come anew in each step.
        public var isStreamed: Bool { plan.map { $0.layout.transformer != .resident } ?? false }
    }

    /// What is made.
    public var settings: GenerationSettings
    /// What there is to compute; the memory is that of the CPU.
    public var work: GenerationPlan
    /// Tokens of the prompt and of the negative one: as many as the model takes at most.
    public var promptTokens: Int
    /// Bytes of host memory that may be used.
    public var hostBytes: Int
    /// Bytes that may be used at most of a device's memory, if that was limited.
    public var memoryLimit: Int?
    /// The devices in the order in which they were given.
    public var places: [Place]

    /// Plans.
    ///
    /// - Parameters:
    ///   - model: a published model, without its weights.
    ///   - request: what is asked of the model; its own values for the rest.
    ///   - devices: on which runs are rehearsed; nothing is computed.
    ///   - memoryLimit: bytes of each device's memory; nil for what is free.
    ///   - hostBytes: of host memory that is free: for everything on the CPU, for pinning on GPUs.
    /// - Throws: what the request gets wrong, and what a device throws; not that there is no room.
    public init(
        _ model: SyntheticModel, _ request: GenerationRequest, on devices: [any Backend], memoryLimit: Int?,
        hostBytes: Int
    ) throws(SwanError) {
        promptTokens = model.transformer.textTokens
        let items = [VideoItem(prompt: "synthetic", start: .seed(1), path: "synthetic.mp4")]
        let generator = try Generator(
            model.parts(promptTokens: promptTokens), model.defaults, request, items, promptTokens: promptTokens)
        (settings, work) = (generator.settings, generator.plan)
        (self.hostBytes, self.memoryLimit) = (hostBytes, memoryLimit)
        places = []
        for device in devices {
            let memory = try device.deviceMemory()?.total
            var place = Place(device: device.isRehearsal ? "gpu" : device.name, memoryBytes: memory)
            do throws(SwanError) {
                var generator = generator
                // All of a stand-in's memory is free, but it has no more than that.
                try generator.fit(
                    items, to: device, limit: memory.map { min(memoryLimit ?? $0, $0) }, hostBytes: hostBytes)
                try generator.plan.check(availableBytes: hostBytes, limit: memoryLimit)
                place.plan = generator.plan.device
            } catch {
                guard error.code == .notEnoughMemory else { throw error }
                place.refusal = error
                place.plan = try? generator.leanestPlan(items, for: device)
            }
            places.append(place)
        }
    }

    /// Whether there is room on any of the devices.
    public var fitsSomewhere: Bool { places.contains(where: \.fits) }
}

extension ModelPlan {
    /// The plan as people read it: of one device as `generate --dry-run` prints it, of several a table of them.
    public var text: String {
        var lines = [settings.summary]
        if places.count == 1 {
            var run = work
            run.device = places[0].plan
            lines.append(run.table(rate: nil))
        } else {
            lines += work.workLines() + ["", table]
        }
        lines.append("prompt and negative prompt of \(promptTokens) tokens each, the longest")
        let host = "\(formatted(memory: hostBytes)) of host memory"
        let limit = memoryLimit.map { ", at most \(formatted(memory: $0)) of it" } ?? ""
        switch places.count == 1 ? places[0].memoryBytes : nil {
        case nil where places.contains { $0.memoryBytes != nil }:
            lines.append(
                "planned with \(host)\(memoryLimit.map { ", at most \(formatted(memory: $0)) of each GPU" } ?? "")")
        case nil: lines.append("planned for the CPU, with \(host)")
        case let memory?:
            let name = places[0].device == "gpu" ? "a GPU" : places[0].device
            lines.append("planned for \(name) of \(formatted(memory: memory))\(limit), with \(host)")
        }
        return lines.joined(separator: "\n")
    }

    /// The devices, a line each.
    private var table: String {
        var rows = [["GPU memory", "fits", "peak", "pinned", "feed-forward", "weights"]]
        for place in places {
            var row = [place.memoryBytes.map { formatted(memory: $0) } ?? place.device, place.fits ? "yes" : "no"]
            if let plan = place.plan, place.fits {
                let layout = plan.layout
                let text = layout.textEncoder == .resident ? "" : ", text encoder \(layout.textEncoder.title)"
                row += [
                    formatted(bytes: plan.peakBytes),
                    plan.pinnedBytes > 0 ? formatted(bytes: plan.pinnedBytes) : "none",
                    layout.feedForwardRows.map { "\($0) rows" } ?? "at once", layout.transformer.title + text,
                ]
            } else {
                row += ["", "", "", place.needs]
            }
            rows.append(row)
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let last = row.count - 1
            return zip(row, widths).prefix(last).map { padded($0, $1 + 2) }.joined() + row[last]
        }.joined(separator: "\n")
    }
}

extension ModelPlan.Place {
    /// What would be enough, where there is no room.
    fileprivate var needs: String {
        guard let plan else { return refusal?.message ?? "" }
        let pinned = plan.pinnedBytes > 0 ? " and \(formatted(bytes: plan.pinnedBytes)) of pinned host memory" : ""
        return "needs \(formatted(bytes: plan.peakBytes))\(pinned) at least"
    }
}

/// `24 GiB (25.8 GB)`: memory of GPUs is sold in the first and everything here is counted in the second.
private func formatted(memory bytes: Int) -> String {
    bytes > 0 && bytes % (1 << 30) == 0 ? "\(bytes >> 30) GiB (\(formatted(bytes: bytes)))" : formatted(bytes: bytes)
}

extension ModelPlan: Encodable {
    /// Encodes names that stay: those of the documentation.
    public func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: Key.self)
        try object.encode(settings.model, forKey: "model")
        try object.encode(settings.width, forKey: "width")
        try object.encode(settings.height, forKey: "height")
        try object.encode(settings.frames, forKey: "frames")
        try object.encode(settings.steps, forKey: "steps")
        try object.encodeIfPresent(settings.precision, forKey: "precision")
        try object.encode(settings.guidanceHigh, forKey: "guidance_high")
        try object.encode(settings.guidanceLow, forKey: "guidance_low")
        try object.encode(promptTokens, forKey: "prompt_tokens")
        try object.encode(work.latent, forKey: "latent")
        try object.encode(work.tokens, forKey: "tokens")
        try object.encode(work.forwards, forKey: "forwards")
        try object.encode(hostBytes, forKey: "host_memory_bytes")
        try object.encodeIfPresent(memoryLimit, forKey: "memory_limit_bytes")
        try object.encode(fitsSomewhere, forKey: "fits")
        var stages = object.nestedUnkeyedContainer(forKey: "stages")
        for stage in work.stages {
            var part = stages.nestedContainer(keyedBy: Key.self)
            try part.encode(stage.stage, forKey: "stage")
            try part.encode(stage.operations, forKey: "operations")
        }
        var devices = object.nestedUnkeyedContainer(forKey: "devices")
        for place in places { try encode(place, in: devices.nestedContainer(keyedBy: Key.self)) }
    }

    private func encode(_ place: Place, in container: KeyedEncodingContainer<Key>) throws {
        var object = container
        try object.encode(place.device, forKey: "device")
        try object.encode(place.fits, forKey: "fits")
        guard let memory = place.memoryBytes else { return try object.encode(work.peakBytes, forKey: "peak_bytes") }
        try object.encode(memory, forKey: "memory_bytes")
        guard let plan = place.plan else { return }
        guard place.fits else {
            try object.encode(plan.peakBytes, forKey: "needed_bytes")
            return try object.encode(plan.pinnedBytes, forKey: "needed_pinned_bytes")
        }
        try object.encode(plan.peakBytes, forKey: "peak_bytes")
        try object.encode(plan.overheadBytes, forKey: "overhead_bytes")
        try object.encode(plan.pinnedBytes, forKey: "pinned_bytes")
        try object.encodeIfPresent(plan.layout.feedForwardRows, forKey: "feed_forward_rows")
        for (name, placement) in [("transformer", plan.layout.transformer), ("text_encoder", plan.layout.textEncoder)] {
            let (source, resident) = placement.parts
            try object.encode(source, forKey: Key(stringLiteral: name))
            try object.encodeIfPresent(resident, forKey: Key(stringLiteral: name + "_resident_layers"))
        }
    }

    /// A name in an object.
    private struct Key: CodingKey, ExpressibleByStringLiteral {
        let stringValue: String
        var intValue: Int? { nil }

        init(stringLiteral name: String) { stringValue = name }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}

extension WeightPlacement {
    /// Where weights come from, in a word, and the layers that stay on the device; nil for all.
    fileprivate var parts: (source: String, resident: Int?) {
        switch self {
        case .resident: ("device", nil)
        case .pinned(let resident): ("pinned", resident)
        case .file(let resident): ("file", resident)
        }
    }
}
