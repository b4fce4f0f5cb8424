import ArgumentParser
import Glibc
import SwanDiagnostics

/// The command line program.
@main
struct Swan: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "swan",
        abstract: "Text to video with Wan2.2, in one native program.",
        discussion: """
            swan generate "A cat walking on the grass"
            swan inspect wan2.2-t2v-a14b/high_noise_model
            """,
        version: swanVersion,
        subcommands: [
            GenerateCommand.self, InspectCommand.self, ModelsCommand.self, BenchCommand.self, SelfTestCommand.self,
            DoctorCommand.self,
        ])

    /// Parses, runs, and turns errors into a message on standard error and an exit status.
    static func main() {
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as SwanError {
            fail(error)
        } catch {
            exit(withError: error)
        }
    }

    /// Prints an error and ends the process with its exit status.
    static func fail(_ error: SwanError) -> Never {
        Output.standardError("error: \(error)\n")
        Glibc.exit(error.code.kind.rawValue)
    }
}

/// The version of the program.
let swanVersion = "0.1.0"
