import ArgumentParser
import FoundationEssentials
import Glibc
import SwanBench
import SwanDiagnostics
import SwanHub
import SwanPipeline
import SwanRuntime
import SwanTensor

/// The steps of a ladder, as `arithmetic,cache`.
struct LadderSteps: ExpressibleByArgument {
    let steps: [LadderBench.Step]

    init?(argument: String) {
        let found = argument.split(separator: ",").map { LadderBench.Step(rawValue: String($0)) }
        guard !found.isEmpty, !found.contains(nil), Set(found).count == found.count else { return nil }
        steps = LadderBench.Step.allCases.filter { found.contains($0) }
    }
}

/// A time, as `90s`, `10min` or `1h`.
struct TimeArgument: ExpressibleByArgument {
    let seconds: Double

    init?(argument: String) {
        for (unit, factor) in [("min", 60.0), ("h", 3600), ("s", 1)] where argument.hasSuffix(unit) {
            guard let value = Double(argument.dropLast(unit.count)), value > 0, value * factor < 1e9 else { return nil }
            seconds = value * factor
            return
        }
        return nil
    }
}

/// What climbing a ladder needs of the device, whatever asks for it.
struct LadderDevice {
    let name: String
    let attention: String

    /// The kernels that there are beside the device's own choice; none where one was asked for by name, or where there
    /// is one.
    func otherKernels(than backend: any Backend) -> [String] {
        guard attention == "auto" || attention == "exact", backend.canStreamWeights else { return [] }
        return Runtime.attentionToTry(besides: backend.attentionKernel, on: backend.name)
    }

    func open(_ kernel: String?) throws(SwanError) -> any Backend {
        try DeviceOptions.open(name, attention: kernel ?? attention)
    }

    /// A folder for files that are thrown away.
    static var temporaryFolder: String {
        FileManager.default.temporaryDirectory.path + "/swan-ladder-\(UInt64.random(in: 0 ... .max))"
    }
}

/// Where a ladder's page, table and numbers are written.
struct LadderFolder {
    let path: String

    /// - Throws: `cli.report-unwritable` where it exists or cannot be made.
    init(_ path: String) throws(SwanError) {
        guard !FileManager.default.fileExists(atPath: path) else {
            throw SwanError(
                .reportUnwritable, "'\(path.printable())' exists already, and nothing in it is overwritten.",
                advice: "Name a new folder.")
        }
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch {
            throw SwanError(
                .reportUnwritable, "The folder '\(path.printable())' cannot be made.",
                advice: "Check that its parent may be written to.", cause: error)
        }
        self.path = path
    }

    /// Removes the folder where nothing was written to it.
    func removeIfEmpty() { rmdir(path) }

    func write(_ ladder: Ladder) throws {
        for (name, text) in [
            ("ladder.html", ladder.html()), ("ladder.md", ladder.markdown()),
            ("ladder.json", try encoded(ladder) + "\n"),
        ] {
            do {
                try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"), options: .atomic)
            } catch {
                throw SwanError(
                    .reportUnwritable, "The report '\(path.printable())/\(name)' cannot be written.",
                    advice: "Check that its folder has room.", cause: error)
            }
        }
    }
}

/// Prints rungs as they come.
final class LadderPrinter {
    private let json: Bool
    private var isBegun = false

    init(json: Bool) { self.json = json }

    func print(_ rung: Ladder.Rung) {
        guard !json else { return }
        Output.standardOutput((isBegun ? "" : Ladder.Rung.head + "\n") + rung.text + "\n")
        isBegun = true
    }
}
