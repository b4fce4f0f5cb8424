/// One thing that a LoRA file says of a module.
enum LoRAPart: Sendable, CaseIterable {
    /// Low-rank factors, their scale, and what one trainer adds to the bias beside them.
    case down, up, alpha, upBias
    /// Whole differences: of the weight, the bias, a block's modulation.
    case difference, biasDifference, modulationDifference
    /// A weight that takes the old one's place.
    case replacement
    /// LoKr: factors of a Kronecker product, each whole or itself of low rank.
    case kroneckerLeft, kroneckerLeftUp, kroneckerLeftDown, kroneckerRight, kroneckerRightUp, kroneckerRightDown
    /// LoHa: two products whose elements are multiplied.
    case hadamardFirstUp, hadamardFirstDown, hadamardSecondUp, hadamardSecondDown
    /// DoRA as PEFT keeps it: the length of each row of the changed weight.
    case magnitude
    /// DoRA as LyCORIS, OneTrainer and ComfyUI keep it: lengths of rows, `[outputs, 1]`, or of columns, `[1, inputs]`.
    case doraScale
    /// Factors of convolutions over more than one place, which no linear layer has.
    case middle
}

/// The names of LoRA files' tensors, of all tools.
public enum LoRANames {
    /// How a suffix of a tensor's name is used. Longer suffixes stand before those that they end in.
    private static let suffixes: [(suffix: String, part: LoRAPart)] = [
        (".lora_down.weight", .down), (".lora_up.weight", .up), (".lora_mid.weight", .middle),
        (".lora_A.default.weight", .down), (".lora_B.default.weight", .up), (".lora_B.default.bias", .upBias),
        (".lora_A.weight", .down), (".lora_B.weight", .up), (".lora_B.bias", .upBias),
        (".lora_magnitude_vector.default.weight", .magnitude), (".lora_magnitude_vector.weight", .magnitude),
        (".lora_magnitude_vector", .magnitude), (".dora_scale", .doraScale),
        (".lora.down.weight", .down), (".lora.up.weight", .up),
        ("_lora.down.weight", .down), ("_lora.up.weight", .up),
        (".lora_linear_layer.down.weight", .down), (".lora_linear_layer.up.weight", .up),
        (".lora_A", .down), (".lora_B", .up),
        (".lokr_w1_a", .kroneckerLeftUp), (".lokr_w1_b", .kroneckerLeftDown), (".lokr_w1", .kroneckerLeft),
        (".lokr_w2_a", .kroneckerRightUp), (".lokr_w2_b", .kroneckerRightDown), (".lokr_w2", .kroneckerRight),
        (".lokr_t2", .middle), (".lokr_t1", .middle), (".hada_t1", .middle), (".hada_t2", .middle),
        (".hada_w1_a", .hadamardFirstUp), (".hada_w1_b", .hadamardFirstDown),
        (".hada_w2_a", .hadamardSecondUp), (".hada_w2_b", .hadamardSecondDown),
        (".alpha", .alpha), (".diff_b", .biasDifference), (".diff_m", .modulationDifference),
        (".diff", .difference), (".set_weight", .replacement),
    ]

    /// Prefixes that tools put before a module's path; some put two.
    private static let prefixes = [
        "base_model.model.", "model.diffusion_model.", "diffusion_model.", "transformer.", "transformer_2.", "unet.",
        "model.",
    ]

    /// The prefix under which files with both experts of a model keep the low-noise one.
    static let secondExpert = "transformer_2."

    /// The path of the module and what is said of it; nil for a name of another kind.
    static func split(_ name: String) -> (base: String, part: LoRAPart)? {
        for (suffix, part) in suffixes where name.hasSuffix(suffix) {
            return (String(name.dropLast(suffix.count)), part)
        }
        return nil
    }

    /// The module's path without what tools put before it: each form that it may have.
    static func candidates(_ base: String) -> [String] {
        var found = [base]
        var rest = base
        while let prefix = prefixes.first(where: rest.hasPrefix) {
            rest = String(rest.dropFirst(prefix.count))
            found.append(rest)
        }
        return found
    }

    /// Whether a file's names are those of a LoRA of any kind.
    public static func areThere(_ names: [String]) -> Bool {
        names.contains { name in
            guard let part = split(name)?.part else { return false }
            return part != .alpha
        }
    }

    /// Whether a file holds changes of the low-noise expert and none of the other.
    public static func areForLowNoiseOnly(_ names: [String]) -> Bool {
        !names.isEmpty && names.allSatisfy { $0.hasPrefix(secondExpert) }
    }

    /// The module's path of a tensor that holds a low-rank pair's inner factor, `[rank, inputs]`; nil for others.
    public static func moduleOfDown(_ name: String) -> String? {
        guard let (base, part) = split(name), part == .down else { return nil }
        return candidates(base).last
    }
}
