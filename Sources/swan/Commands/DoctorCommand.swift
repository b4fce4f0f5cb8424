import ArgumentParser
import FoundationEssentials
import SwanDiagnostics
import SwanDoctor
import SwanPipeline

/// `swan doctor`: what this machine has and lacks.
struct DoctorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Show what this machine has and lacks to make videos, and fetch libraries.",
        discussion: """
            Processor, memory, disk, libraries, programs, GPUs. Ends with status 69 when
            videos cannot be made.

              swan doctor
              swan doctor --fix
              swan doctor --json | jq '.findings[] | select(.level != "good")'
            """)

    @Flag(help: "Fetch NVRTC, cuBLASLt and cuDNN where they are missing, from the Python registry into Swan's folder.")
    var fix = false
    @Option(
        help: ArgumentHelp(
            "With --fix: for a driver of this CUDA version, as 13.0, where none is here.", valueName: "version"))
    var cuda: String?
    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    func validate() throws {
        if cuda != nil, !fix { throw ValidationError("--cuda was given without --fix.") }
    }

    func run() throws {
        let variables = ProcessInfo.processInfo.environment
        if fix { try fetchLibraries(variables) }
        let report = Doctor.examine(variables: variables, folder: ".")
        Output.standardOutput(json ? try encoded(report) + "\n" : report.table())
        if !report.isHealthy { throw ExitCode(SwanError.Kind.unavailable.rawValue) }
    }

    private func fetchLibraries(_ variables: [String: String]) throws {
        Interrupts.install()
        let isTerminal = Output.terminalWidth != nil
        let cuda = cuda
        let result = try waiting {
            try await Doctor.fix(
                variables: variables, cuda: cuda, userAgent: "swan/\(swanVersion)",
                isCancelled: { Interrupts.cancellation.isCancelled },
                report: { text, isFinal in
                    if isTerminal {
                        Output.standardError("\r\u{1B}[K\(text)\(isFinal ? "\n" : "")")
                    } else if isFinal {
                        Output.standardError(text + "\n")
                    }
                })
        }
        if isTerminal { Output.standardError("\r\u{1B}[K") }
        Output.standardError(
            result.files.isEmpty ? "No library is missing.\n" : "\(result.files.count) files are in \(result.folder).\n"
        )
    }
}
