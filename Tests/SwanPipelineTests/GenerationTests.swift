import Foundation
import SwanCPU
import SwanCheckpoint
import SwanDiagnostics
import SwanMedia
import SwanPipeline
import SwanSampling
import SwanTensor
import SwanTestSupport
import Testing

/// Guards whole generations with two experts against the official classes: solvers, guidance of each expert,
/// the switch between them, padding of the text, decoding. The model is random and tiny; it does not guard
/// the published sizes.
@Suite struct GenerationTests {
    private static let golden = "pipeline/golden.safetensors"

    /// The golden's request: 64×48, 9 frames, shift 5.
    private static func request(_ solver: SolverName, steps: Int, guidance: (high: Double, low: Double))
        -> GenerationRequest
    {
        var request = GenerationRequest()
        (request.width, request.height, request.frames) = (64, 48, 9)
        (request.steps, request.solver, request.shift, request.boundary) = (steps, solver, 5, 0.875)
        (request.guidanceHigh, request.guidanceLow) = guidance
        request.negativePrompt = "blurry"
        return request
    }

    @Test(arguments: TestDevice.requested, [ModelFolder.official, .diffusers, .comfyUI, .lightX2V, .gguf])
    func everyLayoutGivesTheGoldensLatents(device: TestDevice, layout: ModelFolder) throws {
        let request = Self.request(.unipc, steps: 8, guidance: (4, 3))
        let run = try TestRun(layout.files(), request, seed: 42, on: device.open())
        let golden = try Fixture.open(Self.golden)
        let shape: Shape = [16, 3, 6, 8]
        let last = Array(try golden.tensor("unipc.latents").floats().suffix(shape.count))
        let error = Deviation(run.latents, last)
        #expect(error.relative <= 1e-4, "\(error)")

        // Frames: the golden is stored in float16, so 66 dB is its own precision.
        let frames = try golden.tensor("unipc.frames").floats()
        #expect(psnr(run.pixels, bytes(channelsFirst: frames, frames: 9, positions: 48 * 64)) >= 55)
    }

    @Test(arguments: TestDevice.requested)
    func everyLayoutGivesTheSameBits(device: TestDevice) throws {
        let request = Self.request(.euler, steps: 2, guidance: (1, 1))
        let runs = try ModelFolder.allCases.map { try TestRun($0.files(), request, seed: 7, on: device.open()).latents }
        for (layout, latents) in zip(ModelFolder.allCases, runs) {
            #expect(latents.map(\.bitPattern) == runs[0].map(\.bitPattern), "\(layout)")
        }
    }

    @Test(arguments: TestDevice.requested)
    func otherSolversGiveTheGoldensLatents(device: TestDevice) throws {
        let golden = try Fixture.open(Self.golden)
        let files = try ModelFolder.official.files()
        let dpm = try TestRun(files, Self.request(.dpmpp, steps: 8, guidance: (4, 3)), seed: 42, on: device.open())
        let dpmError = Deviation(dpm.latents, try golden.tensor("dpm++.latent").floats())
        #expect(dpmError.relative <= 1e-4, "\(dpmError)")

        let euler = try TestRun(files, Self.request(.euler, steps: 4, guidance: (1, 1)), seed: 42, on: device.open())
        let steps = try golden.tensor("euler.latents").floats()
        let eulerError = Deviation(euler.latents, Array(steps.suffix(16 * 3 * 6 * 8)))
        #expect(eulerError.relative <= 1e-4, "\(eulerError)")
    }

    @Test(arguments: TestDevice.requested)
    func aLoRAPairGivesTheGoldensLatents(device: TestDevice) throws {
        var request = Self.request(.euler, steps: 4, guidance: (1, 1))
        request.lorasHigh = [LoRASetting(Fixture.path("lora/lightning_high_noise.safetensors"))]
        request.lorasLow = [LoRASetting(Fixture.path("lora/lightning_low_noise.safetensors"))]
        let run = try TestRun(ModelFolder.official.files(), request, seed: 42, on: device.open())
        let golden = try Fixture.open("lora/expected.safetensors").tensor("latents").floats()
        let error = Deviation(run.latents, Array(golden.suffix(16 * 3 * 6 * 8)))
        #expect(error.relative <= 1e-4, "\(error)")
    }

