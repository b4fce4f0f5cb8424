import ArgumentParser
import SwanDiagnostics
import SwanPipeline
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
              swan selftest --device cuda:0
              swan selftest --device cuda:0 --as sm_80    # an A100's kernels, on a later GPU
            """)

    @Option(help: "The device: cpu, cuda:0 or reference.")
    var device = "cpu"
    @Option(
        name: .customLong("as"),
        help: "Use only what a GPU of this generation has: sm_80, sm_86 or sm_89. Implies --own-kernels.")
    var imitated: String?
    @Flag(help: "Leave cuBLASLt and cuDNN aside.")
    var ownKernels = false
    @Option(
        help:
            "What computes attention on a GPU: auto, int8, flash-sm90, cudnn, flash-sm80, plain, int8-sm90 or int8-sm80."
    )
    var attention = "auto"
    @Option(help: "Test what is computed in fp8 or int8, and nothing else; auto for everything.")
    var precision: PrecisionArgument?
    @Option(help: "Test this operation alone; repeatable.")
    var only: [String] = []
    @Flag(help: "Print one JSON object instead of a table.")
    var json = false

    func validate() throws {
        guard device.hasPrefix("cuda") || !ownKernels && imitated == nil && attention == "auto" else {
            throw ValidationError("--as, --own-kernels and --attention are for GPUs; the device is '\(device)'.")
        }
    }

    func run() throws {
        var runtime = Runtime()
        runtime.usesLibraries = !ownKernels && imitated == nil
        runtime.imitatedArchitecture = imitated
        if attention != "auto" { runtime.attention = attention }
        let backend = try runtime.open(device)
        if !json {
            Output.standardOutput("\(backend.name): \(backend.summary)\n\n\(SelfTestReport.head)\n")
        }
        let report = try SelfTest.run(backend, operations: Set(only), only: precision?.precision.format) { line in
            if !json { Output.standardOutput(SelfTestReport.text(line) + "\n") }
        }
        guard !report.lines.isEmpty else {
            throw ValidationError("No operation is named \(only.map { $0.printable() }.joined(separator: " or ")).")
        }
        Output.standardOutput(json ? try encoded(report) + "\n" : "\n\(report.verdict)\n")
        if !report.hasPassed { throw ExitCode(SwanError.Kind.fault.rawValue) }
    }
}
