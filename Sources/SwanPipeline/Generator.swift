import SwanCheckpoint
public import SwanDiagnostics
public import SwanMedia
import SwanModels
import SwanNN
import SwanSampling
public import SwanTensor
import SwanText

/// One video of a run.
public struct VideoItem: Sendable {
    /// Where its first latent comes from.
    public enum Start: Sendable {
        /// Noise as PyTorch's CPU generator draws it.
        case seed(UInt64)
        /// Given noise, `[channels, frames, height, width]`.
        case noise(HostTensor)
        /// Clean latents: nothing but the decoder runs.
        case latents(HostTensor)
    }

    /// What the video shows.
    public var prompt: String
    /// Where its first latent comes from.
    public var start: Start
    /// Where the file is written; nil to stop before decoding.
    public var path: String?
    /// Where the final latents are written; nil for nowhere.
    public var latentsPath: String?
    /// Whether an earlier part of the run has finished it, so that nothing is left to do.
    public var isFinished = false

    /// Whether nothing but the decoder runs.
    var isDecodedOnly: Bool { if case .latents = start { true } else { false } }

    /// Describes a video.
    public init(prompt: String, start: Start, path: String?, latentsPath: String? = nil) {
        self.prompt = prompt
        self.start = start
        self.path = path
        self.latentsPath = latentsPath
    }
}

/// From prompts to videos: text, high-noise steps, low-noise steps, decode, file.
///
/// One direction, no way back. Each part of the model is in memory only while its stage runs; several
/// videos pass a stage together, so that its weights are read once.
public struct Generator {
    private let model: OpenModel
    /// Everything that was decided.
    public let settings: GenerationSettings
    /// What has to be said of how that was decided; nil where there is nothing.
    public let note: String?
    /// What the run needs.
    public private(set) var plan: GenerationPlan

    /// Opens a model and plans a run: everything is checked that can be without reading weights.
    ///
    /// - Throws: what the files, the request and the given tensors get wrong.
    public init(_ files: ModelFiles, _ request: GenerationRequest, _ items: [VideoItem]) throws(SwanError) {
        let defaults = try files.readDefaults(files.openTransformer(files.lowNoise).configuration)
        let (routed, remarks) = try files.highNoise == nil ? (request, []) : request.routingLoRAs()
        let settings = try routed.resolve(files, defaults)
        try self.init(ModelParts(files, settings), settings, notes: [defaults.note] + remarks, items)
    }

    /// Plans a run of a model whose parts are open already: of weights that no file holds.
    ///
    /// - Parameters:
    ///   - parts: their sizes, and where weights are read from.
    ///   - defaults: what the model does where the request says nothing.
    ///   - request: what is asked of it.
    ///   - items: the videos.
    ///   - promptTokens: of every prompt, where that is known; else operations are those of usual ones.
    /// - Throws: what the parts, the request and the given tensors get wrong.
    public init(
        _ parts: ModelParts, _ defaults: ModelDefaults, _ request: GenerationRequest, _ items: [VideoItem],
        promptTokens: Int? = nil
    ) throws(SwanError) {
        let settings = try request.resolve(
            hasTwoExperts: parts.highNoise != nil, pair: nil, place: parts.lowNoise.weights.origin, defaults)
        try self.init(parts, settings, notes: [defaults.note], items, promptTokens: promptTokens)
    }

    private init(
        _ parts: ModelParts, _ settings: GenerationSettings, notes: [String?], _ items: [VideoItem],
        promptTokens: Int? = nil
    ) throws(SwanError) {
        self.settings = settings
        let notes = (notes + [settings.remark]).compactMap(\.self)
        note = notes.isEmpty ? nil : notes.joined(separator: " ")
        model = try OpenModel(parts)
        let isGenerating = items.isEmpty || items.contains { !$0.isDecodedOnly }
        plan = try GenerationPlan(
            settings, model.sizes, videos: max(1, items.count), isGenerating: isGenerating, promptTokens: promptTokens)
        for item in items {
            let given: (what: String, shape: Shape)? =
                switch item.start {
                case .seed: nil
                case .noise(let tensor): ("noise", tensor.shape)
                case .latents(let tensor): ("latents", tensor.shape)
                }
            if let given, given.shape != Shape(plan.latent) {
                throw SwanError(
                    .invalidRequest,
                    "The given \(given.what) have shape \(given.shape), expected \(Shape(plan.latent)) for \(settings.width)x\(settings.height) and \(settings.frames) frames.",
                    advice: Self.fitting(given.shape, plan.latent))
            }
        }
    }

