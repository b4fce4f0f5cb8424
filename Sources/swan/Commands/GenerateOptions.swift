import ArgumentParser
import SwanDiagnostics
import SwanPipeline
import SwanRuntime
import SwanSampling
import SwanTensor

/// The size of a video, as `832x480` or `832*480`.
struct VideoSize: ExpressibleByArgument {
    let width, height: Int

    init?(argument: String) {
        let parts = argument.split(whereSeparator: { $0 == "x" || $0 == "*" || $0 == "×" })
        guard parts.count == 2, let width = Int(parts[0]), let height = Int(parts[1]) else { return nil }
        self.width = width
        self.height = height
    }
}

/// A LoRA file, as `PATH` or `PATH:STRENGTH`.
struct LoRAArgument: ExpressibleByArgument {
    let setting: LoRASetting

    init?(argument: String) {
        if let colon = argument.lastIndex(of: ":"), let strength = Double(argument[argument.index(after: colon)...]) {
            setting = LoRASetting(String(argument[..<colon]), strength: strength)
        } else {
            setting = LoRASetting(argument)
        }
    }
}

/// Where weights shall be, as ``DevicePlan/Weights`` names the places.
struct WeightsArgument: ExpressibleByArgument {
    let place: DevicePlan.Weights

    init(_ place: DevicePlan.Weights) { self.place = place }

    init?(argument: String) {
        guard let place = DevicePlan.Weights(rawValue: argument) else { return nil }
        self.place = place
    }

    var defaultValueDescription: String { place.rawValue }
    static var allValueStrings: [String] { DevicePlan.Weights.allCases.map(\.rawValue) }
}

/// Eight-bit arithmetic of linear layers, as ``EightBitFormat`` names it, or the device's own.
struct PrecisionArgument: ExpressibleByArgument {
    let precision: LinearPrecision

    init?(argument: String) {
        guard let precision = argument == "auto" ? .own : EightBitFormat(rawValue: argument).map(LinearPrecision.init)
        else { return nil }
        self.precision = precision
    }

    static var allValueStrings: [String] { ["auto"] + EightBitFormat.allCases.map(\.rawValue) }
}

/// The step cache's threshold, or `off`.
struct CacheArgument: ExpressibleByArgument {
    /// 0 for off.
    let threshold: Double

    init?(argument: String) {
        if argument == "off" {
            threshold = 0
        } else {
            guard let threshold = Double(argument), threshold > 0, threshold <= 1 else { return nil }
            self.threshold = threshold
        }
    }
}

/// A part of a run's steps, as `0:0.6`, or `off` for all of them.
struct IntervalArgument: ExpressibleByArgument {
    let interval: GuidanceInterval

    init?(argument: String) {
        if argument == "off" {
            interval = .all
            return
        }
        let ends = argument.split(separator: ":", omittingEmptySubsequences: false).map { Double($0) }
        guard ends.count == 2, let start = ends[0], let stop = ends[1] else { return nil }
        interval = GuidanceInterval(start, stop)
        guard interval.isValid else { return nil }
    }
}

/// An amount of memory, as `12GiB`, `800MB` or a number of bytes.
struct ByteCount: ExpressibleByArgument {
    let bytes: Int

    init?(argument: String) {
        let units: [(String, Double)] = [
            ("GiB", 0x1p30), ("MiB", 0x1p20), ("KiB", 0x1p10), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1), ("", 1),
        ]
        for (unit, factor) in units where argument.lowercased().hasSuffix(unit.lowercased()) {
            let number = argument.dropLast(unit.count).filter { $0 != " " }
            guard let value = Double(number), value > 0, value * factor < 1e18 else { continue }
            bytes = Int(value * factor)
            return
        }
        return nil
    }
}

/// A solver by the name that users write.
private func parseSolver(_ name: String) throws -> SolverName {
    guard let solver = SolverName(rawValue: name) else {
        throw ValidationError(
            "There is no solver '\(name)': \(SolverName.allCases.map(\.rawValue).joined(separator: ", ")).")
    }
    return solver
}

