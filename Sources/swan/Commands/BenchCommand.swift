import ArgumentParser
import FoundationEssentials
import SwanBench
import SwanDiagnostics
import SwanHub
import SwanPipeline
import SwanRuntime

/// Stages of a bench, as `forward,decode`.
struct BenchStages: ExpressibleByArgument {
    let stages: [SyntheticBench.Stage]

    init?(argument: String) {
        let found = argument.split(separator: ",").map { SyntheticBench.Stage(rawValue: String($0)) }
        guard !found.isEmpty, !found.contains(nil), Set(found).count == found.count else { return nil }
        stages = found.compactMap(\.self)
    }
}

/// `swan bench`: what the engine's parts cost on this machine.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Time the engine's parts on this machine.",
        discussion: """
            Random data; the median of several runs behind one that warms up. With --synthetic, the stages of a model
            of real sizes with random weights, which takes no files.

              swan bench cpu
              swan bench cpu --json --runs 9
              swan bench cuda:0 --synthetic t2v-a14b --profile-operations
              swan bench cuda:0 --synthetic t2v-a14b --stages forward --precision fp8
              swan bench cpu --synthetic t2v-1.3b --size 256x256 --frames 5 --stages decode

            With --formats, what the formats of `swan convert` cost in quality: the same videos from a model's
            weights in each, against those from its own.

              swan bench cpu --formats --model swan-tiny

            With --loras, whether LoRAs of every family do the same.

              swan bench cpu --loras --model swan-tiny

            With --ladder, what makes a video faster here: 8-bit weights, 8-bit arithmetic, attention kernels, step cache,
            guidance interval, Lightning. Each stands on what has won before it, runs in turns with it, and is kept or
            rejected with the reason.

              swan bench cpu --ladder --output ladder
              swan bench cuda:0 --ladder --synthetic t2v-a14b --runs 1

            With --scores, how many videos show what was asked for, as a classifier sees them that the model brings; with
            --ladder, in each way.

              swan bench cpu --scores 200 --model swan-tiny
              swan bench cpu --ladder --preset lightning --scores 50
            """)

    @Argument(help: "The device: cpu, cuda:0 or reference.")
    var device = "cpu"
    @Option(help: "The model whose autoencoder is timed, or whose formats are compared. Default: swan-tiny.")
    var model: String?
    @Flag(help: "Compare the videos of a model in every format that Swan writes.")
    var formats = false
    @Flag(help: "Compare the videos of a model's own few-step pair, written as each family of LoRAs writes it.")
    var loras = false
    @Flag(help: "Measure what makes a video faster, one way after the other.")
    var ladder = false
    @Option(
        help: ArgumentHelp(
            "What a ladder tries, in this order: of weights, arithmetic, attention, cache, guidance and lightning. Default: all.",
            valueName: "step,..."))
    var rungs: LadderSteps?
    @Option(help: "A ladder begins nothing new that would end after this time, as 90s, 10min or 1h. Default: no end.")
    var budget: TimeArgument?
    @Option(
        name: .customLong("least-ssim"),
        help: "The least structural similarity to the baseline's videos. Default: 0.95."
    )
    var leastSSIM: Double?
    @Option(help: "Score the videos of the first prompts that the model brings, as many as this.")
    var scores: Int?
    @Option(
        help: ArgumentHelp(
            "The points, of 100, that a way may lose in a score. Default: 1, or one clip where that is more.",
            valueName: "points"))
    var mostLost: Double?
    @Option(name: .shortAndLong, help: "A new folder for a ladder's page, table, numbers and videos.")
    var output: String?
    @Option(help: "What the compared videos show; may be repeated. Default: three sentences, or one of a ladder.")
    var prompt: [String] = []
    @Option(help: "The seed of the compared videos. Default: 0.")
    var seed: UInt64?
    @Option(
        help:
            "The preset of the compared videos, or of a synthetic pipeline, or none. Default: the model's own, or none."
    )
    var preset: String?
    @Option(help: "Random weights of this model's sizes: t2v-a14b, t2v-14b, t2v-1.3b or swan-tiny.")
    var synthetic: String?
    @Option(
        help: ArgumentHelp(
            "What is timed, in this order: of forward, decode, text and pipeline. Default: forward,decode,text.",
            valueName: "stage,..."))
    var stages: BenchStages?
    @Option(help: "Pixels, as 832x480. Default: the model's own.")
    var size: VideoSize?
    @Option(help: "Frames, 4k + 1. Default: the model's own.")
    var frames: Int?
    @Option(help: "Solver steps of the pipeline (default: 8), or of the compared videos.")
    var steps: Int?
    @Option(help: "Bytes of the device's memory that may be used, as 12GiB.")
    var memoryLimit: ByteCount?
    @Option(help: "Where the transformer's weights are on a GPU: auto, resident, pinned or file.")
    var weights: WeightsArgument?
    @Option(help: "The transformer's linear layers: auto (the device's own arithmetic), fp8 or int8.")
    var precision: PrecisionArgument?
    @Flag(help: "Make some channels much larger than others, as those of trained models are.")
    var outliers = false
    @Option(help: "Write the forward's result, the tensor 'velocity', to a safetensors file.")
    var saveVelocity: String?
    @Option(help: "Write the decode's result, the tensor 'frames', to a safetensors file.")
    var saveFrames: String?
    @Flag(help: "Run each stage once more with every operation timed.")
    var profileOperations = false
    @Option(help: "Timed runs of each part. Default: 5, or 3 with --synthetic, whose pipeline otherwise runs once.")
    var runs: Int?
    @Option(
        help:
            "What computes attention: auto, int8, or on a GPU flash-sm90, cudnn, flash-sm80, plain, int8-sm90 or int8-sm80."
    )
    var attention = "auto"
    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    func validate() throws {
        if let runs, !(1 ... 1000).contains(runs) {
            throw ValidationError("--runs is \(runs), expected 1 to 1000.")
        }
        if let leastSSIM, !(0 ... 1).contains(leastSSIM) {
            throw ValidationError("--least-ssim is \(leastSSIM), expected 0 to 1.")
        }
        if let scores, scores < 1 {
            throw ValidationError("--scores is \(scores), expected 1 or more.")
        }
        if let mostLost, !(0 ... 100).contains(mostLost) {
            throw ValidationError("--most-lost is \(mostLost), expected 0 to 100.")
        }
        if scores != nil, synthetic != nil { throw ValidationError("--scores and --synthetic exclude each other.") }
        guard !ladder else { return try validateLadder() }
        if loras {
            let given = [("--formats", formats), ("--scores", scores != nil), ("--synthetic", synthetic != nil)]
            if let (option, _) = given.first(where: \.1) {
                throw ValidationError("--loras and \(option) exclude each other.")
            }
        }
        for (option, isGiven) in [
            ("--rungs", rungs != nil), ("--budget", budget != nil), ("--least-ssim", leastSSIM != nil),
            ("--output", output != nil), ("--most-lost", mostLost != nil),
        ] where isGiven { throw ValidationError("\(option) needs --ladder.") }
        guard scores == nil else { return try validateScores() }
        if !formats, !loras {
            for (option, isGiven) in [
                ("--prompt", !prompt.isEmpty), ("--seed", seed != nil),
                ("--preset", preset != nil && synthetic == nil),
            ]
            where isGiven {
                throw ValidationError("\(option) needs --formats or --loras.")
            }
        } else {
            let way = formats ? "--formats" : "--loras"
            if synthetic != nil { throw ValidationError("\(way) and --synthetic exclude each other.") }
            if runs != nil { throw ValidationError("\(way) and --runs exclude each other.") }
            let given = [
                ("--stages", stages != nil), ("--memory-limit", memoryLimit != nil), ("--weights", weights != nil),
                ("--profile-operations", profileOperations), ("--precision", precision != nil),
                ("--outliers", outliers), ("--save-velocity", saveVelocity != nil),
                ("--save-frames", saveFrames != nil),
            ]
            if let (option, _) = given.first(where: \.1) { throw ValidationError("\(option) needs --synthetic.") }
            return
        }
        guard synthetic == nil else {
            if model != nil { throw ValidationError("--model and --synthetic exclude each other.") }
            return
        }
        let given = [
            ("--stages", stages != nil), ("--size", size != nil), ("--frames", frames != nil),
            ("--steps", steps != nil), ("--memory-limit", memoryLimit != nil),
            ("--weights", weights != nil), ("--precision", precision != nil), ("--outliers", outliers),
            ("--save-velocity", saveVelocity != nil), ("--save-frames", saveFrames != nil),
            ("--profile-operations", profileOperations),
        ]
        if let (option, _) = given.first(where: \.1) { throw ValidationError("\(option) needs --synthetic.") }
    }

    func run() throws {
        if ladder { return try runLadder() }
        if let synthetic { return try runSynthetic(.named(synthetic)) }
        let files = try ModelFiles(in: NamedModel(model, .here).path)
        if formats { return try compareFormats(of: files) }
        if loras { return try compareLoRAs(of: files) }
        if let scores { return try score(files, SceneTest(in: files.root, count: scores)) }
        let bench = try KernelBench(files, runs: runs ?? 5, on: DeviceOptions.open(device, attention: attention))
        guard !json else {
            Output.standardOutput(try encoded(bench) + "\n")
            return
        }
        Output.standardOutput(
            """
            block          1560x1536, text 512 rows     \(formatted(seconds: bench.blockSeconds))
            block          1560x1536, prompt prepared   \(formatted(seconds: bench.blockPromptReadySeconds))
            decode         \(bench.vaeExtents.map(String.init).joined(separator: "x"))                    \(formatted(seconds: bench.vaeSeconds))
            median of \(bench.runs) on \(bench.device)

            """)
    }

    /// Sentences that swan-tiny understands.
    private static let prompts = [
        "A cat walking on the grass", "A red circle moving to the right on the beach",
        "In the snow, a penguin is walking to the left",
    ]

    /// What is asked of a model whose videos are compared.
    private var comparedRequest: GenerationRequest {
        var request = GenerationRequest()
        (request.width, request.height, request.frames) = (size?.width, size?.height, frames)
        (request.steps, request.preset) = (steps, preset)
        return request
    }

    /// A folder that does not exist, for files that are thrown away.
    private static func temporaryFolder(_ name: String) -> String {
        FileManager.default.temporaryDirectory.path + "/swan-\(name)-\(UInt64.random(in: 0 ... .max))"
    }

    /// Prints rows as they come, the columns' names first; nothing with `--json`.
    private func table<Row>(_ head: String, _ text: @escaping (Row) -> String) -> (Row) -> Void {
        var isBegun = false
        return { row in
            guard !json else { return }
            Output.standardOutput((isBegun ? "" : head + "\n") + text(row) + "\n")
            isBegun = true
        }
    }

    private func compareLoRAs(of files: ModelFiles) throws {
        Interrupts.install()
        var request = comparedRequest
        request.preset = preset ?? Preset.lightning.name
        let backend = try DeviceOptions.open(device, attention: attention)
        let bench = try LoRABench(
            files, request, prompts: prompt.isEmpty ? Self.prompts : prompt, seed: seed ?? 0,
            folder: Self.temporaryFolder("loras"), on: backend, cancellation: Interrupts.cancellation,
            report: table(LoRABench.Row.head, \.text))
        Output.standardOutput(
            json
                ? try encoded(bench) + "\n"
                : "\(bench.settings.summary), seed \(bench.seed), \(bench.prompts.count) prompts, on \(bench.device)\n")
    }

    private func compareFormats(of files: ModelFiles) throws {
        Interrupts.install()
        let request = comparedRequest
        let backend = try DeviceOptions.open(device, attention: attention)
        let folder = Self.temporaryFolder("formats")
        let bench = try FormatBench(
            files, request, prompts: prompt.isEmpty ? Self.prompts : prompt, seed: seed ?? 0, folder: folder,
            on: backend, cancellation: Interrupts.cancellation, report: table(FormatBench.Row.head, \.text))
        Output.standardOutput(
            json
                ? try encoded(bench) + "\n"
                : "\(bench.settings.summary), seed \(bench.seed), \(bench.prompts.count) prompts, on \(bench.device)\n")
    }

    private func runSynthetic(_ model: SyntheticModel) throws {
        var options = SyntheticBench.Options()
        if let stages { options.stages = stages.stages }
        (options.request.width, options.request.height, options.request.frames) = (size?.width, size?.height, frames)
        options.request.preset = preset ?? "none"
        options.request.steps = steps ?? (preset ?? "none" == "none" ? 8 : nil)
        options.request.precision = precision?.precision
        (options.hasOutliers, options.velocityPath, options.framesPath) = (outliers, saveVelocity, saveFrames)
        guard saveVelocity == nil || options.stages.contains(.forward) else {
            throw ValidationError("--save-velocity needs the stage forward.")
        }
        for (name, isGiven) in [("--preset", preset != nil), ("--steps", steps != nil)]
        where isGiven && !options.stages.contains(.pipeline) {
            throw ValidationError("\(name) needs the stage pipeline.")
        }
        guard saveFrames == nil || options.stages.contains(.decode) else {
            throw ValidationError("--save-frames needs the stage decode.")
        }
        if let runs { (options.runs, options.pipelineRuns) = (runs, runs) }
        options.profilesOperations = profileOperations
        options.memoryLimit = memoryLimit?.bytes
        if let weights { options.weights = weights.place }
        let backend = try DeviceOptions.open(device, attention: attention)
        try DeviceOptions.check(options.weights, on: backend)
        let report = try SyntheticBench.run(
            model, options, on: backend, progress: table(SyntheticReport.StageTimes.head, \.text))
        Output.standardOutput(json ? try encoded(report) + "\n" : "\(report.title)\n\(report.footer)\n")
    }
}
