public import SwanDiagnostics
import SwanSampling
import SwanTensor

extension GenerationSettings {
    /// One line about what will be made.
    public var summary: String {
        "\(model): \(width)x\(height), \(frames) frames at \(fps) fps, \(preset.map { "preset \($0), " } ?? "")\(steps) \(solver.rawValue) steps, shift \(shift)\(precision.map { ", \($0.rawValue)" } ?? "")\(savings)"
    }
}

extension GenerationSettings {
    /// What spares forwards of the network.
    private var savings: String {
        (cacheThreshold.map { ", step cache \($0)" } ?? "")
            + (guidanceInterval.map { ", guidance from \($0.start) to \($0.stop) of the steps" } ?? "")
    }

    /// What has to be said of settings that are allowed and seldom meant; nil for most.
    var remark: String? {
        guard preset == nil, let lora = (lorasHigh + lorasLow).first(where: \.isDistilled),
            steps > 8 || guidanceHigh != 1 || guidanceLow != 1 || solver != .euler
        else { return nil }
        return
            "\(lastComponent(lora.path).printable()) is named after a distillation for few steps without guidance, which these settings are not: --preset lightning has its recipe."
    }
}

extension GenerationRequest {
    /// Takes over every value that this request leaves open from earlier settings.
    ///
    /// - Parameters:
    ///   - earlier: how the earlier video was made.
    ///   - model: brings the preset's LoRA pair, wherever it lay when the earlier video was made.
    ///   - isSameModel: whether the earlier video was made with it. What only says that a model has one
    ///     transformer is not asked of another.
    public mutating func fill(from earlier: GenerationSettings, _ model: ModelFiles, isSameModel: Bool = true) {
        width = width ?? earlier.width
        height = height ?? earlier.height
        frames = frames ?? earlier.frames
        fps = fps ?? earlier.fps
        negativePrompt = negativePrompt ?? earlier.negativePrompt
        precision = precision ?? earlier.precision.map { LinearPrecision($0) }
        if model.highNoise != nil, isSameModel || earlier.boundary > 0 { boundary = boundary ?? earlier.boundary }
        if preset == nil { preset = earlier.preset ?? "none" }
        if preset == earlier.preset ?? "none", lorasHigh.isEmpty, lorasLow.isEmpty, !earlier.usesPair(of: model) {
            (lorasHigh, lorasLow) = (earlier.lorasHigh, earlier.lorasLow)
        }
        // What spares forwards, where other steps or guidance that were asked for leave it something to spare.
        if preset == earlier.preset ?? "none" {
            if steps ?? earlier.steps >= StepCache.fewestSteps {
                cacheThreshold = cacheThreshold ?? earlier.cacheThreshold
            }
            if [guidanceHigh, guidanceLow].contains(where: { $0.map(Guidance.isOn) ?? true }) {
                guidanceInterval = guidanceInterval ?? earlier.guidanceInterval
            }
        }
        // What a preset had fixed makes no sense without it.
        guard preset == "none", earlier.preset == nil else { return }
        steps = steps ?? earlier.steps
        solver = solver ?? earlier.solver
        shift = shift ?? earlier.shift
        if model.highNoise != nil { guidanceHigh = guidanceHigh ?? earlier.guidanceHigh }
        guidanceLow = guidanceLow ?? earlier.guidanceLow
    }
}

extension GenerationSettings {
    /// Whether the preset's LoRAs were the pair that comes with a model: the same names in its folder, and
    /// full strength.
    fileprivate func usesPair(of model: ModelFiles) -> Bool {
        guard preset != nil, let pair = model.lightning, (lorasHigh + lorasLow).allSatisfy({ $0.strength == 1 })
        else { return false }
        func names(_ path: String) -> [Substring] { path.split(separator: "/").suffix(2) }
        return lorasHigh.map { names($0.path) } == [names(pair.high)]
            && lorasLow.map { names($0.path) } == [names(pair.low)]
    }
}

extension LoRASetting {
    /// Refuses a LoRA whose name speaks of the other expert: the two files of a pair have the same tensors,
    /// so nothing but the name can tell that they were swapped.
    ///
    /// - Throws: `pipeline.invalid-request`.
    public static func checkNames(
        high: [LoRASetting], low: [LoRASetting], both: [LoRASetting] = []
    ) throws(SwanError) {
        for lora in both {
            guard let found = ExpertWord(in: lastComponent(lora.path)) else { continue }
            throw SwanError(
                .invalidRequest,
                "--lora was given \(lastComponent(lora.path).printable()), which is named after the \(found.rawValue)-noise expert, and the model has two.",
                advice:
                    "Give it with --lora-\(found.rawValue), and the other expert's file with --lora-\(found == .high ? "low" : "high")."
            )
        }
        for (loras, word) in [(high, ExpertWord.high), (low, ExpertWord.low)] {
            for lora in loras {
                guard let found = ExpertWord(in: lastComponent(lora.path)), found != word else { continue }
                throw SwanError(
                    .invalidRequest,
                    "--lora-\(word.rawValue) was given \(lastComponent(lora.path).printable()), which is named after the \(found.rawValue)-noise expert.",
                    advice: "Swap the two files, or rename them if the names are wrong.")
            }
        }
    }
}
