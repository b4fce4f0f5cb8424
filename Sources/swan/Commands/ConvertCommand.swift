import ArgumentParser
import SwanDiagnostics
import SwanModels
import SwanPipeline

/// A format by the name that users write.
private func parseFormat(_ name: String) throws -> ConversionFormat {
    guard let format = ConversionFormat(rawValue: name) else {
        throw ValidationError(
            "There is no format '\(name.printable())': \(ConversionFormat.allCases.map(\.rawValue).joined(separator: ", "))."
        )
    }
    return format
}

/// `swan convert`: a checkpoint in another published format.
struct ConvertCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Write a checkpoint in another format.",
        discussion: """
            Reads one checkpoint (a file, an index or a folder of shards) and writes it anew: smaller, in
            one file, or in the type that a device computes with, so that it loads faster. The
            output is seen when it is whole; nothing is overwritten.

              swan convert high_noise_model high_fp8.safetensors --format fp8-row
              swan convert high.gguf high_bf16.safetensors --format bf16
              swan convert high_noise_model high_q8_0.gguf --format gguf-q8_0
              swan convert high.safetensors high_noise_model --format bf16 --shard-size 10GB
            """)

    @Argument(help: "A file, an index, or a folder of shards.", completion: .file())
    var input: String
    @Argument(help: "NAME.safetensors or NAME.gguf; a name without ending is a folder of shards.")
    var output: String
    @Option(
        help: ArgumentHelp(
            "\(ConversionFormat.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "format"),
        transform: parseFormat)
    var format: ConversionFormat
    @Option(help: "The most that a shard takes, as 10GB. Default: 5GB.")
    var shardSize: ByteCount?
    @Flag(name: .customLong("dry-run"), help: "Say what would be written, and stop.")
    var isDryRun = false
    @Flag(help: "Print one JSON object instead of text.")
    var json = false

    /// What was written, for programs.
    private struct Result: Encodable {
        let output, format, kind: String
        let bytes, sourceBytes, quantized: Int
        let notes: [String]
        let seconds: Double?
    }

    func run() throws {
        Interrupts.install()
        let conversion = try Conversion(input, to: output, as: format, shardBytes: shardSize?.bytes)
        for note in conversion.notes where !json { Output.standardError("note: \(note)\n") }
        let shrunk = conversion.quantizedCount > 0 ? ", \(conversion.quantizedCount) weights quantised" : ""
        let summary =
            "\(conversion.kind.title), \(formatted(bytes: conversion.sourceBytes)) → \(format.rawValue), \(formatted(bytes: conversion.bytes))\(shrunk)"
        var seconds: Double?
        if !isDryRun {
            let printer = ConversionProgress(total: conversion.sourceBytes, isSilent: json)
            defer { printer.end() }
            seconds = try ContinuousClock().measure {
                try conversion.run(cancellation: Interrupts.cancellation, progress: printer.report)
            }.inSeconds
        }
        if json {
            let result = Result(
                output: conversion.path, format: format.rawValue, kind: conversion.kind.rawValue,
                bytes: conversion.bytes,
                sourceBytes: conversion.sourceBytes, quantized: conversion.quantizedCount, notes: conversion.notes,
                seconds: seconds)
            Output.standardOutput(try encoded(result) + "\n")
            return
        }
        let time = seconds.map { ", \(formatted(seconds: $0))" } ?? ", not written"
        Output.standardError("\(summary)\(time)\n")
        if !isDryRun { Output.standardOutput("\(conversion.path)\n") }
    }
}

/// A line on a terminal that says how much has been read.
private final class ConversionProgress {
    private let total: Int
    private let isShown: Bool
    private var shown = -1

    init(total: Int, isSilent: Bool) {
        self.total = total
        isShown = !isSilent && Output.terminalWidth != nil && total > 0
    }

    func report(_ done: Int) {
        guard isShown else { return }
        let percent = Int(100 * Double(done) / Double(total))
        guard percent != shown else { return }
        shown = percent
        Output.standardError("\r\u{1B}[K\(percent) % of \(formatted(bytes: total))")
    }

    func end() {
        if isShown { Output.standardError("\r\u{1B}[K") }
    }
}
