public import SwanDiagnostics
import SwanModels
import SwanSampling

extension GenerationRequest {
    /// Decides every value: from the request, the preset, the model's defaults.
    ///
    /// - Parameters:
    ///   - model: where presets' LoRAs are.
    ///   - defaults: the model's values.
    /// - Throws: `pipeline.invalid-request` for what the model cannot make, naming the nearest that it
    ///   can, and for options that contradict the preset.
    public func resolve(_ model: ModelFiles, _ defaults: ModelDefaults) throws(SwanError) -> GenerationSettings {
        try resolve(
            hasTwoExperts: model.highNoise != nil, pair: model.lightning, published: model.publishedPairs,
            place: model.root, defaults)
    }

    /// See ``resolve(_:_:)``.
    ///
    /// - Parameters:
    ///   - pair: the LoRAs that the model brings for presets that take any.
    ///   - published: those of presets that take just one release.
    ///   - place: where the model is, for messages.
    func resolve(
        hasTwoExperts: Bool, pair: ModelFiles.LoRAPair?, published: [String: ModelFiles.LoRAPair] = [:], place: String,
        _ defaults: ModelDefaults
    ) throws(SwanError) -> GenerationSettings {
        /// The model's LoRAs for a preset.
        func own(_ preset: Preset) -> ModelFiles.LoRAPair? {
            preset.pairs.count == 1 ? published[preset.pairs[0].release] : pair
        }
        let preset = try self.preset(hasTwoExperts: hasTwoExperts, own, place, defaults)
        var settings = GenerationSettings(
            model: defaults.name, width: width ?? defaults.width, height: height ?? defaults.height,
            frames: frames ?? defaults.frames, fps: fps ?? defaults.fps,
            steps: steps ?? preset?.steps ?? defaults.steps, solver: solver ?? preset?.solver ?? defaults.solver,
            shift: shift ?? preset?.shift ?? defaults.shift,
            boundary: hasTwoExperts ? boundary ?? defaults.boundary : 0,
            guidanceHigh: guidanceHigh ?? preset?.guidance ?? defaults.guidanceHigh,
            guidanceLow: guidanceLow ?? preset?.guidance ?? defaults.guidanceLow,
            negativePrompt: negativePrompt ?? defaults.negativePrompt, preset: preset?.name, lorasHigh: lorasHigh,
            lorasLow: lorasLow, precision: precision?.format,
            cacheThreshold: cacheThreshold == 0 ? nil : cacheThreshold,
            guidanceInterval: guidanceInterval == .all ? nil : guidanceInterval)
        if let preset {
            if let pair = own(preset), !(lorasHigh + lorasLow).contains(where: \.isDistilled) {
                // Others come on top of the preset's.
                settings.lorasHigh.insert(LoRASetting(pair.high), at: 0)
                settings.lorasLow.insert(LoRASetting(pair.low), at: 0)
            }
            // A boundary of the model that would give the experts other steps than the LoRAs were made for.
            if hasTwoExperts,
                try settings.schedule().firstLowNoiseStep(boundary: settings.boundary) != preset.highNoiseSteps
            {
                settings.boundary = Preset.boundary
            }
        }
        if !hasTwoExperts {
            // One transformer has one scale.
            settings.guidanceHigh = settings.guidanceLow
            if guidanceHigh != nil {
                throw SwanError(
                    .invalidRequest,
                    "A guidance for the high-noise expert was given, and \(defaults.name) has one transformer.",
                    advice: "Use --guidance.")
            }
            if boundary != nil {
                throw SwanError(
                    .invalidRequest, "A boundary was asked for, and \(defaults.name) has one transformer.",
                    advice: "Leave --boundary out.")
            }
            if !lorasHigh.isEmpty {
                throw SwanError(
                    .invalidRequest,
                    "A LoRA for the high-noise expert was given, and \(defaults.name) has one transformer.",
                    advice: "Use --lora.")
            }
        }
        try settings.check()
        return settings
    }

    /// The preset to use: the one asked for, else the model's own unless something it fixes was asked for.
    private func preset(
        hasTwoExperts: Bool, _ own: (Preset) -> ModelFiles.LoRAPair?, _ place: String, _ defaults: ModelDefaults
    ) throws(SwanError) -> Preset? {
        guard let name = self.preset ?? defaults.preset, name != "none" else { return nil }
        let preset = try Self.preset(named: name)
        let contradictions = try contradictions(preset, hasTwoExperts: hasTwoExperts)
        if self.preset == nil {
            let asksForOther = !contradictions.isEmpty || !lorasHigh.isEmpty || !lorasLow.isEmpty
            return asksForOther || own(preset) == nil ? nil : preset
        }
        try Self.check(contradictions, preset)
        if hasTwoExperts { try checkPair(for: preset, hasOwn: own(preset) != nil) }
        guard (hasTwoExperts ? namesPair : !lorasLow.isEmpty) || own(preset) != nil else {
            throw SwanError(
                .invalidRequest,
                "The preset \(preset.name) needs a LoRA for each expert, and \(place) brings none.",
                advice: "Name the pair with --lora-high and --lora-low.")
        }
        guard hasTwoExperts else {
            throw SwanError(
                .invalidRequest,
                "The preset \(preset.name) was asked for, and \(defaults.name) has one transformer: the preset's LoRAs are a pair for two experts.",
                advice: "Give a LoRA for this model with --lora, and its steps, solver, shift and guidance.")
        }
        return preset
    }