    @Test(arguments: TestDevice.requested)
    func theSameSeedGivesTheSameBytes(device: TestDevice) throws {
        let request = Self.request(.unipc, steps: 3, guidance: (4, 3))
        let files = try ModelFolder.diffusers.files()
        let first = try TestRun(files, request, seed: 3, on: device.open())
        let second = try TestRun(files, request, seed: 3, on: device.open())
        #expect(first.latents.map(\.bitPattern) == second.latents.map(\.bitPattern))
        #expect(first.pixels == second.pixels)
        let other = try TestRun(files, request, seed: 4, on: device.open())
        #expect(first.pixels != other.pixels)
    }

    /// One load of the weights for several videos must not change any of them.
    @Test func severalVideosAreWhatEachIsAlone() throws {
        let request = Self.request(.unipc, steps: 3, guidance: (4, 3))
        let files = try ModelFolder.diffusers.files()
        let backend = try TestDevice("cpu").open()
        let alone = try TestRun(files, request, seed: 9, on: backend)
        let together = try TestRun(files, request, seeds: [8, 9], on: backend)
        #expect(together.pixels == alone.pixels)
    }

    @Test func stopsBetweenSteps() throws {
        let cancellation = Cancellation()
        var steps = 0
        let error = #expect(throws: SwanError.self) {
            try TestRun(
                ModelFolder.diffusers.files(), Self.request(.unipc, steps: 8, guidance: (4, 3)), seeds: [1],
                on: TestDevice("cpu").open(), cancellation
            ) { event in
                if case .step = event {
                    steps += 1
                    if steps == 2 { cancellation.cancel() }
                }
            }
        }
        #expect(error?.code == .cancelled)
        #expect(steps == 2)
    }

    @Test func stoppingWhileDecodingClosesTheSink() throws {
        let cancellation = Cancellation()
        let sink = CollectingSink(width: 64, height: 48)
        let error = #expect(throws: SwanError.self) {
            try TestRun(
                ModelFolder.diffusers.files(), Self.request(.euler, steps: 1, guidance: (1, 1)), seeds: [1],
                on: TestDevice("cpu").open(), cancellation, sink
            ) { event in
                if case .frames = event { cancellation.cancel() }
            }
        }
        #expect(error?.code == .cancelled)
        #expect(sink.wasCancelled)
    }

    /// Weights and activations that are planned are what the backend then holds at most; pages of the host's
    /// memory are no part of it. The plan is at most four times what is needed, and the 13 MB that the longest
    /// prompt would take.
    @Test(arguments: [(64, 48, 9), (256, 192, 9), (128, 128, 33)])
    func thePlanIsNotExceeded(width: Int, height: Int, frames: Int) throws {
        var request = Self.request(.euler, steps: 2, guidance: (4, 3))
        (request.width, request.height, request.frames) = (width, height, frames)
        let backend = try #require(TestDevice("cpu").open() as? CPUBackend)
        let run = try TestRun(ModelFolder.official.files(), request, seed: 1, on: backend)
        let planned = run.generator.plan.stages.map { $0.weightBytes + $0.activationBytes }.max() ?? 0
        let used = backend.memoryUse.peakBytes
        #expect(used <= planned, "\(used) bytes were used, \(planned) planned")
        #expect(planned <= 4 * used + 13_000_000, "\(used) bytes were used, \(planned) planned")
    }

    /// Weights that are no numbers are named, not decoded to a black picture.
    @Test func weightsThatAreNoNumbersAreNamed() throws {
        let folder = try TemporaryFolder()
        try folder.copy("pipeline/layouts/diffusers", as: "model")
        let path = folder.path + "/model/transformer_2/diffusion_pytorch_model.safetensors"
        let source = try openWeights(at: path)
        var tensors: [String: HostTensor] = [:]
        for name in source.names { tensors[name] = try source.tensor(name) }
        let name = "blocks.1.ffn.net.2.bias"
        let bias = try #require(tensors[name])
        tensors[name] = HostTensor(bias.shape, [.nan] + (try bias.floats()).dropFirst())
        try SafetensorsWriter.write(tensors, metadata: [:], to: path)
        let sink = CollectingSink(width: 64, height: 48)
        let error = #expect(throws: SwanError.self) {
            try TestRun(
                ModelFiles(in: folder.path + "/model"), Self.request(.euler, steps: 4, guidance: (1, 1)), seeds: [1],
                on: TestDevice("cpu").open(), Cancellation(), sink)
        }
        #expect(error?.code == .latentsInvalid)
        #expect(error?.code.kind == .data)
        #expect(error?.message.contains("blocks.1.ffn.2.bias") == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("transformer_2") == true)
        #expect(sink.bytes.isEmpty)
    }

    @Test func givenValuesThatAreNoNumbersAreRefused() throws {
        let values = HostTensor([16, 3, 6, 8], [.infinity] + [Float](repeating: 0, count: 2303))
        for start in [VideoItem.Start.latents(values), .noise(values)] {
            let item = VideoItem(prompt: "x", start: start, path: "x")
            let generator = try Generator(
                ModelFolder.official.files(), Self.request(.euler, steps: 1, guidance: (1, 1)), [item])
            let error = #expect(throws: SwanError.self) {
                try generator.run(
                    [item], on: TestDevice("cpu").open(), cancellation: Cancellation(),
                    open: { (_, _) throws(SwanError) in throw SwanError(.fault, "decoded") }, report: { _ in })
            }
            #expect(error?.code == .latentsInvalid)
        }
    }

    /// The video is made even where its latents cannot be kept, and then that is told.
    @Test func aVideoOutlivesItsLatents() throws {
        let item = VideoItem(prompt: "x", start: .seed(1), path: "x", latentsPath: "/nonexistent/latents")
        let generator = try Generator(
            ModelFolder.official.files(), Self.request(.euler, steps: 1, guidance: (1, 1)), [item])
        let sink = CollectingSink(width: 64, height: 48)
        var finished: [String] = []
        let error = #expect(throws: SwanError.self) {
            try generator.run(
                [item], on: TestDevice("cpu").open(), cancellation: Cancellation(),
                open: { (_, _) throws(SwanError) in sink },
                report: { event in if case .video(_, let path) = event { finished.append(path) } })
        }
        #expect(error?.message.contains("/nonexistent/latents") == true)
        #expect(finished == ["x"])
        #expect(sink.bytes.count == 3 * 64 * 48 * 9)
    }

    /// The plan speaks of the work that is done.
    @Test func thePlanSpeaksOfTheWork() throws {
        var request = Self.request(.euler, steps: 1, guidance: (1, 1))
        (request.width, request.height) = (256, 192)
        let run = try TestRun(ModelFolder.official.files(), request, seed: 1, on: TestDevice("cpu").open())
        #expect(run.report.plannedMemory == run.generator.plan.residentBytes)
        #expect(run.generator.plan.latent == [16, 3, 24, 32])
        #expect(run.generator.plan.forwards == 1)
        #expect(run.generator.plan.stages.map(\.stage) == [.text, .high, .decode])
        #expect(run.generator.plan.stages.map(\.parts) == [1, 1, 9])
    }
}

