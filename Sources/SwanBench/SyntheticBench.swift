import FoundationEssentials
import SwanCheckpoint
public import SwanDiagnostics
import SwanMedia
import SwanModels
import SwanNN
public import SwanPipeline
public import SwanTensor

/// Times the stages of a model of real sizes with random weights.
///
/// Dense arithmetic takes the same time whatever the values are, as long as they are not zero: speed and memory are
/// those of the real model, and the picture is noise.
public struct SyntheticBench {
    /// What can be timed.
    public enum Stage: String, Sendable, Codable, CaseIterable {
        /// The text encoder on a whole prompt.
        case text
        /// One forward of one expert; the prompt's keys and values are there, as after the first step of a run.
        case forward
        /// A whole clip from latents to pixels in host memory.
        case decode
        /// Everything once: ids, all steps with guidance, frames, file.
        case pipeline
    }

    /// How it is measured.
    public struct Options: Sendable {
        /// What is timed, in this order.
        public var stages: [Stage] = [.forward, .decode, .text]
        /// Size, frames and steps; nil where the model's own are used.
        public var request = GenerationRequest()
        /// Timed calls behind the first of each stage.
        public var runs = 3
        /// Timed runs of the pipeline behind the first; 0 for that one alone, which is then what is reported.
        public var pipelineRuns = 0
        /// Whether each stage is run once more with every operation timed.
        public var profilesOperations = false
        /// Bytes of the device's memory that may be used; nil for what is free.
        public var memoryLimit: Int?
        /// Where the transformer's weights shall be, on a device with memory of its own.
        public var weights = DevicePlan.Weights.auto
        /// Whether some channels of the transformer are much larger than others.
        public var hasOutliers = false
        /// A file for the result of the forward, the tensor `velocity`; nil for none.
        public var velocityPath: String?
        /// A file for the result of the decode, the tensor `frames`, float32 `[frames, height, width, 3]` from 0 to 255;
        /// nil for none.
        public var framesPath: String?

        /// The stages but the pipeline, at the model's own size.
        public init() {}
    }

    private let model: SyntheticModel
    private let parts: ModelParts
    private let options: Options
    private let backend: any Backend
    private let generator: Generator
    private let item: VideoItem
    private var report: SyntheticReport

    /// Runs everything.
    ///
    /// - Parameters:
    ///   - model: a published model, without its weights.
    ///   - options: what is timed, and how often.
    ///   - backend: the device.
    ///   - progress: is told each stage as soon as it is there.
    /// - Throws: what the request gets wrong, `pipeline.not-enough-memory` before any weight is made, and what the
    ///   device throws.
    public static func run(
        _ model: SyntheticModel, _ options: Options, on backend: any Backend,
        progress: (SyntheticReport.StageTimes) -> Void = { _ in }
    ) throws(SwanError) -> SyntheticReport {
        var bench = try SyntheticBench(model, options, on: backend)
        for stage in options.stages { progress(try bench.run(stage)) }
        return bench.report
    }

    private init(_ model: SyntheticModel, _ options: Options, on backend: any Backend) throws(SwanError) {
        // Before anything is made: nothing is overwritten.
        for path in [options.velocityPath, options.framesPath] {
            if let path { try OutputPath.checkFile(path, bytes: 0) }
        }
        (self.model, self.options, self.backend) = (model, options, backend)
        parts = model.parts(promptTokens: model.transformer.textTokens, hasOutliers: options.hasOutliers)
        item = VideoItem(prompt: "synthetic", start: .seed(1), path: "synthetic.mp4")
        var generator = try Generator(parts, model.defaults, try model.request(options.request), [item])
        // A rehearsal takes a moment: it is left out where nobody needs what it finds.
        if options.memoryLimit != nil || options.weights != .auto || options.stages.contains(.pipeline) {
            try generator.fit(
                [item], to: backend, limit: options.memoryLimit, hostBytes: SystemMemory.available,
                weights: options.weights)
        }
        if try backend.deviceMemory() == nil {
            var plan = generator.plan
            plan.stages = plan.stages.filter { part in options.stages.contains { $0.includes(part.stage) } }
            try plan.check(availableBytes: SystemMemory.available, limit: options.memoryLimit)
        }
        // Once: what a stage leaves in use, as libraries' work space, stays where it is. A whole run asks by itself.
        if let device = generator.plan.device, !options.stages.contains(.pipeline) {
            try backend.reserve(device.arenaBytes)
        }
        self.generator = generator
        report = SyntheticReport(
            model: generator.settings.model, device: "\(backend.name): \(backend.summary)",
            width: generator.settings.width, height: generator.settings.height, frames: generator.settings.frames,
            tokens: generator.plan.tokens, textTokens: model.transformer.textTokens,
            precision: generator.settings.precision?.rawValue, runs: options.runs,
            plan: generator.plan.device?.summary, ceilings: nil, stages: [])
    }

