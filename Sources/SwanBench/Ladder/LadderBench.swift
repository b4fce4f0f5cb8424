import FoundationEssentials
public import SwanDiagnostics
import SwanMedia
public import SwanPipeline
import SwanSampling
public import SwanTensor

/// Climbs a ladder: tries each way on top of the best so far, keeps what wins and says why.
///
/// A way and the best before it run in turns, so that a machine that gets slower meanwhile favours neither. What is
/// counted runs behind one run of each that is not: in it kernels are compiled, and its videos are those that are
/// compared.
public struct LadderBench {
    /// What is tried, in this order.
    public enum Step: String, Sendable, CaseIterable, Codable {
        /// The transformers' files in eight bits, dequantised as they are loaded.
        case weights
        /// Eight-bit products.
        case arithmetic
        /// Other kernels than the device's own choice.
        case attention
        /// Velocities that are taken over.
        case cache
        /// Guidance in a part of the steps.
        case guidance
        /// A distillation for few steps.
        case lightning

        /// As people read it.
        public var title: String {
            switch self {
            case .weights: "8-bit weights"
            case .arithmetic: "8-bit arithmetic"
            case .attention: "attention"
            case .cache: "step cache"
            case .guidance: "guidance interval"
            case .lightning: "Lightning"
            }
        }
    }

    /// How to climb.
    public struct Options {
        /// What is tried.
        public var steps: [Step] = Step.allCases
        /// Runs of each way that are counted.
        public var runs = 3
        /// What the videos show.
        public var prompts = ["A cat walking on the grass"]
        /// The noise's seed.
        public var seed: UInt64 = 0
        /// The least structural similarity to the baseline's videos, of ways that are to give the same video.
        public var leastSSIM = 0.95
        /// Prompts whose videos are made in each way that was measured, once, and scored; nil for none.
        public var scenes: SceneTest?
        /// The points, of 100, that a way may lose in a question against the baseline; nil for 1, or one clip where that is
        /// more.
        public var mostLost: Double?
        /// Seconds after which nothing new is begun; nil to try everything.
        public var budget: Double?
        /// Bytes of a device's memory that may be used; nil for what is free.
        public var memoryLimit: Int?
        /// Thresholds of the step cache.
        public var cacheThresholds = [0.05, 0.1]
        /// The attention kernels that the device has beside its own choice.
        public var attentionKernels: [String] = []
        /// A folder, made when it is needed, for files that are removed again.
        public var temporaryFolder = ""
        /// Seconds of runs of a way, with those of the best before, below which more are made.
        package var shortRuns = 4.0
        /// Where the videos are kept, as mp4; nil to keep none.
        public var videoFolder: String?

        /// Everything, three times.
        public init() {}
    }

    /// How much faster a way must be to be kept: less is lost in noise.
    static let leastGain = 1.03
    /// Runs of a way, with those of the best before, are made up to so many times while they are short: a tenth of a second
    /// differs by a twentieth from run to run. Where they do not tell, four times as many are made.
    private static let mostRuns = 25

    private let model: LadderModel
    private let request: GenerationRequest
    private let options: Options
    private let open: (String?) throws(SwanError) -> any Backend
    private let cancellation: Cancellation
    private let report: (Ladder.Rung, Ladder) -> Void
    private let begun = ContinuousClock.now

    /// The device that is open, and its kernel of attention.
    private var device: (attention: String?, backend: any Backend)?
    /// What computed attention, as the device says, by what it was asked to use; nil: by its own choice.
    private var kernels: [String?: String] = [:]
    private var ladder: Ladder
    private var videos: [[UInt8]] = []
    private var firstStep: [Float] = []