    /// The options that make given latents fit, where any do.
    private static func fitting(_ shape: Shape, _ expected: [Int]) -> String {
        guard shape.rank == 4, shape[0] == expected[0], shape[2] % 2 == 0, shape[3] % 2 == 0, shape.count > 0 else {
            return "Give latents of this model: [channels, frames, height, width], without the pixels' factor of 8."
        }
        return "They fit --size \(8 * shape[3])x\(8 * shape[2]) --frames \(4 * (shape[1] - 1) + 1)."
    }

    /// Runs all stages.
    ///
    /// - Parameters:
    ///   - items: the videos that were planned, with their files decided.
    ///   - backend: where the arithmetic happens.
    ///   - cancellation: looked at between steps and decoded chunks.
    ///   - keeper: keeps videos between steps, and knows those that are to go on; nil to begin and keep none.
    ///   - open: opens the file of a video, when its first frames are about to come.
    ///   - report: told what happens.
    /// - Throws: `cancelled`; what writing throws, for latents after all videos; `pipeline.latents-invalid`
    ///   before anything is decoded. No half-written file is left.
    public func run(
        _ items: [VideoItem], on backend: any Backend, cancellation: Cancellation,
        keeper: (any DenoisingKeeper)? = nil,
        open: (VideoItem, GenerationSettings) throws(SwanError) -> any FrameSink,
        report: @escaping (GenerationEvent) -> Void
    ) throws(SwanError) -> RunReport {
        try cancellation.check()
        if let device = plan.device, !backend.isRehearsal { try backend.reserve(device.arenaBytes) }
        var timer = StageTimer(plan, report)
        var latents = try startLatents(items, keeper, on: backend)
        for item in items where item.isFinished && item.path != nil { timer.skipDecoding(frames: settings.frames) }
        if latents.contains(where: { $0.solver != nil }) {
            timer.begin(.text)
            let states = try encodeText(latents.filter { $0.solver != nil }.map(\.item), on: backend, cancellation)
            let denoiser = try Denoiser(settings, model, plan, states, keeper)
            try denoiser.run(&latents, on: backend, cancellation, &timer)
        }
        // A video is worth having without its latents: what keeps them from being written is told at the end.
        var unwritten: SwanError?
        for latent in latents {
            try cancellation.check()
            let values = try backend.download(latent.tensor)
            guard values.allSatisfy(\.isFinite) else { throw try notFinite(latent.item, cancellation) }
            guard let path = latent.item.latentsPath else { continue }
            do throws(SwanError) {
                try SafetensorsWriter.write(
                    ["latents": HostTensor(latent.tensor.shape, values)], metadata: ["format": "pt"], to: path)
            } catch {
                unwritten = error
            }
        }
        if latents.contains(where: { $0.item.path != nil }) {
            timer.begin(.loadDecoder)
            let decoder = try model.loadDecoder(on: backend, cancellation)
            for latent in latents where latent.item.path != nil {
                try cancellation.check()
                try decode(latent, decoder, on: backend, cancellation, open, &timer)
            }
        }
        if let unwritten { throw unwritten }
        return timer.finish(
            settings, model.architecture, items, device: "\(backend.name): \(backend.summary)",
            forwards: plan.forwards * items.count - latents.reduce(0) { $0 + $1.spared },
            precision: settings.precision?.rawValue ?? (backend.activationType == .float32 ? "fp32" : "bf16"),
            attention: backend.attentionKernel,
            memory: try backend.deviceMemory())
    }

