import ArgumentParser
import SwanBench
import SwanDiagnostics
import SwanHub
import SwanPipeline
import SwanRuntime
import SwanTensor

/// Amounts of memory, as `12GiB,24GiB`.
struct ByteCounts: ExpressibleByArgument {
    let all: [ByteCount]

    init?(argument: String) {
        let found = argument.split(separator: ",", omittingEmptySubsequences: false)
            .map { ByteCount(argument: String($0)) }
        guard !found.contains(where: { $0 == nil }) else { return nil }
        all = found.compactMap(\.self)
    }
}

/// `swan plan`: what a video takes, of a model and on a GPU that need not be there.
struct PlanCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Show what a video takes: work, memory, where weights are.",
        discussion: """
            Neither the model nor the GPU needs to be there: the run is rehearsed, and
            nothing is computed. Ends with status 75 when it has no room.

              swan plan --gpu-memory 24GiB
              swan plan wan2.2-t2v-a14b --size 1280x720 --gpu-memory 12GiB,24GiB,80GiB
              swan plan wan2.1-t2v-1.3b --device cpu --json
            """)

    @Argument(help: "A model of `swan models` that runs. Default: wan2.2-t2v-a14b.")
    var model = "wan2.2-t2v-a14b"
    @Option(help: "Pixels, as 832x480. Default: the model's own.")
    var size: VideoSize?
    @Option(help: "Frames, 4k + 1. Default: the model's own.")
    var frames: Int?
    @Option(help: "Solver steps. Default: the model's own.")
    var steps: Int?
    @Option(help: "Guidance scale; 1 turns it off. Twice: of the high-noise expert, then of the low-noise one.")
    var guidance: [Double] = []
    @Option(help: "A device of this machine: auto, cpu or cuda:0. Default: auto.")
    var device: String?
    @Option(
        help: ArgumentHelp(
            "Plan for a GPU with so much free memory instead, as 24GiB. Several make a table.", valueName: "size,..."))
    var gpuMemory: [ByteCounts] = []
    @Option(help: "The transformer's linear layers: auto (the device's own arithmetic), fp8 or int8.")
    var precision: PrecisionArgument?
    @Option(help: "Use no more of the device's memory, as 12GiB.")
    var memoryLimit: ByteCount?
    @Option(help: "Host memory that is free, as 64GiB. Default: what is free here.")
    var hostMemory: ByteCount?
    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    func validate() throws {
        if guidance.count > 2 {
            throw ValidationError("--guidance was given \(guidance.count) times, expected once for each expert.")
        }
        if device != nil, !gpuMemory.isEmpty {
            throw ValidationError("--device and --gpu-memory exclude each other: each says where it is to run.")
        }
    }

    func run() throws {
        // The catalogue knows more names of a model than those that sizes are listed under.
        let name = (try? Catalogue.standard.model(named: model))?.name ?? model
        let model = try SyntheticModel.named(name)
        var request = GenerationRequest()
        (request.width, request.height, request.frames) = (size?.width, size?.height, frames)
        request.steps = steps
        request.precision = precision?.precision
        request.guidanceLow = guidance.last
        if model.hasTwoExperts || guidance.count > 1 { request.guidanceHigh = guidance.first }
        let memories = gpuMemory.flatMap(\.all).map(\.bytes)
        let devices: [any Backend] =
            memories.isEmpty ? [try Runtime.open(device ?? "auto")] : memories.map(Runtime.rehearsal(memoryBytes:))
        let plan = try ModelPlan(
            model, request, on: devices, memoryLimit: memoryLimit?.bytes,
            hostBytes: hostMemory?.bytes ?? SystemMemory.available)
        if plan.places.count == 1, let refusal = plan.places[0].refusal { throw refusal }
        Output.standardOutput(json ? try encoded(plan) + "\n" : plan.text + "\n")
        if !plan.fitsSomewhere { throw ExitCode(SwanError.Kind.resources.rawValue) }
    }
}