    private mutating func run(_ stage: Stage) throws(SwanError) -> SyntheticReport.StageTimes {
        let times: SyntheticReport.StageTimes
        switch stage {
        case .text: times = try measure(stage, prepareText)
        case .forward: times = try measure(stage, prepareForward)
        case .decode: times = try measure(stage, prepareDecode)
        case .pipeline: times = try runPipeline()
        }
        report.stages.append(times)
        return times
    }

    // Stages --------------------------------------------------------------------------------------

    /// What is timed.
    private struct Work {
        /// Works on the device that it is given, or on one that measures it.
        let call: (any Backend) throws(SwanError) -> Void
        /// Writes the result, once, behind all that is timed; nil where nobody wants it.
        var save: (() throws(SwanError) -> Void)?
    }

    private var layout: DevicePlan.Layout { generator.plan.device?.layout ?? .resident }

    private func prepareText() throws(SwanError) -> Work {
        // A prompt's rows are read from a table in host memory: making their noise would take longer than that. So
        // the table is stored, and short enough for it.
        var config = parts.textEncoder.configuration
        config.vocabulary = min(config.vocabulary, 1024)
        let weights = StoredTable(base: SyntheticWeights(config.tensorShapes, seed: 3))
        let encoder = try UMT5Encoder(config, WeightScope(weights), layout.textEncoder, on: backend)
        let tokens = SyntheticTokens(count: model.transformer.textTokens, vocabularySize: config.vocabulary)
        let ids = tokens.encode(item.prompt, maximumLength: model.transformer.textTokens)
        return Work(call: { (backend) throws(SwanError) in _ = try encoder(ids, on: backend) })
    }

    private func prepareForward() throws(SwanError) -> Work {
        let config = parts.lowNoise.configuration
        let transformer = try WanTransformer(
            config, WeightScope(parts.lowNoise.weights), layout.transformer, as: generator.settings.precision,
            on: backend)
        let shape = Shape(generator.plan.latent)
        let states = HostTensor([config.textTokens, config.textWidth], .float32, Noise(seed: 11, deviation: 1))
        let text = try transformer.encode(states, on: backend)
        let rope = try transformer.rotaryTable(for: shape, on: backend)
        let latent = try backend.upload(HostTensor(shape, .float32, Noise(seed: 12, deviation: 1)), as: .float32)
        let rows = try backend.deviceMemory() == nil ? WanTransformer.feedForwardRows : layout.feedForwardRows
        func velocity(_ backend: any Backend) throws(SwanError) -> Tensor {
            try transformer(latent, timesteps: [900], text: text, rope: rope, feedForwardRows: rows, on: backend)
        }
        var work = Work(call: { (backend) throws(SwanError) in _ = try velocity(backend) })
        if let path = options.velocityPath {
            work.save = { [backend] () throws(SwanError) in
                let result = try velocity(backend)
                let values = HostTensor(result.shape, try backend.download(result))
                try SafetensorsWriter.write(["velocity": values], to: path, isReplacing: false)
            }
        }
        return work
    }

    private func prepareDecode() throws(SwanError) -> Work {
        let decoder = try WanVAEDecoder(
            parts.autoencoder.configuration, WeightScope(parts.autoencoder.weights), on: backend)
        let latent = generator.plan.latent
        let shape: Shape = [latent[0], 1, latent[2], latent[3]]
        var frames: [Tensor] = []
        for frame in 0 ..< latent[1] {
            let noise = Noise(seed: UInt32(20 + frame), deviation: 1)
            frames.append(try backend.upload(HostTensor(shape, .float32, noise), as: .float32))
        }
        func decode(_ backend: any Backend, _ use: ([UInt8]) -> Void) throws(SwanError) {
            let stream = WanVAEDecoder.Stream()
            for frame in frames { use(try backend.framesToRGB8(decoder(frame, stream, on: backend))) }
        }
        var work = Work(call: { (backend) throws(SwanError) in try decode(backend) { _ in } })
        if let path = options.framesPath {
            let settings = generator.settings
            work.save = { [backend] () throws(SwanError) in
                var pixels: [Float] = []
                try decode(backend) { pixels.append(contentsOf: $0.map(Float.init)) }
                let extents: Shape = [settings.frames, settings.height, settings.width, 3]
                try SafetensorsWriter.write(["frames": HostTensor(extents, pixels)], to: path, isReplacing: false)
            }
        }
        return work
    }

