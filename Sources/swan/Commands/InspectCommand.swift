import ArgumentParser
import SwanDiagnostics
import SwanPipeline

/// `swan inspect`: what a checkpoint holds, without loading it.
struct InspectCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract: "Show what a checkpoint holds.",
        discussion: """
            Reads headers only, so it needs no device and little memory. A folder with a whole model
            shows its layout and parts, and what is missing.

              swan inspect wan2.2-t2v-a14b/high_noise_model
              swan inspect model.safetensors --tensors
              swan inspect model.safetensors --json
            """)

    @Argument(help: "A file, a folder of shards, or a folder with a model.", completion: .file())
    var checkpoint: String
    @Flag(help: "List every tensor.")
    var tensors = false
    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    func run() throws {
        let inspection = try Inspection(of: checkpoint)
        Output.standardOutput((json ? try encoded(inspection) : inspection.table(listingTensors: tensors)) + "\n")
        // A script learns from the status that something is wrong with what was found.
        guard let error = inspection.problem?.error else { return }
        guard json else { throw error }
        // The object has told it.
        Output.standardError("error: \(error)\n")
        throw ExitCode(error.code.kind.rawValue)
    }
}