    /// Measures.
    ///
    /// - Parameters:
    ///   - model: the model.
    ///   - request: what is asked of the model in every way, but for what the ways change.
    ///   - options: what is tried, and how often.
    ///   - swan: the program's version, for the record.
    ///   - cancellation: looked at between steps and decoded chunks.
    ///   - open: opens the device with an attention kernel; one device is open at a time.
    ///   - report: told each rung when it is there, and the ladder up to it.
    /// - Throws: what generating the baseline throws; what a way lacks, or asks too much, is its verdict.
    public static func run(
        _ model: LadderModel, _ request: GenerationRequest, _ options: Options, swan: String,
        cancellation: Cancellation = Cancellation(),
        report: @escaping (Ladder.Rung, Ladder) -> Void = { _, _ in },
        open: @escaping (String?) throws(SwanError) -> any Backend
    ) throws(SwanError) -> Ladder {
        var bench = try LadderBench(model, request, options, swan, cancellation, report, open)
        try bench.climb()
        return bench.ladder
    }

    private init(
        _ model: LadderModel, _ request: GenerationRequest, _ options: Options, _ swan: String,
        _ cancellation: Cancellation, _ report: @escaping (Ladder.Rung, Ladder) -> Void,
        _ open: @escaping (String?) throws(SwanError) -> any Backend
    ) throws(SwanError) {
        (self.model, self.request, self.options) = (model, request, options)
        (self.open, self.cancellation, self.report) = (open, cancellation, report)
        let backend = try open(nil)
        device = (nil, backend)
        let settings = try model.generator(Self.items(options), request, weights: nil).settings
        try options.scenes?.check(settings)
        ladder = Ladder(
            model: settings.model, device: "\(backend.name): \(backend.summary)", settings: settings,
            prompts: options.prompts, seed: options.seed, runs: options.runs, swan: swan,
            measured: Date().ISO8601Format(), isSynthetic: model.isSynthetic, rungs: [])
    }

    private static func items(_ options: Options) -> [VideoItem] {
        options.prompts.map { VideoItem(prompt: $0, start: .seed(options.seed), path: "") }
    }

    // MARK: Climbing

    private mutating func climb() throws(SwanError) {
        defer { model.removeFiles() }
        let plain = Ladder.Method()
        let first = try make(plain, keepsFirstStep: true)
        (videos, firstStep) = (first.videos, first.firstStep)
        let runs = try (0 ..< options.runs).map { (_) throws(SwanError) in try make(plain).report }
        var result = try result(plain, first, runs, gain: PairedGain([1]))
        let lack = try score(&result, plain).map { " " + $0 + " No way is scored." }
        add(
            Ladder.Rung(
                step: "baseline", name: ladder.settings.preset ?? "plain", method: plain, verdict: .baseline,
                reason: Ladder.Rung.baselineReason + (lack ?? ""), result: result))
        // In the order in which one can stand on another.
        for step in Step.allCases where options.steps.contains(step) { try climb(step) }
    }

    private mutating func climb(_ step: Step) throws(SwanError) {
        guard let ground = ladder.best else { return }
        func skip(_ reason: String) -> Ladder.Rung {
            Ladder.Rung(
                step: step.title, name: "", method: ground.method, verdict: .skipped, reason: reason, result: nil)
        }
        if let reason = whyNot(step) { return add(skip(reason)) }
        for (name, change) in ways(step) {
            try cancellation.check()
            guard let best = ladder.best, let before = best.result else { return }
            var method = best.method
            change(&method)
            // One run of the new way, then both in turns, then one in which operations are timed, then the scored videos.
            let expected =
                before.seconds * Double(2 + (method.attention == best.method.attention ? 2 : 4) * options.runs)
                + (isScored ? scoring(before) : 0)
            if let lack = lack(of: expected) {
                var rung = skip("It \(lack)")
                (rung.name, rung.method) = (name, method)
                add(rung)
                continue
            }
            add(try tried(step, name, method, against: best, before))
        }
    }

    /// Why a kernel of attention is not measured: another, which is not made for these shapes, leaves them to the one from
    /// before, whose runs would differ by noise. A device with one kernel calls it "exact".
    package static func sameKernel(_ before: String?, _ now: String?) -> String? {
        guard let before, before == now, before != "exact" else { return nil }
        return "Attention is computed by \(before) as before."
    }

    /// What keeps work of some seconds from being begun; nil where there is time.
    private func lack(of seconds: Double) -> String? {
        guard let budget = options.budget else { return nil }
        let left = budget - (ContinuousClock.now - begun).inSeconds
        guard seconds > left else { return nil }
        return "would take about \(formatted(seconds: seconds)), and \(formatted(seconds: max(0, left))) are left."
    }

