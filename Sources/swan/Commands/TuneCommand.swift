import ArgumentParser
import FoundationEssentials
import SwanBench
import SwanDiagnostics
import SwanHub
import SwanPipeline
import SwanRuntime
import SwanTensor

/// `swan tune`: what is fastest here, remembered for `swan generate`.
struct TuneCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tune",
        abstract: "Measure what is fastest for a model on this device, and have `generate` use it.",
        discussion: """
            Arithmetic, attention kernel, step cache and guidance are tried one after the other, each in turns with
            the best before, and kept where they win and the picture stays. `swan generate` then uses the result for
            the same model, device and settings, and says so; --profile none is without it.

              swan tune
              swan tune --model wan2.2-t2v-a14b --size 832x480 --budget 30min
              swan tune --preset none --json
            """)

    @Option(help: "A model of `swan models`, or a folder. Default: swan-tiny.")
    var model: String?
    @Option(help: "A folder with the parts that the model's folder lacks.")
    var base: String?
    @Option(help: "Pixels, as 832x480. Default: the model's own.")
    var size: VideoSize?
    @Option(help: "Frames, 4k + 1. Default: the model's own.")
    var frames: Int?
    @Option(help: "Solver steps. Default: the preset's, or the model's own.")
    var steps: Int?
    @Option(help: "The preset, or none. Default: the model's own.")
    var preset: String?
    @Option(help: "What the videos show; may be repeated. Default: a cat walking on the grass.")
    var prompt: [String] = []
    @Option(help: "The noise's seed. Default: 0.")
    var seed: UInt64 = 0
    @Option(help: "auto, cpu, cuda:0 or reference.")
    var device = "auto"
    @Option(help: "Bytes of the device's memory that may be used, as 12GiB.")
    var memoryLimit: ByteCount?
    @Option(help: "Nothing new is tried that would end after this time, as 90s, 10min or 1h. Default: 10min.")
    var budget: TimeArgument?
    @Option(help: "Timed runs of each way. Default: 3.")
    var runs = 3
    @Option(
        name: .customLong("least-ssim"),
        help: "The least structural similarity to the plain way's videos, 0 to 1. Default: 0.95.")
    var leastSSIM = 0.95
    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    func validate() throws {
        guard (1 ... 100).contains(runs) else { throw ValidationError("--runs is \(runs), expected 1 to 100.") }
        guard (0 ... 1).contains(leastSSIM) else {
            throw ValidationError("--least-ssim is \(leastSSIM), expected 0 to 1.")
        }
    }

    func run() throws {
        Interrupts.install()
        let named = try NamedModel(model, .here)
        let files = try ModelFiles(in: named.path, completedFrom: base)
        var request = GenerationRequest()
        (request.width, request.height, request.frames) = (size?.width, size?.height, frames)
        (request.steps, request.preset) = (steps, preset)
        guard let dataFolder = HubSettings.dataFolder(ProcessInfo.processInfo.environment) else {
            throw SwanError(
                .profileUnwritable, "There is no folder for the profile: HOME is not set.",
                advice: "Set HOME or XDG_DATA_HOME.")
        }
        let place = LadderDevice(name: device, attention: "auto")
        var options = LadderBench.Options()
        options.steps = [.arithmetic, .attention, .cache, .guidance]
        (options.runs, options.seed, options.leastSSIM) = (runs, seed, leastSSIM)
        options.budget = budget?.seconds ?? 600
        options.memoryLimit = memoryLimit?.bytes
        if !prompt.isEmpty { options.prompts = prompt }
        let key: TuningProfile.Key
        do {
            let backend = try place.open(nil)
            options.attentionKernels = place.otherKernels(than: backend)
            let settings = try Generator(files, request, []).settings
            key = TuningProfile.Key(
                settings, ModelSource(model: named.source, base: base.map(NamedModel.absolute)), on: backend)
        }
        let printer = LadderPrinter(json: json)
        let ladder = try LadderBench.run(
            LadderModel(files, folder: LadderDevice.temporaryFolder, cancellation: Interrupts.cancellation), request,
            options, swan: swanVersion, cancellation: Interrupts.cancellation,
            report: { rung, _ in printer.print(rung) },
            open: place.open)
        let best = ladder.best
        let method = best?.method ?? Ladder.Method()
        let profile = TuningProfile(
            key, swan: swanVersion, measured: ladder.measured, precision: method.precision,
            attention: method.attention, cacheThreshold: method.cacheThreshold,
            guidanceInterval: method.guidanceInterval, speedUp: best?.result?.speedUp ?? 1,
            ssim: best?.result?.quality?.ssim)
        // What was not measured is no reason to forget what was.
        let path = ladder.hasVerdicts ? try TuningProfiles(dataFolder: dataFolder).save(profile) : nil
        if json {
            struct Answer: Encodable {
                let ladder: Ladder
                let profile: TuningProfile
                let path: String?
            }
            Output.standardOutput(try encoded(Answer(ladder: ladder, profile: profile, path: path)) + "\n")
        } else {
            let end =
                path.map { "Written to \($0.printable())." } ?? "No profile is written: give it a longer --budget."
            Output.standardOutput("\(ladder.footer)\n\(ladder.conclusion)\n\(end)\n")
        }
    }
}
