import ArgumentParser
import FoundationEssentials
import SwanBench
import SwanDiagnostics
import SwanHub
import SwanPipeline
import SwanRuntime

/// `swan bench`: what the engine's parts cost on this machine.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Time the engine's parts on this machine.",
        discussion: """
            Random data; the median of several runs behind one that warms up.

              swan bench cpu
              swan bench cpu --json --runs 9
            """)

    @Argument(help: "The device: cpu or reference.")
    var device = "cpu"
    @Option(help: "The model whose autoencoder is timed. Default: swan-tiny.")
    var model: String?
    @Option(help: "Timed runs of each part.")
    var runs = 5
    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    func validate() throws {
        guard (1 ... 1000).contains(runs) else { throw ValidationError("--runs is \(runs), expected 1 to 1000.") }
    }

    func run() throws {
        let files = try ModelFiles(in: NamedModel(model, .here).path)
        let bench = try KernelBench(files, runs: runs, on: Runtime.open(device))
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
}