/// The options that say what a model is asked for.
struct ModelOptions: ParsableArguments {
    @Option(help: "A model of `swan models`, or a folder in any published layout. Default: swan-tiny.")
    var model: String?
    @Option(help: "A folder with the parts (text encoder, autoencoder, tokenizer) that the model's folder lacks.")
    var base: String?
    @Option(help: "Pixels, as 832x480.")
    var size: VideoSize?
    @Option(help: "Frames, 4k + 1.")
    var frames: Int?
    @Option(help: "Frames per second of the file.")
    var fps: Int?
    @Option(help: "Solver steps.")
    var steps: Int?
    @Option(help: "unipc, dpm++ or euler.", transform: parseSolver)
    var solver: SolverName?
    @Option(help: "The flow's shift: above 1, more steps at high noise.")
    var shift: Double?
    @Option(help: "The noise level below which the low-noise expert works, 0 to 1.")
    var boundary: Double?
    @Option(help: "Guidance scale of both experts; 1 turns it off, and with it the second forward.")
    var guidance: Double?
    @Option(help: "Guidance scale of the high-noise expert.")
    var guidanceHigh: Double?
    @Option(help: "Guidance scale of the low-noise expert.")
    var guidanceLow: Double?
    @Option(
        help: ArgumentHelp(
            "The part of the steps that has guidance, as 0:0.6: the others are spared their second forward; or off, the default.",
            valueName: "start:stop"))
    var guidanceInterval: IntervalArgument?
    @Option(
        help: ArgumentHelp(
            "Take velocities over from step to step until their estimated change adds up to this share of them: 0.05 is usual; or off, the default.",
            valueName: "threshold"))
    var cache: CacheArgument?
    @Option(help: "What the picture should not show. Default: the model's own text.")
    var negative: String?
    @Option(help: "A LoRA for every expert, as PATH or PATH:STRENGTH. May be repeated.")
    var lora: [LoRAArgument] = []
    @Option(help: "A LoRA for the high-noise expert.")
    var loraHigh: [LoRAArgument] = []
    @Option(help: "A LoRA for the low-noise expert.")
    var loraLow: [LoRAArgument] = []
    @Flag(name: .customLong("force-lora"), help: "Merge LoRAs whose names or notes speak of another model.")
    var forcesLoRA = false
    @Option(
        help: ArgumentHelp(
            "\(Preset.all.map(\.name).joined(separator: ", ")), or none: sets LoRA pair, steps, solver, shift, expert split and guidance together.",
            valueName: "name"))
    var preset: String?

    /// What is asked for, as the pipeline understands it.
    func request(hasTwoExperts: Bool) throws -> GenerationRequest {
        var request = GenerationRequest()
        (request.width, request.height) = (size?.width, size?.height)
        request.frames = frames
        request.fps = fps
        request.steps = steps
        request.solver = solver
        request.shift = shift
        request.boundary = boundary
        request.guidanceHigh = guidanceHigh ?? (hasTwoExperts ? guidance : nil)
        request.guidanceLow = guidanceLow ?? guidance
        request.guidanceInterval = guidanceInterval?.interval
        request.cacheThreshold = cache?.threshold
        request.negativePrompt = negative
        request.preset = preset
        func settings(_ arguments: [LoRAArgument]) -> [LoRASetting] {
            arguments.map {
                LoRASetting($0.setting.path, strength: $0.setting.strength, isForced: forcesLoRA ? true : nil)
            }
        }
        if !forcesLoRA {
            try LoRASetting.checkNames(
                high: settings(loraHigh), low: settings(loraLow), both: hasTwoExperts ? settings(lora) : [])
        }
        request.lorasHigh = settings(loraHigh) + (hasTwoExperts ? settings(lora) : [])
        request.lorasLow = settings(loraLow) + settings(lora)
        return request
    }
}

