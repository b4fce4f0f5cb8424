import SwanBench
import SwanCPU
import SwanCUDA
import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanPipeline
import SwanTensor
import SwanTestSupport
import SwanText
import Testing

/// Stages of a model with random weights, at sizes that take a moment.
@Suite struct SyntheticBenchTests {
    static let model: SyntheticModel = {
        var transformer = WanConfiguration(width: 48, feedForward: 80, heads: 2, layers: 2, textWidth: 24)
        transformer.textTokens = 20
        var autoencoder = WanVAEConfiguration.wan21
        autoencoder.baseChannels = 8
        return SyntheticModel(
            .t2vA14B, transformer: transformer, hasTwoExperts: true,
            textEncoder: UMT5Configuration(
                vocabulary: 100, width: 24, heads: 2, headWidth: 8, feedForward: 40, layers: 2, buckets: 32),
            autoencoder: autoencoder)
    }()

    static func options(_ stages: SyntheticBench.Stage...) -> SyntheticBench.Options {
        var options = SyntheticBench.Options()
        options.stages = stages
        (options.request.width, options.request.height, options.request.frames) = (48, 32, 5)
        options.request.steps = 2
        options.runs = 2
        return options
    }

    @Test func aPresetIsItsSteps() throws {
        var options = Self.options(.pipeline)
        (options.request.steps, options.request.preset) = (nil, "lightning")
        options.pipelineRuns = 2
        let report = try SyntheticBench.run(Self.model, options, on: CPUBackend())
        let times = try #require(report.stages.first)
        #expect(times.steps == 4 && times.forwards == 4)
        #expect(times.all.count == 2 && times.all.contains(times.seconds) && times.seconds == times.all.max())

        options.request.steps = 20
        #expect(throws: SwanError.self) { try SyntheticBench.run(Self.model, options, on: CPUBackend()) }
        options.request.steps = nil
        var single = Self.model
        single.hasTwoExperts = false
        #expect(throws: SwanError.self) { try SyntheticBench.run(single, options, on: CPUBackend()) }
    }

    @Test func framesAreKept() throws {
        let folder = try TemporaryFolder()
        var options = Self.options(.decode)
        options.framesPath = folder.path + "/frames.safetensors"
        _ = try SyntheticBench.run(Self.model, options, on: CPUBackend())
        let file = try SafetensorsFile(path: folder.path + "/frames.safetensors")
        let frames = try file.tensor("frames")
        #expect(frames.shape == [5, 32, 48, 3] && frames.dtype == .float32)
        let values = try frames.floats()
        #expect(values.allSatisfy { $0 >= 0 && $0 <= 255 && $0 == $0.rounded() } && Set(values).count > 50)
        // Nothing is overwritten.
        #expect(throws: SwanError.self) { try SyntheticBench.run(Self.model, options, on: CPUBackend()) }
    }

    @Test func everyStageIsTimed() throws {
        var seen: [SyntheticBench.Stage] = []
        let report = try SyntheticBench.run(
            Self.model, Self.options(.forward, .decode, .text, .pipeline), on: CPUBackend()
        ) { seen.append($0.stage) }
        #expect(seen == [.forward, .decode, .text, .pipeline] && report.stages.map(\.stage) == seen)
        #expect(report.tokens == 2 * 2 * 3 && report.textTokens == 20)
        #expect([report.width, report.height, report.frames] == [48, 32, 5])
        #expect((report.startSeconds ?? 0) > 0 && report.ceilings == nil)
        for times in report.stages.dropLast() {
            #expect(times.all.count == 2 && times.seconds > 0 && times.firstSeconds > 0 && times.loadSeconds > 0)
            #expect((times.peakBytes ?? 0) > 0 && times.operations == nil)
        }
        // Two float32 blocks and what is around them; the decoder is another part.
        let weights = 4 * Self.model.transformer.parameters
        #expect((report.stages[0].peakBytes ?? 0) > weights)
        let run = report.stages[3]
        #expect(run.steps == 2 && run.forwards == 4)
        #expect(run.parts?.map(\.stage).prefix(2) == [.text, .loadHigh])
        #expect(run.parts?.map(\.stage).contains(.decode) == true)
    }

    /// A velocity is written where nothing is, and nothing is overwritten.
    @Test func aVelocityReplacesNothing() throws {
        let folder = try TemporaryFolder()
        var options = Self.options(.forward)
        options.velocityPath = folder.path + "/velocity.safetensors"
        _ = try SyntheticBench.run(Self.model, options, on: CPUBackend())
        let path = try #require(options.velocityPath)
        let written = try openWeights(at: path).tensor("velocity").floats()
        #expect(!written.isEmpty)
        let error = #expect(throws: SwanError.self) { try SyntheticBench.run(Self.model, options, on: CPUBackend()) }
        #expect(error?.code.name == "media.output-exists")
        #expect(try openWeights(at: path).tensor("velocity").floats() == written)
        #expect(folder.names == ["velocity.safetensors"])
    }

