import SwanDiagnostics
import SwanSampling

/// What a run did: one value that the table after a run, `--json` and the file's metadata render.
public struct RunReport: Sendable, Codable {
    /// A stage and how long it took, all videos together.
    public struct StageTime: Sendable, Codable {
        /// The stage.
        public var stage: GenerationEvent.Stage
        /// Wall-clock seconds.
        public var seconds: Double
    }

    /// A finished video.
    public struct Video: Sendable, Codable {
        /// What was asked for.
        public var prompt: String
        /// The noise's seed; nil when noise or latents came from a file.
        public var seed: UInt64?
        /// The file.
        public var path: String?

        /// Takes over what was asked for.
        public init(_ item: VideoItem) {
            prompt = item.prompt
            seed = if case .seed(let seed) = item.start { seed } else { nil }
            path = item.path
        }
    }

    /// The memory of a device, in bytes.
    public struct DeviceUse: Sendable, Codable {
        /// Used by tensors and work space at most.
        public var peak: Int
        /// Given by the driver for them.
        public var reserved: Int
        /// What the plan said for them.
        public var planned: Int
        /// What the driver, its libraries and kernels are taken to need beside that.
        public var overhead: Int
        /// How often memory was asked of the driver: once, where the plan was right.
        public var driverAllocations: Int
    }

    /// The settings in use.
    public var settings: GenerationSettings
    /// The device and what computes on it.
    public var device: String
    /// Stages in order.
    public var stages: [StageTime]
    /// The videos.
    public var videos: [Video]
    /// Network evaluations. Of videos that an earlier part of an interrupted run has finished, those that a step cache
    /// spared are counted as well.
    public var forwards: Int
    /// The arithmetic of the linear layers.
    public var precision: String
    /// The attention kernel.
    public var attention = "exact"
    /// Where the weights were.
    public var weights: String
    /// The memory of the device, where it has its own.
    public var deviceMemory: DeviceUse?
    /// The largest resident size of the process, in bytes; mapped files are counted.
    public var peakMemory: Int
    /// What the plan said it would be at most.
    public var plannedMemory: Int
    /// Wall-clock seconds in all.
    public var seconds: Double
    /// The networks that ran; nil in reports of versions that did not note it.
    public var architecture: ModelArchitecture?

    /// Adds the time that an earlier, interrupted part of the run took.
    public mutating func add(stages earlier: [StageTime], seconds more: Double) {
        stages = earlier.adding(stages)
        seconds += more
    }

    /// The table that ends a run.
    public func table() -> String {
        var rows: [(String, String)] = stages.map { ($0.stage.title, formatted(seconds: $0.seconds)) }
        rows.append(("total", formatted(seconds: seconds)))
        if forwards > 0 {
            let steps = settings.boundary > 0 ? "\(settings.steps) steps over two experts" : "\(settings.steps) steps"
            rows.append(
                (
                    "method",
                    "\(settings.preset.map { "\($0), " } ?? "")\(settings.solver.rawValue), \(steps), \(forwards) forwards\(settings.cacheThreshold.map { ", step cache \($0)" } ?? "")"
                ))
            rows.append(("guidance", guidanceText))
        } else {
            rows.append(("method", "given latents, decoded"))
        }
        rows.append(("device", device))
        rows.append(("precision", "\(precision), attention \(attention), weights \(weights)"))
        if let memory = deviceMemory {
            rows.append(
                (
                    "GPU memory",
                    "\(formatted(bytes: memory.peak)) (planned \(formatted(bytes: memory.planned))) and about \(formatted(bytes: memory.overhead)) of the driver, asked for \(memory.driverAllocations == 1 ? "once" : "\(memory.driverAllocations) times")"
                ))
        }
        rows.append(("peak memory", "\(formatted(bytes: peakMemory)) (planned \(formatted(bytes: plannedMemory)))"))
        for video in videos {
            if let seed = video.seed { rows.append(("seed", String(seed))) }
            if let path = video.path { rows.append(("file", path)) }
        }
        let width = rows.map(\.0.count).max() ?? 0
        return rows.map { "  \($0.0)\(String(repeating: " ", count: width - $0.0.count))  \($0.1)" }.joined(
            separator: "\n")
    }

    private var guidanceText: String {
        let (high, low) = (settings.guidanceHigh, settings.guidanceLow)
        if !Guidance.isOn(high), !Guidance.isOn(low) { return "off" }
        let scales = high == low || settings.boundary == 0 ? "\(low)" : "\(high) high, \(low) low"
        return scales + (settings.guidanceInterval.map { ", from \($0.start) to \($0.stop) of the steps" } ?? "")
    }
}

extension [RunReport.StageTime] {
    /// Both lists as one, each stage once.
    public func adding(_ others: [RunReport.StageTime]) -> [RunReport.StageTime] {
        var sum = self
        for other in others {
            if let index = sum.firstIndex(where: { $0.stage == other.stage }) {
                sum[index].seconds += other.seconds
            } else {
                sum.append(other)
            }
        }
        return sum
    }
}