/// The options of what computes and how: values of arithmetic that a device or this version does not have are refused
/// with the reason, others as unknown.
struct DeviceOptions: ParsableArguments {
    @Option(help: "auto, cpu, cuda:0, or reference (plain and slow, for comparison).")
    var device = "auto"
    @Option(
        help:
            "auto, fp32 (CPU), bf16 (GPU), fp8 or int8 (the transformer's linear layers, rounded as they are loaded).")
    var precision = "auto"
    @Option(
        help: "auto, int8 (in eight bits), or on a GPU flash-sm90, cudnn, flash-sm80, plain, int8-sm90 or int8-sm80.")
    var attention = "auto"
    @Option(
        help: "On a GPU, what it may take of its memory; on the CPU, refuse to start if the plan needs more. As 12GiB.")
    var memoryLimit: ByteCount?
    @Option(
        help: ArgumentHelp(
            "Where the transformer's weights are on a GPU: auto, resident (in its memory), pinned (streamed from host memory) or file (streamed from their file).",
            valueName: "place"))
    var weights = WeightsArgument(.auto)

    /// The arithmetic that was asked for; nil where it was not.
    var linearPrecision: LinearPrecision? {
        precision == "auto" ? nil : LinearPrecision(rawValue: precision) ?? .own
    }

    /// - Throws: `cli.option-unavailable`, `cli.option-unknown`.
    func check() throws(SwanError) {
        try Self.check("--precision", precision, known: ["auto", "fp32", "bf16", "fp8", "int8"])
        try Self.check(
            "--attention", attention, known: ["auto", "exact"] + Runtime.attentionNames, later: ["sage", "sparse"])
    }

    /// Opens the device, with the attention kernel that was asked for.
    ///
    /// - Parameter isForPlanning: for a later time; see ``Runtime/openForPlanning(_:)``.
    func open(forPlanning isForPlanning: Bool) throws(SwanError) -> any Backend {
        try Self.open(device, attention: attention, forPlanning: isForPlanning)
    }

    /// Opens a device; `auto` and `exact` leave the choice of the attention kernel to it, which takes an exact one.
    static func open(
        _ device: String, attention: String, forPlanning isForPlanning: Bool = false
    ) throws(SwanError) -> any Backend {
        var runtime = Runtime()
        if attention != "auto", attention != "exact" { runtime.attention = attention }
        let backend = try isForPlanning ? runtime.openForPlanning(device) : runtime.open(device)
        guard runtime.attention == nil || backend.canStreamWeights || backend.attentionKernel == attention else {
            let kernels = Runtime.attentionNames(onHostDevice: backend.name).map { "'\($0)'" }
            throw SwanError(
                .optionUnavailable,
                "--attention \(attention.printable()): \(backend.name) has \(kernels.joined(separator: " and ")).",
                advice: "Leave the option out, or ask for a GPU with --device.")
        }
        return backend
    }

    /// Checks what was asked for against the device that was opened.
    ///
    /// - Throws: `cli.option-unavailable` for arithmetic that it does not do.
    func check(_ backend: any Backend) throws(SwanError) {
        let own = backend.activationType == .bfloat16 ? "bf16" : "fp32"
        guard precision == "auto" || precision == own || EightBitFormat(rawValue: precision) != nil else {
            throw SwanError(
                .optionUnavailable, "--precision \(precision): \(backend.name) computes in \(own).",
                advice: "Leave the option out, or ask for another --device.")
        }
        try Self.check(weights.place, on: backend)
    }

    /// Whether weights can be where they were asked to be.
    static func check(_ weights: DevicePlan.Weights, on backend: any Backend) throws(SwanError) {
        guard weights != .auto, !backend.canStreamWeights else { return }
        throw SwanError(
            .optionUnavailable, "--weights \(weights.rawValue): \(backend.name) computes in host memory.",
            advice: "Leave the option out, or ask for a GPU with --device.")
    }

    private static func check(_ option: String, _ value: String, known: [String], later: [String] = [])
        throws(SwanError)
    {
        if known.contains(value) { return }
        let advice = "Values: \(known.joined(separator: ", "))."
        if later.contains(value) {
            throw SwanError(
                .optionUnavailable, "\(option) \(value) is not in this version.",
                advice: advice)
        }
        throw SwanError(.optionUnknown, "\(option) has no value '\(value.printable())'.", advice: advice)
    }
}

extension SwanError.Code {
    /// An option's value needs something that this version or machine does not have.
    static let optionUnavailable = Self("cli.option-unavailable", .unavailable)
    /// An option has no such value.
    static let optionUnknown = Self("cli.option-unknown", .usage)
}
