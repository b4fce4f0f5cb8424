import ArgumentParser
import FoundationEssentials
import SwanDiagnostics
import SwanDoctor

/// `swan doctor`: what this machine has and lacks.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Show what this machine has and lacks to make videos.",
        discussion: """
            Processor, memory, disk, libraries, programs, GPUs. Ends with status 69 when videos cannot be made.

              swan doctor
              swan doctor --json | jq '.findings[] | select(.level != "good")'
            """)

    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    func run() throws {
        let report = Doctor.examine(variables: ProcessInfo.processInfo.environment, folder: ".")
        Output.standardOutput(json ? try encoded(report) + "\n" : report.table())
        if !report.isHealthy { throw ExitCode(SwanError.Kind.unavailable.rawValue) }
    }
}
