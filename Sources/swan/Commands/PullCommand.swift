import ArgumentParser
import FoundationEssentials
import SwanDiagnostics
import SwanHub
import SwanPipeline

/// `swan pull`: fetches a model.
struct PullCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "pull",
        abstract: "Fetch a model from a hub, or go on fetching it.",
        discussion: """
            Fetches what a run needs into the cache of the Hugging Face tools, verifies it,
            and prints the model's folder. After any interruption the same command goes on.

              swan pull wan2.2-t2v-a14b
              swan pull wan2.2-t2v-a14b --variant gguf-q8_0 --from modelscope
              swan pull hf:owner/name@v1.0 --include '*.safetensors' --dry-run
            """)

    @Argument(help: "A model of `swan models`, or a repository: owner/name, hf:owner/name, ms:owner/name@revision.")
    var name: String
    @Option(help: "A form of the model; `swan models NAME` lists them. Default: the publisher's own.")
    var variant: String?
    @Option(
        help: ArgumentHelp(
            "huggingface, modelscope, or the address of a mirror. Default: both, one after the other.",
            valueName: "hub"))
    var from: String?
    @Option(help: "A branch, a tag or a commit. Default: the hub's own branch.")
    var revision: String?
    @Option(help: ArgumentHelp("Of a repository only the files that match, as '*.gguf'.", valueName: "pattern"))
    var include: [String] = []
    @Option(help: "Connections at the same time, 1 to 32.")
    var connections = 8
    @Flag(help: "Use no network: only say whether everything is here.")
    var offline = false
    @Flag(help: "Hash the files that are here again, and fetch those that are wrong; with --offline only say so.")
    var verify = false
    @Flag(help: "List what would be fetched, and stop.")
    var dryRun = false
    @Flag(help: "Print one JSON object for each event instead of text.")
    var json = false

    func validate() throws {
        if let from, PullRequest.Source(from) == nil {
            throw ValidationError(
                "--from is '\(from.printable())', expected huggingface, modelscope, or an https address.")
        }
        if !(1 ... 32).contains(connections) {
            throw ValidationError("--connections is \(connections), expected 1 to 32.")
        }
    }

    func run() throws {
        let variables = ProcessInfo.processInfo.environment
        var settings = try HubSettings(environment: variables)
        settings.isOffline = settings.isOffline || offline
        var request = try PullRequest(
            name, variant: variant, from: from.flatMap(PullRequest.Source.init), revision: revision, include: include,
            settings)
        (request.verifies, request.connections) = (verify, connections)
        Interrupts.install()
        let printer = PullPrinter(isJSON: json)
        let pull = try Pull(request, settings, userAgent: "swan/\(swanVersion)") { printer.event($0) }
        do {
            if dryRun {
                let plan = try waiting { try await pull.plan { Interrupts.cancellation.isCancelled } }
                printer.end(plan)
            } else {
                let report = try waiting { try await pull.run { Interrupts.cancellation.isCancelled } }
                printer.end(report)
            }
        } catch {
            printer.abandon()
            throw error
        }
    }
}
