import ArgumentParser
import FoundationEssentials
import SwanDiagnostics
import SwanDoctor
import SwanJobs
import SwanPipeline

/// `swan report`: what this machine did.
struct ReportCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Report what this machine did: runs, stages, speed-ups, models.",
        discussion: """
            Every run of `swan generate` is noted, jobs and others. Runs of one model, size and
            number of frames on one device make a table of methods, with the speed-up of each
            against the baseline: the run without preset and LoRAs that works most.

              swan report
              swan report --output report.html
              swan report --json --model swan-tiny
            """)

    /// How a report is written.
    enum Format: String, ExpressibleByArgument, CaseIterable { case markdown, html, json }

    @Option(help: "markdown, html or json. Default: as the output's name ends, else markdown.")
    var format: Format?
    @Flag(help: "The same as --format json.")
    var json = false
    @Option(name: .shortAndLong, help: "Write the report to this file instead of standard output.", completion: .file())
    var output: String?
    @Option(help: "Only runs of this model.")
    var model: String?
    @Option(help: "Only the last so many runs.")
    var last: Int?
    @Option(help: "The number of the run that others are compared with. Default: the run that works most.")
    var baseline: Int?

    func validate() throws {
        if json, let format, format != .json {
            throw ValidationError("--json and --format \(format.rawValue) contradict each other.")
        }
        if let last, last < 1 { throw ValidationError("--last is \(last), expected 1 or more.") }
    }

    func run() throws {
        let store = try JobStore.here()
        try store.settleLostRuns()
        var jobs = try store.jobs().filter { job in
            model.map { $0 == job.model || $0 == job.report?.settings.model } ?? true
        }
        if let last { jobs = jobs.suffix(last) }
        let machine = Doctor.examine(variables: ProcessInfo.processInfo.environment, folder: ".").findings
            .map { ActivityReport.Fact(subject: $0.subject, text: $0.text) }
        let report = try ActivityReport(jobs, machine: machine, swan: swanVersion, baseline: baseline)
        let text =
            switch json ? .json : format ?? Self.format(of: output) {
            case .markdown: report.markdown()
            case .html: report.html()
            case .json: try encoded(report) + "\n"
            }
        guard let output else {
            Output.standardOutput(text)
            return
        }
        guard !FileManager.default.fileExists(atPath: output) else {
            throw SwanError(
                .reportUnwritable, "'\(output.printable())' exists already, and is not overwritten.",
                advice: "Choose another name, or move the file away.")
        }
        do {
            try Data(text.utf8).write(to: URL(filePath: output), options: .atomic)
        } catch {
            throw SwanError(
                .reportUnwritable, "The report '\(output.printable())' cannot be written.",
                advice: "Check that its folder exists, may be written to and has room.", cause: error)
        }
    }

    private static func format(of path: String?) -> Format {
        if path?.lowercased().hasSuffix(".html") == true { return .html }
        return path?.lowercased().hasSuffix(".json") == true ? .json : .markdown
    }
}

extension SwanError.Code {
    /// A report's file cannot be written.
    static let reportUnwritable = Self("cli.report-unwritable", .io)
}