/// The fixtures' layouts of one and the same model.
enum ModelFolder: String, CaseIterable, Sendable {
    case official, diffusers, comfyUI = "comfy", lightX2V = "lightx2v", gguf

    /// Repositories of experts alone take the other parts from the official layout.
    func files() throws -> ModelFiles {
        let layouts = Fixture.path("pipeline/layouts/")
        let isWhole = self != .lightX2V && self != .gguf
        return try ModelFiles(in: layouts + rawValue, completedFrom: isWhole ? nil : layouts + "official")
    }
}

/// A generation whose frames stay in memory.
struct TestRun {
    let generator: Generator
    let report: RunReport
    /// The last video's final latents.
    let latents: [Float]
    /// The last video's pixels.
    let pixels: [UInt8]

    init(
        _ files: ModelFiles, _ request: GenerationRequest, seed: UInt64, on backend: any Backend
    ) throws {
        try self.init(files, request, seeds: [seed], on: backend)
    }

    init(
        _ files: ModelFiles, _ request: GenerationRequest, seeds: [UInt64], on backend: any Backend,
        _ cancellation: Cancellation = Cancellation(), _ collecting: CollectingSink? = nil,
        keeper: (any DenoisingKeeper)? = nil, finished: Set<Int> = [],
        report: @escaping (GenerationEvent) -> Void = { _ in }
    ) throws {
        let folder = try TemporaryFolder()
        var items = seeds.map {
            VideoItem(
                prompt: "A cat walking on the grass", start: .seed($0), path: "video",
                latentsPath: folder.path + "/\($0)")
        }
        for index in finished { items[index].isFinished = true }
        generator = try Generator(files, request, items)
        var sink: CollectingSink?
        let settings = generator.settings
        self.report = try generator.run(
            items, on: backend, cancellation: cancellation, keeper: keeper,
            open: { (_, _) throws(SwanError) in
                let new = collecting ?? CollectingSink(width: settings.width, height: settings.height)
                sink = new
                return new
            }, report: report)
        latents = try openWeights(at: items[items.count - 1].latentsPath ?? "").tensor("latents").floats()
        pixels = sink?.bytes ?? []
    }
}

