import SwanDiagnostics
public import SwanPipeline
public import SwanTensor

/// What a bench with random weights found; `--json` prints it.
public struct SyntheticReport: Sendable, Codable {
    /// The times of one stage.
    public struct StageTimes: Sendable, Codable {
        /// Which one.
        public var stage: SyntheticBench.Stage
        /// Seconds until its weights and inputs were on the device.
        public var loadSeconds: Double
        /// Seconds of the first call: kernels are compiled or read, algorithms chosen.
        public var firstSeconds: Double
        /// The median of the later calls.
        public var seconds: Double
        /// All later calls.
        public var all: [Double]
        /// The most bytes of tensors and weights at a time; nil where the device does not say.
        public var peakBytes: Int?
        /// What the last call asked of the device, without the wait for its end; nil where the device does not count, and of a whole run.
        public var counts: WorkCounts?
        /// Where the time of another call went, if that was asked for.
        public var operations: OperationTable?
        /// The stages of a whole run.
        public var parts: [RunReport.StageTime]?
        /// Its steps, and its evaluations of the network.
        public var steps, forwards: Int?
        /// Whether its frames became a file; they are thrown away where there is no ffmpeg.
        public var isEncoded: Bool?

        init(
            stage: SyntheticBench.Stage, loadSeconds: Double, firstSeconds: Double, seconds: Double, all: [Double],
            peakBytes: Int?
        ) {
            (self.stage, self.loadSeconds, self.firstSeconds) = (stage, loadSeconds, firstSeconds)
            (self.seconds, self.all, self.peakBytes) = (seconds, all, peakBytes)
        }

        enum CodingKeys: String, CodingKey {
            case stage, loadSeconds = "load_seconds", firstSeconds = "first_seconds", seconds, all
            case peakBytes = "peak_bytes", counts, operations, parts, steps, forwards, isEncoded = "is_encoded"
        }
    }

    /// The model whose sizes these are.
    public var model: String
    /// What computed.
    public var device: String
    /// Pixels.
    public var width, height: Int
    /// Frames of the clip.
    public var frames: Int
    /// Tokens of a forward.
    public var tokens: Int
    /// Tokens of the prompt.
    public var textTokens: Int
    /// The arithmetic of the transformer's linear layers: `fp8`, `int8`; nil for the device's own.
    public var precision: String?
    /// Calls behind each median.
    public var runs: Int
    /// Where weights were, where that was planned.
    public var plan: String?
    /// Seconds from the start of the process until the first call of the first stage was under way: all that it took
    /// longer than a later call lies before that. Of a pipeline, until its first step began.
    public var startSeconds: Double?
    /// What operations are measured by, if they were.
    public var ceilings: DeviceCeilings?
    /// The stages in the order in which they ran.
    public var stages: [StageTimes]

    enum CodingKeys: String, CodingKey {
        case model, device, width, height, frames, tokens, textTokens = "text_tokens", precision, runs, plan
        case startSeconds = "start_seconds", ceilings, stages
    }
}

extension SyntheticReport.StageTimes {
    /// The head of a table of stages.
    public static var head: String {
        padded("stage", 10) + aligned("load", 12) + aligned("first", 13) + aligned("median", 13)
            + aligned("peak memory", 14)
    }

    /// The times as a line of a table, and what belongs to them below.
    public var text: String {
        guard let parts else {
            let line =
                padded(stage.rawValue, 10) + aligned(formatted(milliseconds: loadSeconds), 12)
                + aligned(formatted(milliseconds: firstSeconds), 13) + aligned(formatted(milliseconds: seconds), 13)
                + aligned(peakBytes.map { formatted(bytes: $0) } ?? "", 14)
            return line + (counts.map { "\n  a call: \($0.text)" } ?? "")
                + (operations.map { "\n\n\($0.text)\n" } ?? "")
        }
        var lines = [
            padded(stage.rawValue, 10) + aligned("", 25) + aligned(formatted(milliseconds: seconds), 13)
                + aligned(peakBytes.map { formatted(bytes: $0) } ?? "", 14)
        ]
        lines += parts.map { "  " + padded($0.stage.title, 20) + aligned(formatted(milliseconds: $0.seconds), 26) }
        lines.append(
            "  \(steps ?? 0) steps, \(forwards ?? 0) forwards, \(isEncoded == true ? "written as mp4" : "no ffmpeg: frames thrown away")"
        )
        return lines.joined(separator: "\n")
    }
}

extension SyntheticReport {
    /// What was measured, for the line above a table.
    public var title: String {
        "\(model) with random weights, \(width)x\(height), \(frames) frames (\(tokens) tokens, \(textTokens) of text)"
            + (precision.map { ", linear layers in \($0)" } ?? "")
    }

    /// What is written under a table.
    public var footer: String {
        var lines: [String] = []
        if let startSeconds {
            lines.append("first call under way \(decimal(startSeconds, 2)) s after the start of the program")
        }
        if let ceilings {
            lines.append(
                "ceilings \(formatted(rate: ceilings.operationsPerSecond, "FLOP/s")), \(ceilings.eightBitOperationsPerSecond.map { "in eight bits \(formatted(rate: $0, "FLOP/s")), " } ?? "")\(formatted(rate: ceilings.bytesPerSecond, "B/s")), measured"
            )
        }
        if let plan { lines.append(plan) }
        lines.append("median of \(runs) on \(device)")
        return lines.joined(separator: "\n")
    }
}

extension WorkCounts {
    /// As a line.
    fileprivate var text: String {
        "\(kernels) kernels, \(libraryCalls) calls of libraries, \(allocations) allocations by the driver, \(waits) waits of the host"
    }
}