    /// Whether there is something to compare scores with.
    private var isScored: Bool { ladder.rungs.first?.result?.scores != nil }

    /// About the seconds of the videos that are scored.
    private func scoring(_ result: Ladder.Result) -> Double {
        result.seconds * Double(options.scenes?.prompts.count ?? 0) / Double(options.prompts.count)
    }

    /// Why a step has nothing to try; nil where it has.
    private func whyNot(_ step: Step) -> String? {
        let settings = ladder.settings
        switch step {
        case .weights: return model.canConvert ? nil : "Random weights are in no file."
        case .arithmetic: return nil
        case .attention:
            return options.attentionKernels.isEmpty ? "The device has one kernel." : nil
        case .cache:
            return settings.steps < StepCache.fewestSteps
                ? "\(settings.steps) steps leave none to spare, it takes \(StepCache.fewestSteps)." : nil
        case .guidance: return settings.isGuided ? nil : "Guidance is off."
        case .lightning:
            if settings.preset != nil { return "The baseline is a preset already." }
            return model.fewStepsPreset == nil ? "The model brings no Lightning pair." : nil
        }
    }

    /// What a step tries, each on top of the best so far.
    private func ways(_ step: Step) -> [(name: String, change: (inout Ladder.Method) -> Void)] {
        switch step {
        case .weights: [("fp8-row", { $0.weights = .fp8Row })]
        case .arithmetic: EightBitFormat.allCases.map { format in (format.rawValue, { $0.precision = format }) }
        case .attention: options.attentionKernels.map { kernel in (kernel, { $0.attention = kernel }) }
        case .cache:
            options.cacheThresholds.map { threshold in ("\(threshold)", { $0.cacheThreshold = threshold }) }
        case .guidance: [("0:0.6", { $0.guidanceInterval = GuidanceInterval(0, 0.6) })]
        case .lightning:
            [
                (
                    "4 steps",
                    { [preset = model.fewStepsPreset] in
                        ($0.preset, $0.cacheThreshold, $0.guidanceInterval) = (preset, nil, nil)
                    }
                )
            ]
        }
    }

    private mutating func add(_ rung: Ladder.Rung) {
        ladder.rungs.append(rung)
        report(rung, ladder)
    }

    /// Tries a way.
    private mutating func tried(
        _ step: Step, _ name: String, _ method: Ladder.Method, against best: Ladder.Rung, _ before: Ladder.Result
    ) throws(SwanError) -> Ladder.Rung {
        var rung = Ladder.Rung(
            step: step.title, name: name, method: method, verdict: .rejected, reason: "", result: nil)
        do throws(SwanError) {
            let first = try make(method, keepsFirstStep: method.preset == nil)
            var (runs, gains): ([RunReport], [Double]) = ([], [])
            if step == .attention,
                let reason = Self.sameKernel(kernels[best.method.attention], kernels[method.attention])
            {
                (rung.verdict, rung.reason) = (.skipped, reason)
                return rung
            }
            var (round, spent) = (0, 0.0)
            while round < options.runs
                || (options.runs > 1 && isWorthMore(rounds: round, seconds: spent, PairedGain(gains)))
            {
                // Who begins changes, too.
                let old: RunReport
                if round % 2 == 0 {
                    old = try timed(best.method)
                    runs.append(try timed(method))
                } else {
                    runs.append(try timed(method))
                    old = try timed(best.method)
                }
                gains.append(old.seconds / runs[round].seconds)
                spent += old.seconds + runs[round].seconds
                round += 1
            }
            var result = try result(method, first, runs, gain: PairedGain(gains))
            let lack = isScored ? try score(&result, method) : nil
            rung.result = result
            (rung.verdict, rung.reason) = judged(step, result, before)
            // What would be kept is not, unseen.
            if let lack, rung.verdict == .kept { (rung.verdict, rung.reason) = (.skipped, lack) }
        } catch {
            // What this way lacks or asks too much. What went wrong otherwise, as a full disk, is no verdict.
            switch error.code {
            case .conversionRefused, .invalidRequest: rung.verdict = .skipped
            case .notEnoughMemory, .latentsInvalid: rung.verdict = .rejected
            default:
                guard error.code.kind == .unavailable, error.code != .cancelled else { throw error }
                rung.verdict = .skipped
            }
            rung.reason = error.message
        }
        return rung
    }