/// Keeps videos between steps in memory.
final class MemoryKeeper: DenoisingKeeper {
    /// The latest state of each video.
    var states: [Int: DenoisingState] = [:]
    /// The steps behind which each video was kept.
    private(set) var kept: [Int: [Int]] = [:]
    /// Whether to keep a video after every step, and not just where nothing follows soon.
    let keepsAll: Bool

    init(keepsAll: Bool = true) { self.keepsAll = keepsAll }

    func state(of video: Int) throws(SwanError) -> DenoisingState? { states[video] }
    func isDue(_ video: Int, isLast: Bool) -> Bool { keepsAll || isLast }
    func keep(_ state: DenoisingState, of video: Int, stages: [RunReport.StageTime]) {
        states[video] = state
        kept[video, default: []].append(state.steps)
    }
}

/// Keeps frames in memory.
final class CollectingSink: FrameSink {
    let width, height: Int
    private(set) var bytes: [UInt8] = []
    private(set) var wasCancelled = false

    init(width: Int, height: Int) {
        self.width = width
        self.height = height
    }

    func write(frames rgb: [UInt8], count: Int) throws(SwanError) { bytes += rgb }
    func finish(unless isStopped: () -> Bool) throws(SwanError) {}
    func cancel() { wasCancelled = true }
}

/// `[3, frames, positions]` in −1 … 1 as bytes with channels last, by truncation.
private func bytes(channelsFirst values: [Float], frames: Int, positions: Int) -> [UInt8] {
    let plane = frames * positions
    return (0 ..< plane * 3).map { UInt8((min(max(values[$0 % 3 * plane + $0 / 3], -1), 1) + 1) / 2 * 255) }
}

/// Peak signal-to-noise ratio of two pictures, in decibels.
private func psnr(_ a: [UInt8], _ b: [UInt8]) -> Double {
    guard a.count == b.count, !a.isEmpty else { return 0 }
    let squares = zip(a, b).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
    return 10 * log10(255 * 255 / max(squares / Double(a.count), 1e-9))
}