    /// A profile of a forward counts what the network's own sum of products says.
    @Test func aProfileCountsTheForward() throws {
        var options = Self.options(.forward)
        options.profilesOperations = true
        let report = try SyntheticBench.run(Self.model, options, on: CPUBackend())
        let table = try #require(report.stages[0].operations)
        let config = Self.model.transformer
        let grid = try config.grid(of: [16, 2, 4, 6])
        let timestep = Double(2 * config.width * (256 + 7 * config.width))
        let rows = table.rows.filter { row in
            row.form == nil || table.rows.count { $0.operation == row.operation } == 1
        }
        let counted = rows.reduce(0.0) { $0 + $1.operations }
        #expect(counted == config.forwardOperations(grid, textRows: config.textTokens) + timestep)
        let calls = Dictionary(uniqueKeysWithValues: rows.map { ($0.operation, $0.calls) })
        #expect(calls["attention"] == 4 && calls["rmsNormRope"] == 4 && calls["linear"] == 2 * 8 + 5)
        #expect((report.ceilings?.operationsPerSecond ?? 0) > 0 && (report.ceilings?.bytesPerSecond ?? 0) > 0)
        #expect(table.text.contains("attention") && table.text.contains("nothing"))
    }

    /// The whole of Wan2.2-A14B on a GPU that is not there: everything happens but the arithmetic.
    @Test func realSizesAreRehearsed() throws {
        let facts = DeviceFacts(
            ordinal: 0, name: "a GPU", capability: ComputeCapability(9, 0), multiprocessors: 132,
            sharedMemoryPerBlock: 227 << 10, cacheBytes: 50 << 20, memoryBytes: 80 << 30)
        var options = SyntheticBench.Options()
        options.stages = [.forward, .decode, .text, .pipeline]
        options.request.steps = 8
        options.profilesOperations = true
        options.runs = 1
        let report = try SyntheticBench.run(.named("t2v-a14b"), options, on: CUDABackend(rehearsing: facts))
        #expect(report.tokens == 32_760 && report.plan?.contains("in GPU memory") == true)

        func operations(_ stage: Int, _ kind: String) throws -> Double {
            let rows = try #require(report.stages[stage].operations).rows.filter { $0.operation == kind }
            return (rows.first { $0.form == nil } ?? rows.first)?.operations ?? 0
        }
        // 40 layers of products, 22 TFLOP of self-attention and 0.34 of attention to the text in each.
        let linear = try operations(0, "linear") / 1e12
        let attention = try operations(0, "attention") / 1e12
        #expect(abs(linear - 783) < 2 && abs(attention - 893) < 1, "\(linear), \(attention)")
        let decoded = try (operations(1, "convolution") + operations(1, "upsample")) / 1e12
        // With nine taps in place of four behind each doubling it would be 274.
        #expect(abs(decoded - 261.3) < 0.1, "\(decoded)")
        // The expert in bfloat16, and beside it less than the residual stream and the feed-forward take several times.
        let peak = try #require(report.stages[0].peakBytes)
        #expect(peak > 28_576_983_168 && peak < 34_000_000_000, "\(peak)")
        #expect(try #require(report.stages[1].peakBytes) < 10_000_000_000)
        #expect(report.stages[3].forwards == 16 && report.stages[3].parts?.contains { $0.stage == .low } == true)
    }

    @Test func whatCannotBeMadeIsRefused() throws {
        var options = Self.options(.decode)
        options.request.frames = 6
        #expect(throws: SwanError.self) { try SyntheticBench.run(Self.model, options, on: CPUBackend()) }
        options = Self.options(.decode)
        options.memoryLimit = 1 << 20
        let error = #expect(throws: SwanError.self) {
            try SyntheticBench.run(Self.model, options, on: CPUBackend())
        }
        #expect(error?.code == .notEnoughMemory)
    }

    @Test func modelsHaveTheSizesOfTheirNames() throws {
        let model = try SyntheticModel.named("wan2.2-T2V-A14B")
        let parts = model.parts(promptTokens: 512)
        for part in [parts.highNoise, parts.lowNoise] {
            let weights = try #require(part?.weights)
            let count = weights.names.reduce(0) { $0 + (weights.info($1)?.shape.count ?? 0) }
            #expect(count == 14_288_491_584 && count == model.transformer.parameters)
        }
        // Experts differ.
        let name = "blocks.7.self_attn.q.weight"
        #expect(try parts.highNoise?.weights.tensor(name).noise != parts.lowNoise.weights.tensor(name).noise)
        #expect(try SyntheticModel.named("t2v-1.3b").parts(promptTokens: 1).highNoise == nil)
        let error = #expect(throws: SwanError.self) { try SyntheticModel.named("t2v") }
        #expect(error?.code == .syntheticModelUnknown && error?.advice.contains("t2v-a14b") == true)

        let ids = try parts.tokenizer.encode("a cat", maximumLength: 512)
        #expect(ids.count == 512 && ids.allSatisfy { $0 >= 0 && $0 < 256_384 })
        #expect(try ids != parts.tokenizer.encode("a dog", maximumLength: 512))
        #expect(try parts.tokenizer.encode("a cat", maximumLength: 7).count == 7)
    }
}