    /// Whether another pair of runs may tell more: a few are always made while they are short, and many where it is open on
    /// which side of what is kept the gain lies.
    private func isWorthMore(rounds: Int, seconds: Double, _ gain: PairedGain) -> Bool {
        let factor = gain.isNear(Self.leastGain) ? 4 : 1
        return rounds < factor * Self.mostRuns && seconds < Double(factor) * options.shortRuns
    }

    private func judged(
        _ step: Step, _ result: Ladder.Result, _ before: Ladder.Result
    ) -> (Ladder.Verdict, String) {
        var cost = ""
        if let quality = result.quality, step != .lightning {
            guard quality.ssim >= options.leastSSIM else {
                return (
                    .rejected,
                    "Its videos are too far from the baseline's: SSIM \(quality.ssimText), asked for \(decimal(options.leastSSIM, 2))."
                )
            }
            cost = ", for \(quality.psnrText) and SSIM \(quality.ssimText) to the baseline"
        }
        if let scores = result.scores, let baseline = ladder.rungs.first?.result?.scores,
            let loss = scores.loss(against: baseline, limit: options.mostLost)
        {
            return (.rejected, "Its videos show less of what was asked for: \(loss).")
        }
        let change = Self.change(from: before, to: result)
        if step == .weights, result.gain > 1 / Self.leastGain {
            // Weights in eight bits are for memory.
            let saved = 1 - Double(result.peakBytes) / Double(max(1, before.peakBytes))
            if saved >= 0.05 { return (.kept, "It takes \(percent(saved)) less memory\(cost).") }
        }
        guard PairedGain(median: result.gain, error: result.gainError).isSurely(atLeast: Self.leastGain) else {
            let spread = result.gainError.map { ", give or take \(decimal($0, 3))" } ?? ""
            let speed =
                result.gain < 1
                ? "\(decimal(1 / result.gain, 2)) times slower"
                : "\(decimal(result.gain, 3)) times as fast\(spread), and less than \(decimal(Self.leastGain, 2)) may be noise"
            return (.rejected, "It is \(speed)\(change).")
        }
        let remark = step == .lightning ? "; it makes other videos than the baseline, so look at them" : cost
        return (.kept, "It is \(decimal(result.gain, 2)) times as fast\(change)\(remark).")
    }

    /// Where the difference comes from: the part of the work whose time changed most.
    private static func change(from before: Ladder.Result, to result: Ladder.Result) -> String {
        if result.forwards != before.forwards {
            return ": \(result.forwards) forwards instead of \(before.forwards)"
        }
        func seconds(_ result: Ladder.Result, _ part: String) -> Double {
            (result.shares.first { $0.part == part }?.share ?? 0) * result.seconds
        }
        // In a noisy run a part may seem to change against the whole.
        let changes = LadderPart.allCases.map { part in
            (part: part, from: seconds(before, part.rawValue), to: seconds(result, part.rawValue))
        }.filter { ($0.to < $0.from) == (result.gain > 1) }
        guard let most = changes.max(by: { abs($0.to - $0.from) < abs($1.to - $1.from) }) else { return "" }
        let (to, from) = (formatted(seconds: most.to), formatted(seconds: most.from))
        // What rounds to the same explains nothing.
        return to == from ? "" : ": the part \(most.part.rawValue) takes \(to) instead of \(from)"
    }

    // MARK: Measuring

    /// A run that is over.
    private struct Made {
        var report: RunReport
        var videos: [[UInt8]]
        var firstStep: [Float]
        var peakBytes: Int
    }

