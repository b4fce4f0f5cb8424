import FoundationEssentials
public import SwanDiagnostics
public import SwanPipeline
import SwanSampling

/// What this machine did: every run of the job store with its settings and measured numbers, and what they add up to.
public struct ActivityReport: Sendable, Codable {
    /// Something that holds for the machine.
    public struct Fact: Sendable, Codable, Hashable {
        /// What it is about.
        public var subject: String
        /// What was found.
        public var text: String

        /// Puts both together.
        public init(subject: String, text: String) { (self.subject, self.text) = (subject, text) }
    }

    /// One run.
    public struct Run: Sendable, Codable {
        /// Its number in the job store.
        public var id: Int
        /// When it was first started, as ISO 8601 in UTC; nil for one that never was.
        public var started: String?
        /// How it ended, or how far it is.
        public var state: Job.State
        /// How often it was started.
        public var attempts: Int
        /// What the first video shows.
        public var prompt: String
        /// What was measured; nil unless it is done.
        public var report: RunReport?
        /// Why it failed.
        public var failure: Job.Failure?
    }

    /// Ways to make the same video, and what each is worth.
    public struct Ladder: Sendable, Codable {
        /// One way.
        public struct Rung: Sendable, Codable {
            /// Solver, guidance, arithmetic: what the time depends on.
            public var method: String
            /// Solver steps.
            public var steps: Int
            /// Frames of a video.
            public var frames: Int
            /// Evaluations of the network for one video.
            public var forwards: Int
            /// The runs that it is made of.
            public var runs: [Int]
            /// Seconds for one video, from start to file: the median of the runs.
            public var seconds: Double
            /// The baseline's seconds divided by these.
            public var speedUp: Double
            /// Whether the others are compared with it.
            public var isBaseline: Bool
        }

        /// What was made.
        public var model: String
        /// Pixels.
        public var width, height: Int
        /// Where.
        public var device: String
        /// The ways, slowest first.
        public var rungs: [Rung]
    }

    /// A model that ran.
    public struct Model: Sendable, Codable {
        /// Its name.
        public var name: String
        /// Its sizes.
        public var architecture: ModelArchitecture
        /// Numbers in all of its weights.
        public var parameters: Int
        /// Numbers in the weights that one step uses.
        public var activeParameters: Int
    }

    /// The program that wrote the report.
    public var swan: String
    /// When, as ISO 8601 in UTC.
    public var written: String
    /// The machine.
    public var machine: [Fact]
    /// Every run, oldest first.
    public var runs: [Run]
    /// Runs that can be compared.
    public var ladders: [Ladder]
    /// Models that ran.
    public var models: [Model]

    /// Adds runs up.
    ///
    /// - Parameters:
    ///   - jobs: every run, oldest first.
    ///   - machine: what holds for the machine.
    ///   - swan: the version of the program that writes the report.
    ///   - baseline: the run that others are compared with, in its ladder; nil for the one without preset and LoRAs
    ///     that evaluates the network most often.
    ///   - now: seconds since 1970; nil to ask the clock.
    /// - Throws: `jobs.unknown` when no finished run among them has the baseline's number.
    public init(
        _ jobs: [Job], machine: [Fact], swan: String, baseline: Int? = nil, now: Double? = nil
    ) throws(SwanError) {
        func text(_ seconds: Double) -> String { Date(timeIntervalSince1970: seconds).ISO8601Format() }
        self.swan = swan
        self.machine = machine
        written = text(now ?? Date().timeIntervalSince1970)
        runs = jobs.map {
            Run(
                id: $0.id, started: $0.started.map(text), state: $0.state, attempts: $0.attempts, prompt: $0.prompt,
                report: $0.report, failure: $0.failure)
        }
        if let baseline, !runs.contains(where: { $0.id == baseline && $0.report != nil }) {
            throw SwanError(
                .jobUnknown, "There is no finished run \(baseline) to compare others with.",
                advice: "`swan jobs --all` lists them.")
        }
        ladders = Self.ladders(runs, baseline)
        models = []
        for case let report? in runs.map(\.report) {
            guard let architecture = report.architecture else { continue }
            let model = Model(
                name: report.settings.model, architecture: architecture, parameters: architecture.parameters,
                activeParameters: architecture.activeParameters)
            if !models.contains(where: { $0.name == model.name && $0.architecture == architecture }) {
                models.append(model)
            }
        }
    }

