public import SwanDiagnostics
public import SwanSampling

/// A recipe that sets LoRA pair, steps, solver, shift, expert split and guidance together.
public struct Preset: Sendable, Hashable {
    /// The name that users write.
    public let name: String
    /// Solver steps.
    public let steps: Int
    /// The solver.
    public let solver: SolverName
    /// The flow's shift.
    public let shift: Double
    /// Guidance scale of both experts; 1 is off.
    public let guidance: Double
    /// Steps of the high-noise expert; the others are the low-noise expert's.
    public let highNoiseSteps: Int
    /// Why other values are refused.
    public let reason: String
    /// The published pairs that it takes, best first.
    let pairs: [PublishedPair]

    /// The noise level between the experts where a model's own would cut the steps elsewhere.
    static let boundary = 0.875

    private init(_ name: String, steps: Int = 4, pairs: [PublishedPair]) {
        (self.name, self.steps, self.pairs) = (name, steps, pairs)
        (solver, shift, guidance, highNoiseSteps) = (.euler, 5, 1, steps / 2)
        reason =
            "its LoRA pair was distilled for 4 Euler steps at shift 5 with guidance folded in, the first half of them the high-noise expert's"
    }

    /// Wan2.2-Lightning: 4 Euler steps without guidance, at the timesteps 1000, 937.5, 833.3 and 625
    /// that its LoRA pairs were trained for, two of them for each expert. Takes the newest pair that is there.
    ///
    /// Source: Wan2.2-Lightning `README.md` and `wan/utils/fm_solvers_euler.py`.
    public static let lightning = Preset("lightning", pairs: PublishedPair.all)

    /// All presets: the newest pair; each published pair by name; eight steps by the same rule, which its makers suggest
    /// for finer pictures.
    public static let all =
        [lightning] + PublishedPair.all.map { Preset("lightning-\($0.release)", pairs: [$0]) }
        + [Preset("lightning-8steps", steps: 8, pairs: PublishedPair.all)]

    /// The timesteps that the steps are at.
    public func timesteps() throws(SwanError) -> [Double] {
        try FlowSchedule(solver, steps: steps, shift: shift).timesteps
    }
}

/// A pair of Lightning LoRAs for Wan2.2-T2V-A14B, by the names under which it is published.
struct PublishedPair: Sendable, Hashable {
    /// What people call it.
    let release: String
    /// Folders that hold `high_noise_model.safetensors` and `low_noise_model.safetensors`.
    private let folders: [String]
    /// Names of the two files where they stand alone, with `*` for the expert's word.
    private let files: [(pattern: String, high: String, low: String)]

    static func == (a: Self, b: Self) -> Bool { a.release == b.release }
    func hash(into hasher: inout Hasher) { hasher.combine(release) }

    /// All pairs, the newest first.
    ///
    /// Source: Hugging Face `lightx2v/Wan2.2-Lightning`, `lightx2v/Wan2.2-Distill-Loras`,
    /// `Comfy-Org/Wan_2.2_ComfyUI_Repackaged`, `Kijai/WanVideo_comfy`.
    static let all = [
        PublishedPair(
            release: "1217", folders: [],
            files: [("wan2.2_t2v_A14b_*_noise_lora_rank64_lightx2v_4step_1217.safetensors", "high", "low")]),
        PublishedPair(release: "v2.0", folders: ["Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V2.0"], files: []),
        PublishedPair(release: "250928", folders: ["Wan2.2-T2V-A14B-4steps-lora-250928"], files: []),
        PublishedPair(
            release: "v1.1", folders: ["Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1"],
            files: [("wan2.2_t2v_lightx2v_4steps_lora_v1.1_*_noise.safetensors", "high", "low")]),
        PublishedPair(
            release: "v1", folders: ["Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1"],
            files: [("Wan2.2-Lightning_T2V-A14B-4steps-lora_*_fp16.safetensors", "HIGH", "LOW")]),
    ]

    /// The pair's files at or below a model's folder, nil where they are not both there.
    func find(in folder: Folder) -> ModelFiles.LoRAPair? {
        let places = ["", "lightning/", "loras/", "split_files/loras/", "LoRAs/", "Wan22-Lightning/"]
        for place in places {
            for name in folders {
                if let high = folder.find("\(place)\(name)/high_noise_model.safetensors"),
                    let low = folder.find("\(place)\(name)/low_noise_model.safetensors")
                {
                    return ModelFiles.LoRAPair(high: high, low: low)
                }
            }
            for (pattern, high, low) in files {
                if let high = folder.find(place + pattern.replacing("*", with: high)),
                    let low = folder.find(place + pattern.replacing("*", with: low))
                {
                    return ModelFiles.LoRAPair(high: high, low: low)
                }
            }
        }
        return nil
    }
}

extension LoRASetting {
    /// Whether the file's name, or its folder's, says that it was distilled for few steps.
    var isDistilled: Bool {
        let words = path.split(separator: "/").suffix(2).joined(separator: " ").lowercased()
        return ["lightning", "lightx2v", "4step", "8step", "distill"].contains { words.contains($0) }
    }
}