    /// Opens the device with a kernel, another than is open.
    private mutating func backend(_ attention: String?) throws(SwanError) -> any Backend {
        if let device, device.attention == attention { return device.backend }
        // Its memory is given back before another takes it.
        device = nil
        let backend = try open(attention)
        device = (attention, backend)
        return backend
    }

    /// A run that is counted. Behind a switch of the kernel, which opens the device anew, one goes before it that is
    /// not: kernels are read and libraries plan.
    private mutating func timed(_ method: Ladder.Method) throws(SwanError) -> RunReport {
        if device?.attention != method.attention { _ = try make(method) }
        return try make(method).report
    }

    private mutating func make(
        _ method: Ladder.Method, keepsFirstStep: Bool = false
    ) throws(SwanError) -> Made {
        try cancellation.check()
        let backend = try backend(method.attention)
        var request = request
        method.apply(to: &request)
        let made = try make(method, request, keepsFirstStep, on: backend)
        kernels[method.attention] = made.report.attention
        return made
    }

    /// - Parameter measure: runs everything on `backend` and notes it; nil to run it there directly.
    private func make(
        _ method: Ladder.Method, _ request: GenerationRequest, _ keepsFirstStep: Bool, on backend: any Backend,
        measuredBy measure: (any Backend)? = nil
    ) throws(SwanError) -> Made {
        let items = Self.items(options)
        var generator = try model.generator(items, request, weights: method.weights)
        try generator.fit(items, to: backend, limit: options.memoryLimit, hostBytes: SystemMemory.available)
        let keeper = keepsFirstStep ? FirstStepKeeper() : nil
        let (report, videos) = try generator.runKeepingVideos(
            items, on: measure ?? backend, cancellation: cancellation, keeper: keeper)
        return Made(
            report: report, videos: videos, firstStep: keeper?.latent ?? [],
            peakBytes: generator.plan.device?.peakBytes ?? generator.plan.residentBytes)
    }

    /// Makes and scores the videos of the other prompts.
    ///
    /// - Returns: why there was no time for it; nil where there was, or nothing is to be scored.
    private mutating func score(_ result: inout Ladder.Result, _ method: Ladder.Method) throws(SwanError) -> String? {
        guard let scenes = options.scenes else { return nil }
        if let lack = lack(of: scoring(result)) { return "Its scores \(lack)" }
        let backend = try backend(method.attention)
        var request = request
        method.apply(to: &request)
        let items = scenes.items(seed: options.seed)
        var generator = try model.generator(items, request, weights: method.weights)
        try generator.fit(items, to: backend, limit: options.memoryLimit, hostBytes: SystemMemory.available)
        result.scores = try scenes.run(generator, items, on: backend, cancellation: cancellation).scores
        return nil
    }

    /// Adds up what was measured of a way.
    private mutating func result(
        _ method: Ladder.Method, _ first: Made, _ runs: [RunReport], gain: PairedGain
    ) throws(SwanError) -> Ladder.Result {
        let sorted = runs.sorted { $0.seconds < $1.seconds }
        let middle = sorted[sorted.count / 2]
        let seconds = median(runs.map(\.seconds))
        let settings = middle.settings
        var quality: VideoQuality?
        if !model.isSynthetic, !ladder.rungs.isEmpty, settings.width >= 11, settings.height >= 11 {
            quality = try VideoQuality(
                first.videos.flatMap(\.self), against: videos.flatMap(\.self), width: settings.width,
                height: settings.height)
        }
        var error: Double?
        if !ladder.rungs.isEmpty, !first.firstStep.isEmpty, first.firstStep.count == firstStep.count {
            error = try velocityError(first.firstStep)
        }
        return Ladder.Result(
            steps: settings.steps, forwards: middle.forwards, seconds: seconds, all: runs.map(\.seconds),
            framesPerMinute: 60 * Double(settings.frames * options.prompts.count) / seconds,
            speedUp: gain.median * (ladder.best?.result?.speedUp ?? 1), gain: gain.median, gainError: gain.error,
            peakBytes: first.peakBytes,
            stages: middle.stages,
            shares: try shares(method, forwards: middle.forwards), quality: quality, velocityError: error,
            videos: try keep(first.videos, settings))
    }