    /// Whether the LoRAs that were asked for can be a preset's pair: each expert has one that is named after a
    /// distillation, or one that the other has not.
    private var namesPair: Bool {
        let (high, low) = (Set(lorasHigh.map(\.path)), Set(lorasLow.map(\.path)))
        return (lorasHigh.contains(where: \.isDistilled) && lorasLow.contains(where: \.isDistilled))
            || (!high.subtracting(low).isEmpty && !low.subtracting(high).isEmpty)
    }

    /// Refuses half of a pair: the other expert would take the preset's few steps without the LoRA that they need.
    private func checkPair(for preset: Preset, hasOwn: Bool) throws(SwanError) {
        let (high, low) = (lorasHigh.first(where: \.isDistilled), lorasLow.first(where: \.isDistilled))
        guard let half = high ?? low, high == nil || low == nil else { return }
        let (has, lacks) = high == nil ? ("low", "high") : ("high", "low")
        throw SwanError(
            .invalidRequest,
            "The preset \(preset.name) was asked for with \(lastComponent(half.path).printable()) for the \(has)-noise expert, and with nothing of its kind for the \(lacks)-noise one.",
            advice: "Name the pair's other file with --lora-\(lacks)"
                + (hasOwn ? ", or leave this one out: the model brings a pair." : "."))
    }

    private static func preset(named name: String) throws(SwanError) -> Preset {
        guard let preset = Preset.all.first(where: { $0.name == name }) else {
            throw SwanError(
                .invalidRequest, "There is no preset '\(name.printable())'.",
                advice: "Presets: \(Preset.all.map(\.name).joined(separator: ", ")), none.")
        }
        return preset
    }

    private static func check(_ contradictions: [String], _ preset: Preset) throws(SwanError) {
        guard contradictions.isEmpty else {
            throw SwanError(
                .invalidRequest,
                "The preset \(preset.name) was asked for together with \(contradictions.joined(separator: " and ")): \(preset.reason).",
                advice: "Leave these options out, or the preset.")
        }
    }

    /// The same with what its preset sets, and without the preset's LoRAs: for random weights, which LoRAs would be merged
    /// into before anything is measured.
    ///
    /// - Parameters:
    ///   - hasTwoExperts: whether the model has.
    ///   - model: its name, for messages.
    /// - Throws: `pipeline.invalid-request` for what no preset is, what contradicts it, and a model with one transformer.
    public func withoutLoRAs(hasTwoExperts: Bool, model: String) throws(SwanError) -> GenerationRequest {
        guard let name = preset, name != "none" else { return self }
        let preset = try Self.preset(named: name)
        guard hasTwoExperts else {
            throw SwanError(
                .invalidRequest, "The preset \(preset.name) was asked for, and \(model) has one transformer.",
                advice: "Leave the preset out, or take a model with two experts.")
        }
        try Self.check(try contradictions(preset, hasTwoExperts: true), preset)
        var request = self
        request.preset = "none"
        (request.steps, request.solver, request.shift) = (preset.steps, preset.solver, preset.shift)
        (request.guidanceHigh, request.guidanceLow) = (preset.guidance, preset.guidance)
        return request
    }

    /// The options that say something else than the preset.
    private func contradictions(_ preset: Preset, hasTwoExperts: Bool) throws(SwanError) -> [String] {
        var found: [String] = []
        if hasTwoExperts, let boundary {
            let schedule = try FlowSchedule(preset.solver, steps: preset.steps, shift: preset.shift)
            let steps = schedule.firstLowNoiseStep(boundary: boundary)
            if steps != preset.highNoiseSteps {
                found.append(
                    "--boundary \(boundary), \(steps) steps of the high-noise expert instead of \(preset.highNoiseSteps)"
                )
            }
        }
        if let steps, steps != preset.steps { found.append("--steps \(steps)") }
        if let solver, solver != preset.solver { found.append("--solver \(solver.rawValue)") }
        if let shift, shift != preset.shift { found.append("--shift \(shift)") }
        if let guidanceHigh, guidanceHigh != preset.guidance { found.append("guidance \(guidanceHigh)") }
        if let guidanceLow, guidanceLow != preset.guidance, guidanceLow != guidanceHigh {
            found.append("guidance \(guidanceLow)")
        }
        if let cacheThreshold, cacheThreshold != 0, preset.steps < StepCache.fewestSteps {
            found.append("--cache \(cacheThreshold)")
        }
        if let guidanceInterval, guidanceInterval != .all, !Guidance.isOn(preset.guidance) {
            found.append("--guidance-interval \(guidanceInterval.start):\(guidanceInterval.stop)")
        }
        return found
    }
}

