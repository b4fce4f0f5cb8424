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
            GenerateCommand.self, JobsCommand.self, AttachCommand.self, LogsCommand.self, CancelCommand.self,
            ReportCommand.self, PlanCommand.self, InspectCommand.self, ConvertCommand.self, ModelsCommand.self,
            PullCommand.self, BenchCommand.self, TuneCommand.self, SelfTestCommand.self, DoctorCommand.self,
        ])

    /// Parses, runs, and turns errors into a message on standard error and an exit status; with `--json`,
    /// also into an event on standard output.
    static func main() {
        Output.fillClosedStreams()
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let error as SwanError {
            fail(error)
        } catch let status as ExitCode {
            Glibc.exit(status.rawValue)  // everything has been said
        } catch {
            fail(parsing: error)
        }
    }

    /// Prints an error and ends the process with its exit status.
    static func fail(_ error: SwanError) -> Never {
        Output.standardError("error: \(error)\n")
        if wantsJSON { JSONProgress.error(error) }
        Glibc.exit(error.code.kind.rawValue)
    }

    /// The same for a call that could not be parsed; help and version are no errors.
    private static func fail(parsing error: any Error) -> Never {
        let status = exitCode(for: error)
        guard status != .success else { exit(withError: error) }
        let text = fullMessage(for: error)
        let prefix = "Error: "
        Output.standardError("error: \(text.hasPrefix(prefix) ? String(text.dropFirst(prefix.count)) : text)\n")
        if wantsJSON {
            JSONProgress.error(
                SwanError(.badCall, message(for: error), advice: "`swan help` lists commands and options."))
        }
        Glibc.exit(status.rawValue)
    }

    /// Whether the caller reads JSON, known even where the call cannot be parsed.
    private static var wantsJSON: Bool { CommandLine.arguments.prefix { $0 != "--" }.contains("--json") }
}

extension SwanError.Code {
    /// The call has an unknown option, or a value of the wrong kind, or lacks something.
    static let badCall = Self("cli.bad-call", .usage)
}

/// The version of the program.
let swanVersion = "0.1.0"
