import ArgumentParser
import FoundationEssentials
import SwanCheckpoint
import SwanDiagnostics
import SwanMedia
import SwanPipeline
import SwanRuntime
import SwanTensor

/// Whether what `swan tune` has measured is used.
enum ProfileArgument: String, ExpressibleByArgument, CaseIterable { case auto, none }

/// `swan generate`: from a sentence to a video file.
struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate",
        abstract: "Make a video from a sentence.",
        discussion: """
            swan generate "A cat walking on the grass"
            swan generate "A rocket flying up in space" --seed 7 --output rocket.mp4
            swan generate --prompts prompts.txt --count 2 --output clips/%04d.mp4
            swan generate "A cat walking on the grass" --detach

            Exit status: 0 done, 64 bad usage, 65 damaged data, 66 something named
            is not there, 69 something needed is unavailable, 74 input or output
            failed, 75 not enough memory or disk, 130 interrupted.
            """)

    @Argument(help: "What the video shows.")
    var prompt: String?

    @OptionGroup(title: "Model and sampling")
    var model: ModelOptions

    @OptionGroup(title: "Device")
    var device: DeviceOptions

    @Option(help: "The noise's seed. Default: random, always printed.")
    var seed: UInt64?
    @Option(
        name: .shortAndLong,
        help: "The file: .mp4, .webm, .gif, .y4m, or frames/%04d.png. Default: a name from prompt and seed.")
    var output: String?
    @Option(help: "A file with one prompt per line: all are made with one load of the weights.")
    var prompts: String?
    @Option(help: "Videos per prompt, with consecutive seeds.")
    var count = 1
    @Option(help: "A safetensors file with the tensor 'noise' to begin with.")
    var noise: String?
    @Option(help: "Write the final latents to a safetensors file.")
    var saveLatents: String?
    @Option(help: "A safetensors file with the tensor 'latents': decode these and nothing else.")
    var latents: String?
    @Option(name: .customLong("from"), help: "Take settings and prompt from a video that Swan made.")
    var source: String?
    @Option(
        help: "auto uses what `swan tune` has measured for this model, device and size, where it has; none does not.")
    var profile = ProfileArgument.auto
    @Flag(help: "Print the plan and stop.")
    var dryRun = false
    @Flag(help: "Queue the run as a job that outlives this terminal, print its number and return.")
    var detach = false
    @Flag(help: "Print one JSON object per event on standard output.")
    var json = false

    func run() throws {
        Interrupts.install()
        try GenerateRun(self).run()
    }

    func validate() throws {
        guard count >= 1, count <= 10_000 else { throw ValidationError("--count is \(count), expected 1 to 10000.") }
        let sources = [prompt != nil, prompts != nil, latents != nil && prompt == nil, source != nil && prompt == nil]
        guard sources.contains(true) else {
            throw ValidationError("Say what the video shows: swan generate \"A cat walking on the grass\"")
        }
        if prompt != nil, prompts != nil { throw ValidationError("A prompt and --prompts were both given; give one.") }
        if let prompt, prompt.allSatisfy(\.isWhitespace) {
            throw ValidationError("The prompt is empty: say what the video shows.")
        }
        if [noise, latents].compactMap({ $0 }).count + (seed == nil ? 0 : 1) > 1 {
            throw ValidationError("--seed, --noise and --latents exclude each other: each says where the video begins.")
        }
        if detach, dryRun { throw ValidationError("--detach and --dry-run exclude each other.") }
        if latents != nil, saveLatents != nil {
            throw ValidationError("--latents only decodes, so that --save-latents would copy the file; leave one out.")
        }
        if noise != nil || latents != nil || saveLatents != nil, count > 1 || prompts != nil {
            throw ValidationError(
                "--noise, --latents and --save-latents serve one video; leave --prompts and --count out.")
        }
    }
}