    /// Decides where weights are on a device with memory of its own, such that the run fits; does nothing for the
    /// CPU.
    ///
    /// Each way is rehearsed: the whole run on a stand-in that takes and gives back the same memory and computes
    /// nothing. So the plan is exact.
    ///
    /// - Parameters:
    ///   - items: the videos.
    ///   - backend: the device.
    ///   - limit: bytes of the device's memory; nil for what is free.
    ///   - hostBytes: of host memory that may be pinned.
    ///   - weights: where the transformer's weights shall be.
    /// - Throws: `pipeline.not-enough-memory` with what is needed.
    public mutating func fit(
        _ items: [VideoItem], to backend: any Backend, limit: Int?, hostBytes: Int, weights: DevicePlan.Weights = .auto
    ) throws(SwanError) {
        guard let memory = try backend.deviceMemory() else { return }
        try checkLatents(hostBytes: hostBytes)
        // What the driver counts for this process already is part of the overhead.
        let free = memory.free + memory.reserved + memory.overhead / 2
        let generator = self
        var stages: [DevicePlan.Layout: any Backend] = [:]
        plan.device = try DevicePlan.choose(
            limits: (min(limit ?? free, free), hostBytes), overhead: memory.overhead,
            layers: model.sizes.transformer.layers, weights: weights, canReload: model.canReadAgain
        ) { (layout) throws(SwanError) in
            let stage = try generator.rehearse(items, layout, for: backend)
            stages[layout] = stage
            return try Self.need(of: stage)
        }
        if let layout = plan.device?.layout, let stage = stages[layout] { backend.expect(stage) }
    }

    /// The plan that takes the least of a device's memory, whether it fits or not; nil for the CPU.
    ///
    /// - Parameters:
    ///   - items: the videos.
    ///   - backend: the device.
    /// - Throws: `pipeline.not-enough-memory` where latents have no room in host memory.
    public func leanestPlan(_ items: [VideoItem], for backend: any Backend) throws(SwanError) -> DevicePlan? {
        guard let memory = try backend.deviceMemory() else { return nil }
        try checkLatents(hostBytes: Int.max)
        return try DevicePlan.leanest(overhead: memory.overhead, canReload: model.canReadAgain) {
            (layout) throws(SwanError) in
            try Self.need(of: rehearse(items, layout, for: backend))
        }
    }

    /// Whether latents have room in host memory, where they lie in a rehearsal as in the run, twice while a frame is
    /// picked.
    private func checkLatents(hostBytes: Int) throws(SwanError) {
        let needed = 2 * 4 * Shape(plan.latent).count
        let free = min(hostBytes, SystemMemory.available)
        guard needed > free else { return }
        throw SwanError(
            .notEnoughMemory,
            "The latents need \(formatted(bytes: needed)) of host memory and \(formatted(bytes: free)) are free.",
            advice: "Ask for a smaller size or fewer frames.")
    }

    /// What a rehearsed run has taken.
    private static func need(of stage: any Backend) throws(SwanError) -> DevicePlan.Need {
        DevicePlan.Need(arenaBytes: try stage.deviceMemory()?.peak ?? 0, pinnedBytes: stage.pinnedBytes)
    }

    /// A stand-in that has been through the run.
    private func rehearse(
        _ items: [VideoItem], _ layout: DevicePlan.Layout, for backend: any Backend
    ) throws(SwanError) -> any Backend {
        guard let stage = backend.rehearsal() else { throw SwanError(.fault, "The device has no rehearsals.") }
        var generator = self
        generator.plan.device = DevicePlan(layout: layout, arenaBytes: 0, overheadBytes: 0, pinnedBytes: 0)
        var items = items
        for index in items.indices { items[index].latentsPath = nil }
        _ = try generator.run(
            items, on: stage, cancellation: Cancellation(), open: { _, settings in ForgottenFrames(settings) },
            report: { _ in })
        return stage
    }

    /// Where the frames of a rehearsal go.
    private final class ForgottenFrames: FrameSink {
        let width, height: Int
        init(_ settings: GenerationSettings) { (width, height) = (settings.width, settings.height) }
        func write(frames: [UInt8], count: Int) {}
        func finish(unless isStopped: () -> Bool) {}
        func cancel() {}
    }

    /// The error for a latent that would decode to nothing: says which weights are to blame, where some are.
    /// They are read for it once more, so that loading need not look at every value.
    private func notFinite(_ item: VideoItem, _ cancellation: Cancellation) throws(SwanError) -> SwanError {
        if item.isDecodedOnly {
            return SwanError(
                .latentsInvalid, "The given latents hold values that are no numbers.",
                advice: "Make them again: nothing can be decoded from them.")
        }
        let names = try model.weightsThatAreNoNumbers(cancellation)
        guard names.isEmpty else {
            return SwanError(
                .latentsInvalid,
                "The steps gave values that are no numbers, since the model's weights hold some: \(names.joined(separator: "; ")).",
                advice: "The files are damaged: fetch them again.")
        }
        return SwanError(
            .latentsInvalid, "The steps gave values that are no numbers.",
            advice: "The model's weights are sound: leave LoRAs out or lower their strength, and ask for less guidance."
        )
    }