extension GenerationSettings {
    /// Sides are multiples of the autoencoder's stride times the patch.
    static let sideMultiple = 16
    /// Positions per axis for which the rotary embedding was made: 1024 tokens of 16 pixels.
    static let largestSide = 1024 * 16

    /// Checks what the model can make.
    ///
    /// - Throws: `pipeline.invalid-request`, `sampling.invalid-schedule`.
    func check() throws(SwanError) {
        for (name, side) in [("width", width), ("height", height)] {
            guard side >= Self.sideMultiple, side % Self.sideMultiple == 0, side <= Self.largestSide else {
                let below = min(max(side / Self.sideMultiple, 1) * Self.sideMultiple, Self.largestSide)
                let above = min(below + Self.sideMultiple, Self.largestSide)
                throw SwanError(
                    .invalidRequest,
                    "A \(name) of \(side) was asked for, expected a multiple of \(Self.sideMultiple) up to \(Self.largestSide).",
                    advice: below == above || side < Self.sideMultiple
                        ? "The nearest is \(below)." : "The nearest are \(below) and \(above).")
            }
        }
        guard frames >= 1, frames % 4 == 1, frames <= 4093 else {
            // Clamped first: no arithmetic on a number that may be any.
            let below = (min(max(frames, 1), 4093) - 1) / 4 * 4 + 1
            throw SwanError(
                .invalidRequest, "\(frames) frames were asked for, expected 4k + 1 up to 4093.",
                advice: frames < 1 || frames > 4093
                    ? "The nearest is \(below)." : "The nearest are \(below) and \(below + 4).")
        }
        guard (1 ... 240).contains(fps) else {
            throw SwanError(.invalidRequest, "\(fps) frames per second were asked for, expected 1 to 240.")
        }
        for guidance in [guidanceHigh, guidanceLow] where !(guidance >= 0 && guidance <= 100) {
            throw SwanError(.invalidRequest, "A guidance of \(guidance) was asked for, expected 0 to 100.")
        }
        if let guidanceInterval {
            guard guidanceInterval.isValid else {
                throw SwanError(
                    .invalidRequest,
                    "Guidance from \(guidanceInterval.start) to \(guidanceInterval.stop) of the steps was asked for, expected a part of 0 to 1."
                )
            }
            guard isGuided else {
                throw SwanError(
                    .invalidRequest, "A part of the steps was named for guidance, which is off.",
                    advice: "Leave --guidance-interval out, or give a --guidance other than 1.")
            }
        }
        if let cacheThreshold {
            guard cacheThreshold > 0, cacheThreshold <= 1 else {
                throw SwanError(
                    .invalidRequest,
                    "A threshold of \(cacheThreshold) was asked for the step cache, expected 0 to 1.",
                    advice: "\(StepCache.usualThreshold) is usual.")
            }
            guard steps >= StepCache.fewestSteps else {
                throw SwanError(
                    .invalidRequest,
                    "The step cache was asked for with \(steps) steps, of which it can spare none.",
                    advice: "Leave --cache out, or ask for \(StepCache.fewestSteps) steps or more.")
            }
        }
        guard boundary >= 0, boundary <= 1 else {
            throw SwanError(.invalidRequest, "A boundary of \(boundary) was asked for, expected 0 to 1.")
        }
        for lora in lorasHigh + lorasLow where !lora.strength.isFinite {
            throw SwanError(.invalidRequest, "The strength of \(lora.path) is no number.")
        }
        _ = try schedule()
    }

    /// Whether any step has guidance.
    public var isGuided: Bool { Guidance.isOn(guidanceHigh) && boundary > 0 || Guidance.isOn(guidanceLow) }

    /// Whether a step has guidance.
    func isGuided(_ step: Int, isHigh: Bool) -> Bool {
        Guidance.isOn(isHigh ? guidanceHigh : guidanceLow) && guidanceInterval?.contains(step, of: steps) != false
    }

    /// The noise levels of the run.
    func schedule() throws(SwanError) -> FlowSchedule { try FlowSchedule(solver, steps: steps, shift: shift) }
}
