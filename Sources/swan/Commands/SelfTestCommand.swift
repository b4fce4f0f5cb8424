import ArgumentParser
import SwanDiagnostics
import SwanRuntime
import SwanSelfTest
import SwanTensor

/// `swan selftest`: whether a device computes what it should.
struct SelfTestCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "selftest",
        abstract: "Check every operation of a device against the plain reference.",
        discussion: """
            Random data and values that break careless code, in shapes of real models. Ends with status 70 when a
            result is wrong.

              swan selftest
              swan selftest --device cpu --json
            """)

    @Option(help: "The device: cpu or reference.")
    var device = "cpu"
    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    func run() throws {
        let backend = try Runtime.open(device)
        if !json {
            Output.standardOutput("\(backend.name): \(backend.summary)\n\n\(SelfTestReport.head)\n")
        }
        let report = try SelfTest.run(backend) { line in
            if !json { Output.standardOutput(SelfTestReport.text(line) + "\n") }
        }
        Output.standardOutput(json ? try encoded(report) + "\n" : "\n\(report.verdict)\n")
        if !report.hasPassed { throw ExitCode(SwanError.Kind.fault.rawValue) }
    }
}