    /// The error of the first velocity: the first step goes from the noise along it, with every solver.
    private func velocityError(_ latent: [Float]) throws(SwanError) -> Double {
        var generator = TorchCPUGenerator(seed: options.seed)
        let plan = try model.generator(Self.items(options), request, weights: nil).plan
        let noise = try generator.normal(Shape(plan.latent)).floats()
        var (difference, size) = (0.0, 0.0)
        for i in noise.indices {
            let (error, velocity) = (Double(latent[i] - firstStep[i]), Double(firstStep[i] - noise[i]))
            difference += error * error
            size += velocity * velocity
        }
        return size > 0 ? (difference / size).squareRoot() : 0
    }

    /// Where the time of a way goes: every operation of a run with eight steps at most timed, those of the forwards
    /// taken as often as they are asked for in all steps.
    ///
    /// - Parameter forwards: of a whole run.
    private mutating func shares(_ method: Ladder.Method, forwards: Int) throws(SwanError) -> [Ladder.Share] {
        let backend = try backend(method.attention)
        var request = request
        method.apply(to: &request)
        if method.preset == nil, ladder.settings.preset == nil {
            request.steps = min(ladder.settings.steps, StepCache.fewestSteps)
        }
        let measured = try MeasuredBackend(backend)
        let made = try make(method, request, false, on: backend, measuredBy: measured)
        let repeats = Double(forwards) / Double(max(1, made.report.forwards))
        let profile = try measured.takeProfile()
        var times: [(part: String, seconds: Double)] = LadderPart.allCases.map { ($0.rawValue, 0) }
        for entry in profile.entries {
            let part = LadderPart(entry.kind)
            guard let place = LadderPart.allCases.firstIndex(of: part) else { continue }
            times[place].seconds += entry.seconds * (part.isOfForwards ? repeats : 1)
        }
        let all = times.reduce(0) { $0 + $1.seconds }
        return times.filter { $0.seconds > 0 }.map { Ladder.Share(part: $0.part, share: $0.seconds / all) }
    }

    /// Writes videos for the page, where ffmpeg is there.
    private func keep(_ videos: [[UInt8]], _ settings: GenerationSettings) throws(SwanError) -> [String] {
        guard let folder = options.videoFolder, MediaTools.installed.ffmpeg != nil else { return [] }
        var names: [String] = []
        for (index, frames) in videos.enumerated() {
            let name = "rung-\(ladder.rungs.count)\(videos.count > 1 ? "-\(index + 1)" : "").mp4"
            let sink = try VideoWriter.open(
                path: "\(folder)/\(name)", width: settings.width, height: settings.height, fps: settings.fps)
            try sink.write(frames: frames, count: settings.frames)
            try sink.finish(unless: { false })
            names.append(name)
        }
        return names
    }
}

/// What operations are for, as far as it decides what makes a run faster.
enum LadderPart: String, CaseIterable {
    case linear, attention, memoryBound = "memory-bound", autoencoder, transfers

    /// Whether it grows with the number of forwards, as far as is told apart: the text encoder's part is small.
    var isOfForwards: Bool { self == .linear || self == .attention || self == .memoryBound }

    init(_ kind: OperationProfile.Kind) {
        switch kind {
        case .linear: self = .linear
        case .attention, .distanceBias: self = .attention
        case .upload, .download, .copy, .weights: self = .transfers
        case .channelsLast, .channelsFirst, .convolution, .upsample, .channelNorm, .normSiLU, .withHistory,
            .frameInterleave, .framesToRGB8:
            self = .autoencoder
        default: self = .memoryBound
        }
    }
}

/// Keeps the latent behind the first step of the first video.
private final class FirstStepKeeper: DenoisingKeeper {
    private(set) var latent: [Float] = []

    func state(of video: Int) -> DenoisingState? { nil }
    func isDue(_ video: Int, isLast: Bool) -> Bool { video == 0 && latent.isEmpty }
    func keep(_ state: DenoisingState, of video: Int, stages: [RunReport.StageTime]) {
        if state.steps == 1 { latent = (try? state.latent.floats()) ?? [] }
    }
}