    /// Loads, calls once, calls again as often as was asked for.
    private mutating func measure(
        _ stage: Stage, _ prepare: () throws(SwanError) -> Work
    ) throws(SwanError) -> SyntheticReport.StageTimes {
        let meter = backend as? any MemoryMeter
        meter?.resetPeakBytes()
        let clock = ContinuousClock()
        let begin = clock.now
        let work = try prepare()
        try backend.synchronize()
        let loadSeconds = (clock.now - begin).inSeconds
        let counter = self.backend as? any WorkMeter
        var counts: WorkCounts?
        func call(_ backend: any Backend) throws(SwanError) -> Double {
            let before = counter?.workCounts
            let start = clock.now
            try work.call(backend)
            if let counter, let before { counts = counter.workCounts - before }
            try backend.synchronize()
            return (clock.now - start).inSeconds
        }
        let first = try call(backend)
        let age = ProcessAge.seconds
        var all: [Double] = []
        for _ in 0 ..< options.runs { all.append(try call(backend)) }
        let median = all.sorted()[options.runs / 2]
        // What the first call took longer than the others was getting ready.
        if report.stages.isEmpty, let age { report.startSeconds = max(0, age - min(median, first)) }
        var times = SyntheticReport.StageTimes(
            stage: stage, loadSeconds: loadSeconds, firstSeconds: first, seconds: median, all: all,
            peakBytes: meter?.peakBytes)
        times.counts = counts
        if options.profilesOperations {
            // Not before: it would be part of the first stage's start.
            let ceilings =
                if let known = report.ceilings { known } else {
                    try DeviceCeilings(of: backend, generator.settings.precision)
                }
            report.ceilings = ceilings
            let measured = try MeasuredBackend(backend)
            let seconds = try call(measured)
            times.operations = OperationTable(try measured.takeProfile(), seconds: seconds, ceilings)
        }
        try work.save?()
        return times
    }

    // The whole -----------------------------------------------------------------------------------

    private mutating func runPipeline() throws(SwanError) -> SyntheticReport.StageTimes {
        let meter = backend as? any MemoryMeter
        meter?.resetPeakBytes()
        let hasEncoder = MediaTools.installed.ffmpeg != nil
        let folder = FileManager.default.temporaryDirectory.path + "/swan-bench-\(UUID().uuidString)"
        var item = item
        defer { try? FileManager.default.removeItem(atPath: folder) }
        if hasEncoder {
            do {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            } catch {
                throw SwanError(
                    .temporaryFolder,
                    "No folder can be made for the video, which is thrown away: \(folder.printable()).",
                    advice: "Set TMPDIR to a folder that can be written to.", cause: error)
            }
        }
        let clock = ContinuousClock()
        var startSeconds: Double?
        let settings = generator.settings
        var all: [Double] = []
        var runs: [RunReport] = []
        for number in 0 ... options.pipelineRuns {
            item.path = "\(folder)/\(number).mp4"
            let begin = clock.now
            let run = try generator.run(
                [item], on: backend, cancellation: Cancellation(),
                open: { (item, _) throws(SwanError) in
                    guard hasEncoder, let path = item.path else { return ForgettingSink(settings) }
                    return try VideoWriter.open(
                        path: path, width: settings.width, height: settings.height, fps: settings.fps)
                },
                report: { event in
                    if number == 0, case .step(_, 1, _, let seconds, _) = event, let age = ProcessAge.seconds {
                        startSeconds = max(0, age - seconds)
                    }
                })
            all.append((clock.now - begin).inSeconds)
            runs.append(run)
        }
        let first = all[0]
        if options.pipelineRuns > 0 {
            all.removeFirst()
            runs.removeFirst()
        }
        // The stages of the very run whose time is reported.
        let median = all.indices.sorted { all[$0] < all[$1] }[all.count / 2]
        let run = runs[median]
        if report.stages.isEmpty { report.startSeconds = startSeconds }
        var times = SyntheticReport.StageTimes(
            stage: .pipeline, loadSeconds: 0, firstSeconds: first, seconds: all[median], all: all,
            peakBytes: meter?.peakBytes)
        times.parts = run.stages
        times.steps = settings.steps
        times.forwards = run.forwards
        times.isEncoded = hasEncoder
        return times
    }
}

extension SyntheticBench.Stage {
    /// Whether a stage of a run is part of this.
    fileprivate func includes(_ stage: GenerationEvent.Stage) -> Bool {
        switch self {
        case .text: stage == .text
        case .forward: stage == .high || stage == .low
        case .decode: stage == .decode
        case .pipeline: true
        }
    }
}

/// Weights of which the text encoder's table lies in host memory.
private struct StoredTable: WeightSource {
    let base: SyntheticWeights

    var names: [String] { base.names }
    var origin: String { base.origin }

    func info(_ name: String) -> TensorInfo? { base.info(name) }

    func tensor(_ name: String) throws(SwanError) -> HostTensor {
        let tensor = try base.tensor(name)
        guard name == "token_embedding.weight" else { return tensor }
        return try HostTensor(tensor.shape, tensor.dtype, tensor.bytes)
    }
}

/// Where frames go when there is no ffmpeg.
private final class ForgettingSink: FrameSink {
    let width, height: Int

    init(_ settings: GenerationSettings) { (width, height) = (settings.width, settings.height) }

    func write(frames rgb: [UInt8], count: Int) {}
    func finish(unless isStopped: () -> Bool) {}
    func cancel() {}
}

extension SwanError.Code {
    /// The folder for temporary files cannot be written to.
    public static let temporaryFolder = Self("bench.temporary-folder", .io)
}
