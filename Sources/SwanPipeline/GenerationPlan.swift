public import SwanDiagnostics
import SwanModels
import SwanNN
import SwanSampling
import SwanTensor

/// What a run will need, computed before anything is loaded.
///
/// A pure function of settings and sizes: equal arguments give equal plans.
public struct GenerationPlan: Sendable, Hashable, Codable {
    /// One part of the run.
    public struct Stage: Sendable, Hashable, Codable {
        /// Which part.
        public var stage: GenerationEvent.Stage
        /// Bytes of weights in memory while it runs.
        public var weightBytes: Int
        /// Bytes of activations at most.
        public var activationBytes: Int
        /// Floating-point operations, of all videos.
        public var operations: Double
        /// Pieces that progress is counted in: steps or frames of all videos.
        public var parts: Int

        /// Describes a part.
        public init(
            stage: GenerationEvent.Stage, weightBytes: Int, activationBytes: Int, operations: Double, parts: Int
        ) {
            self.stage = stage
            self.weightBytes = weightBytes
            self.activationBytes = activationBytes
            self.operations = operations
            self.parts = parts
        }
    }

    /// The parts in order.
    public var stages: [Stage]
    /// Tokens of a forward.
    public var tokens: Int
    /// Forwards of the network for one video; with a step cache at most.
    public var forwards: Int
    /// The latent's `[channels, frames, height, width]`.
    public var latent: [Int]

    /// Where weights are on a device with memory of its own, and how much of it is taken; nil on the CPU.
    public var device: DevicePlan?

    /// Bytes of the model's files that are mapped: read, but not held, since the system can take them back.
    public var mappedBytes: Int

    /// Bytes needed at most: of the largest stage, of what is kept for reuse between stages, and of the
    /// program itself.
    public var peakBytes: Int {
        if let device { return device.peakBytes }
        let tensors = stages.map { $0.weightBytes + $0.activationBytes }.max() ?? 0
        return Self.programBytes + tensors + Self.idleBytes(tensors)
    }

    /// The largest resident size that the process can reach, mapped files counted.
    public var residentBytes: Int {
        guard let device else { return peakBytes + mappedBytes }
        return Self.programBytes + Self.driverBytes + device.pinnedBytes + mappedBytes
    }

    /// Resident bytes of a GPU's driver and libraries.
    private static let driverBytes = 1 << 30

    /// Resident bytes of the program and its libraries before it does anything.
    private static let programBytes = 40 << 20

    /// Free tensors that the CPU's pool holds back for the next use: a quarter of the most that was in use,
    /// or 64 MiB, where there were as many of different sizes.
    private static func idleBytes(_ tensors: Int) -> Int { max(tensors / 4, min(tensors, 64 << 20)) }

    /// Operations of one step of an expert.
    func operationsOfStep(isHigh: Bool) -> Double { operationsOfPart(isHigh ? .high : .low) }

    /// Operations of one decoded frame.
    var operationsOfFrame: Double { operationsOfPart(.decode) }

    private func operationsOfPart(_ stage: GenerationEvent.Stage) -> Double {
        stages.first { $0.stage == stage }.map { $0.operations / Double(max(1, $0.parts)) } ?? 0
    }

    /// Floating-point operations of the whole run.
    public var operations: Double { stages.reduce(0) { $0 + $1.operations } }

    /// Checks the plan against what there is.
    ///
    /// - Throws: `pipeline.not-enough-memory` with both numbers.
    public func check(availableBytes: Int, limit: Int?) throws(SwanError) {
        // A plan for a device's own memory fits, or there would be none.
        guard device == nil else { return }
        if let limit, peakBytes > limit {
            throw SwanError(
                .notEnoughMemory,
                "The plan needs \(formatted(bytes: peakBytes)) and the limit is \(formatted(bytes: limit)).",
                advice: "Ask for a smaller size or fewer frames, or raise --memory-limit.")
        }
        if peakBytes > availableBytes {
            throw SwanError(
                .notEnoughMemory,
                "The plan needs \(formatted(bytes: peakBytes)) of memory and \(formatted(bytes: availableBytes)) are free.",
                advice: "Close other programs, or ask for a smaller size, fewer frames or a smaller model.")
        }
    }

    /// The plan as people read it.
    ///
    /// - Parameter rate: floating-point operations per second that the device was seen to do; nil leaves
    ///   the times out.
    public func table(rate: Double?) -> String {
        // On a device with memory of its own the rehearsal says what all stages need together.
        var lines = workLines(rate: rate, withMemory: device == nil)
        lines.append(
            device.map { "  \($0.summary)" }
                ?? "  peak \(formatted(bytes: peakBytes)), and \(formatted(bytes: mappedBytes)) of mapped files")
        if let rate { lines.append("  about \(formatted(seconds: operations / rate)) in all") }
        return lines.joined(separator: "\n")
    }

    /// What there is to compute, a line for each stage.
    ///
    /// - Parameter withMemory: whether each says what it takes on the CPU.
    package func workLines(rate: Double? = nil, withMemory: Bool = false) -> [String] {
        var lines = ["latent \(Shape(latent)), \(tokens) tokens, \(forwards) forwards"]
        for stage in stages {
            let memory =
                withMemory
                ? "\(formatted(bytes: stage.weightBytes)) weights, \(formatted(bytes: stage.activationBytes)) activations, "
                : ""
            var line = "  \(stage.stage.title): \(memory)\(teraOperations(stage.operations)) TFLOP"
            if let rate { line += ", about \(formatted(seconds: stage.operations / rate))" }
            lines.append(line)
        }
        return lines
    }

