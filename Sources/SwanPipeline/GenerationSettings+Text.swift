public import SwanDiagnostics
import SwanSampling

extension GenerationSettings {
    /// One line about what will be made.
    public var summary: String {
        "\(model): \(width)x\(height), \(frames) frames at \(fps) fps, \(preset.map { "preset \($0), " } ?? "")\(steps) \(solver.rawValue) steps, shift \(shift)"
    }
}

extension GenerationRequest {
    /// Takes over every value that this request leaves open from earlier settings.
    public mutating func fill(from earlier: GenerationSettings) {
        width = width ?? earlier.width
        height = height ?? earlier.height
        frames = frames ?? earlier.frames
        fps = fps ?? earlier.fps
        negativePrompt = negativePrompt ?? earlier.negativePrompt
        if preset == nil { preset = earlier.preset ?? "none" }
        guard preset == "none" else { return }
        steps = steps ?? earlier.steps
        solver = solver ?? earlier.solver
        shift = shift ?? earlier.shift
        if earlier.boundary > 0 { boundary = boundary ?? earlier.boundary }
        guidanceHigh = guidanceHigh ?? earlier.guidanceHigh
        guidanceLow = guidanceLow ?? earlier.guidanceLow
        if lorasHigh.isEmpty, lorasLow.isEmpty { (lorasHigh, lorasLow) = (earlier.lorasHigh, earlier.lorasLow) }
    }
}

extension LoRASetting {
    /// Refuses a LoRA whose name speaks of the other expert: the two files of a pair have the same tensors,
    /// so nothing but the name can tell that they were swapped.
    ///
    /// - Throws: `pipeline.invalid-request`.
    public static func checkNames(high: [LoRASetting], low: [LoRASetting]) throws(SwanError) {
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