    /// The latent that each video begins with, or goes on with, but for those that are finished.
    private func startLatents(
        _ items: [VideoItem], _ keeper: (any DenoisingKeeper)?, on backend: any Backend
    ) throws(SwanError) -> [LatentState] {
        var states: [LatentState] = []
        for (index, item) in items.enumerated() where !item.isFinished {
            let host: HostTensor
            switch item.start {
            case .seed where backend.isRehearsal:
                host = HostTensor(Shape(plan.latent), Array(repeating: 0, count: Shape(plan.latent).count))
            case .seed(let seed):
                var generator = TorchCPUGenerator(seed: seed)
                host = try generator.normal(Shape(plan.latent))
            case .noise(let given):
                host = given
                guard try given.floats().allSatisfy(\.isFinite) else {
                    throw SwanError(
                        .latentsInvalid, "The given noise holds values that are no numbers.", advice: "Make it again.")
                }
            case .latents(let given): host = given
            }
            let kept = try item.isDecodedOnly ? nil : keeper?.state(of: index)
            states.append(try LatentState(index, item, host, kept, settings, on: backend))
        }
        return states
    }

    /// The text encoder's states of every prompt, and of the negative prompt if guidance needs it.
    private func encodeText(_ items: [VideoItem], on backend: any Backend, _ cancellation: Cancellation)
        throws(SwanError) -> [String: HostTensor]
    {
        let layout = plan.device?.layout ?? .resident
        let encoder = try model.loadTextEncoder(layout.textEncoder, on: backend, cancellation)
        var prompts = items.map(\.prompt)
        if Guidance.isOn(settings.guidanceHigh) || Guidance.isOn(settings.guidanceLow) {
            prompts.append(settings.negativePrompt)
        }
        var states: [String: HostTensor] = [:]
        for prompt in prompts where states[prompt] == nil {
            try cancellation.check()
            let ids = try model.tokenizer.encode(
                PromptCleaner.clean(prompt), maximumLength: model.sizes.transformer.textTokens)
            states[prompt] = try encoder(ids, on: backend)
        }
        return states
    }

    /// Decodes a video frame by frame and hands the pixels on while the next are computed.
    private func decode(
        _ latent: LatentState, _ decoder: WanVAEDecoder, on backend: any Backend, _ cancellation: Cancellation,
        _ open: (VideoItem, GenerationSettings) throws(SwanError) -> any FrameSink,
        _ timer: inout StageTimer
    ) throws(SwanError) {
        timer.begin(.decode)
        let (index, item) = (latent.index, latent.item)
        let sink = try open(item, settings)
        do {
            let frames = try LatentFrames(latent.tensor, on: backend)
            let stream = WanVAEDecoder.Stream()
            var done = 0
            // The third frame of a rehearsal takes as much memory as any later one.
            for frame in 0 ..< (backend.isRehearsal ? min(3, frames.count) : frames.count) {
                try cancellation.check()
                let pixels = try decoder(frames.upload(frame, on: backend), stream, on: backend)
                try sink.write(frames: backend.framesToRGB8(pixels), count: pixels.shape[0])
                done += pixels.shape[0]
                timer.frames(pixels.shape[0], done: done, of: settings.frames, video: index)
            }
            timer.begin(.encode)
            try sink.finish(unless: { cancellation.isCancelled })
            timer.finished(video: index, path: item.path ?? "")
        } catch {
            sink.cancel()
            // Whoever stops the run may have stopped the encoder as well, as a system that goes down does.
            try cancellation.check()
            throw error
        }
    }
}

/// A latent's frames, one at a time: they are not contiguous in a latent, whose channels come first.
private struct LatentFrames {
    private let values: [Float]
    private let shape: Shape
    var count: Int { shape[1] }

    init(_ latent: Tensor, on backend: any Backend) throws(SwanError) {
        values = try backend.download(latent)
        shape = latent.shape
    }

    func upload(_ frame: Int, on backend: any Backend) throws(SwanError) -> Tensor {
        let size = shape[2] * shape[3]
        var picked: [Float] = []
        picked.reserveCapacity(shape[0] * size)
        for channel in 0 ..< shape[0] {
            let start = (channel * shape[1] + frame) * size
            picked += values[start ..< start + size]
        }
        return try backend.upload(HostTensor([shape[0], 1, shape[2], shape[3]], picked), as: .float32)
    }
}