    private func teraOperations(_ operations: Double) -> String {
        let thousandths = Int((operations / 1e9).rounded())
        let rest = String(thousandths % 1000)
        return "\(thousandths / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest)"
    }
}

extension GenerationPlan {
    /// The sizes of a model's parts.
    struct Sizes {
        var transformer: WanConfiguration
        var textEncoder: UMT5Configuration
        var autoencoder: WanVAEConfiguration
        /// Weights of each part in float32, which is what the CPU computes with.
        var transformerBytes, textEncoderBytes, decoderBytes: Int
        /// Bytes of the files that are read.
        var mappedBytes: Int
    }

    /// Plans a run on the CPU: one part of the model in memory at a time, float32, all resident.
    ///
    /// - Parameters:
    ///   - isGenerating: false when latents are given, which are only decoded.
    ///   - promptTokens: of every prompt; nil for usual prompts, of 32 tokens, beside the longer negative one.
    init(
        _ settings: GenerationSettings, _ sizes: Sizes, videos: Int, isGenerating: Bool = true, promptTokens: Int? = nil
    ) throws(SwanError) {
        guard
            let extents = WanVAEConfiguration.latentExtents(
                frames: settings.frames, height: settings.height, width: settings.width)
        else { throw SwanError(.fault, "Unchecked settings reached the planner.") }
        latent = [sizes.autoencoder.latentChannels, extents.frames, extents.height, extents.width]
        let grid = try sizes.transformer.grid(of: Shape(latent))
        tokens = grid.count
        let split = try settings.boundary > 0 ? settings.schedule().firstLowNoiseStep(boundary: settings.boundary) : 0
        func forwards(_ steps: Range<Int>, isHigh: Bool) -> Int {
            isGenerating ? steps.reduce(0) { $0 + (settings.isGuided($1, isHigh: isHigh) ? 2 : 1) } : 0
        }
        let high = forwards(0 ..< split, isHigh: true)
        let low = forwards(split ..< settings.steps, isHigh: false)
        self.forwards = high + low

        let config = sizes.transformer
        // Residual stream, its normalised copy, queries, keys, values and their like; the hidden rows that are in the
        // feed-forward at a time; rotation tables; latents and their history.
        let activations =
            4 * tokens * (7 * config.width + config.headWidth)
            + 4 * min(tokens, WanTransformer.feedForwardRows) * config.feedForward
            + 4 * Shape(latent).count * (8 + 4 * videos + (settings.cacheThreshold == nil ? 0 : 6)) + 2 * 4
            * config.layers * 513 * config.width
        let perForward = config.forwardOperations(grid, textRows: promptTokens ?? 64)
        let pixels = settings.width * settings.height
        let base = sizes.autoencoder.baseChannels
        // Feature caches (151,328 values per latent position at 96 base channels) and about six frames'
        // worth of the widest stage, four frames at a time.
        let positions = extents.height * extents.width
        let decoder = 4 * (151_328 * positions * base / 96 + 6 * 4 * pixels * base) + 3 * 4 * pixels

        var stages: [Stage] = []
        if isGenerating {
            // The longest prompt: logits' bias as it is collected, uploaded and packed; rows of the gated
            // feed-forward and of attention.
            let (text, rows) = (sizes.textEncoder, config.textTokens)
            let bias = 3 * text.heads * rows * rows
            let prompts = videos + (settings.isGuided ? 1 : 0)
            let encoded = promptTokens.map { $0 * prompts } ?? 32
            stages.append(
                Stage(
                    stage: .text, weightBytes: sizes.textEncoderBytes,
                    activationBytes: 4 * (bias + rows * (6 * text.width + 3 * text.feedForward)),
                    operations: 2 * Double(sizes.textEncoderBytes / 4) * Double(encoded), parts: 1))
        }
        if high > 0 {
            stages.append(
                Stage(
                    stage: .high, weightBytes: sizes.transformerBytes, activationBytes: activations,
                    operations: Double(high * videos) * perForward, parts: split * videos))
        }
        if low > 0 {
            stages.append(
                Stage(
                    stage: .low, weightBytes: sizes.transformerBytes, activationBytes: activations,
                    operations: Double(low * videos) * perForward,
                    parts: (settings.steps - split) * videos))
        }
        stages.append(
            Stage(
                stage: .decode, weightBytes: sizes.decoderBytes, activationBytes: decoder,
                operations: Double(videos) * Self.decodeOperations(extents, base: base), parts: settings.frames * videos
            ))
        self.stages = stages
        mappedBytes = sizes.mappedBytes
    }

    /// Operations of a decode, scaled from the counts for 480×832 at 96 channels: 4.29 TFLOP for the first
    /// latent frame, 13.49 for each later one.
    private static func decodeOperations(_ extents: (frames: Int, height: Int, width: Int), base: Int) -> Double {
        let scale = Double(extents.height * extents.width) / 6240 * Double(base * base) / 9216
        return (4.29e12 + 13.49e12 * Double(extents.frames - 1)) * scale
    }
}