    /// What runs must share to be one ladder, and one rung of it.
    private struct Key: Hashable {
        let place: [String]
        let method: String
        let frames, steps: Int
        /// Nil where it is for a step cache to decide.
        let forwards: Int?
    }

    private static func ladders(_ runs: [Run], _ baseline: Int?) -> [Ladder] {
        var order: [Key] = []
        var members: [Key: [(id: Int, report: RunReport)]] = [:]
        for run in runs {
            // Given latents that were only decoded are no way to make a video.
            guard let report = run.report, report.forwards > 0, !report.videos.isEmpty else { continue }
            let settings = report.settings
            let key = Key(
                place: [settings.model, "\(settings.width)", "\(settings.height)", report.device],
                method: report.method, frames: settings.frames, steps: settings.steps,
                forwards: settings.cacheThreshold == nil ? report.forwards / report.videos.count : nil)
            if members[key] == nil { order.append(key) }
            members[key, default: []].append((run.id, report))
        }
        var ladders: [Ladder] = []
        var seen: Set<[String]> = []
        for key in order where seen.insert(key.place + [String(key.frames)]).inserted {
            let keys = order.filter { $0.place == key.place && $0.frames == key.frames }
            var rungs = keys.map { key in
                let found = members[key] ?? []
                let seconds = median(found.map { $0.report.seconds / Double($0.report.videos.count) })
                let forwards = median(found.map { Double($0.report.forwards) / Double($0.report.videos.count) })
                return Ladder.Rung(
                    method: key.method, steps: key.steps, frames: key.frames, forwards: Int(forwards.rounded()),
                    runs: found.map(\.id), seconds: seconds, speedUp: 1, isBaseline: false)
            }
            rungs.sort { $0.seconds > $1.seconds }
            let plain = keys.filter { members[$0]?.first?.report.settings.isPlain ?? false }
            let most = rungs.filter { rung in plain.contains { $0.method == rung.method && $0.steps == rung.steps } }
                .max { ($0.forwards, $0.seconds) < ($1.forwards, $1.seconds) }
            let named = baseline.flatMap { id in rungs.first { $0.runs.contains(id) } }
            guard let base = named ?? most ?? rungs.first else { continue }
            for index in rungs.indices {
                rungs[index].speedUp = base.seconds / rungs[index].seconds
                rungs[index].isBaseline = rungs[index].runs == base.runs
            }
            let report = members[key]?.first?.report
            ladders.append(
                Ladder(
                    model: key.place[0], width: report?.settings.width ?? 0, height: report?.settings.height ?? 0,
                    device: report?.device ?? "", rungs: rungs))
        }
        return ladders
    }
}

extension GenerationSettings {
    /// Whether nothing but the model itself was used.
    fileprivate var isPlain: Bool {
        preset == nil && lorasHigh.isEmpty && lorasLow.isEmpty && cacheThreshold == nil && guidanceInterval == nil
    }
}

extension RunReport {
    /// What the time of a run depends on, beside its steps and size.
    fileprivate var method: String {
        var parts: [String] = []
        if let preset = settings.preset { parts.append(preset) }
        parts.append(settings.solver.rawValue)
        let (high, low) = (settings.guidanceHigh, settings.guidanceLow)
        let isOn = (high: Guidance.isOn(high), low: Guidance.isOn(low))
        switch (settings.boundary > 0, isOn.high, isOn.low) {
        case (_, false, false): parts.append("no guidance")
        case (true, true, false): parts.append("guidance in high noise")
        case (true, false, true): parts.append("guidance in low noise")
        default: parts.append("guidance")
        }
        if let part = settings.guidanceInterval, isOn.high || isOn.low {
            parts[parts.count - 1] += " from \(part.start) to \(part.stop)"
        }
        if let threshold = settings.cacheThreshold { parts.append("step cache \(threshold)") }
        parts.append(precision)
        if attention != "exact" { parts.append("\(attention) attention") }
        let loras = settings.lorasHigh.count + settings.lorasLow.count
        if settings.preset == nil, loras > 0 { parts.append(loras == 1 ? "a LoRA" : "\(loras) LoRAs") }
        if weights != "in host memory", weights != "in GPU memory" { parts.append("weights \(weights)") }
        return parts.joined(separator: ", ")
    }
}
