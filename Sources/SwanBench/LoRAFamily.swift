import SwanCheckpoint
import SwanDiagnostics
import SwanTensor

/// A way in which tools write a low-rank change of a model, by names or by kind.
public enum LoRAFamily: String, Sendable, Codable, CaseIterable {
    /// `diffusion_model.blocks.0.self_attn.q.lora_down.weight`, with `alpha`.
    case lightx2v
    /// `lora_unet_blocks_0_self_attn_q.lora_down.weight`, with `alpha`.
    case kohya
    /// `base_model.model.blocks.0.self_attn.q.lora_A.weight`; the scale lies in the factors.
    case peft
    /// `transformer.blocks.0.attn1.to_q.lora_A.weight`; the scale lies in the factors.
    case diffusers
    /// LyCORIS' LoKr: the Kronecker product of 1 and the change.
    case lokr
    /// LyCORIS' LoHa: the change, each element times 1.
    case loha
    /// DoRA: the rows' lengths are those that the changed weight has anyway.
    case dora
    /// The change as a whole, `.diff`.
    case difference
    /// The changed weight as a whole, `.set_weight`.
    case replacement

    /// What a file of this family holds for one layer, by the tensors' names.
    ///
    /// - Parameters:
    ///   - module: the layer's official name, as `blocks.0.self_attn.q`.
    ///   - theirs: diffusers' name of it.
    ///   - weight: the layer's weight, `[outputs, inputs]`, which lengths and replacements are made of.
    func tensors(
        _ module: String, diffusers theirs: String, _ change: LowRankChange, weight: HostTensor
    ) throws(SwanError) -> [String: HostTensor] {
        let name = "diffusion_model." + module
        let (up, down, rank) = (change.up, change.down, change.rank)
        let alpha = HostTensor([1], [change.factor * Float(rank)])
        let shape: Shape = [up.shape[0], down.shape[1]]
        func scaled() throws(SwanError) -> HostTensor {
            HostTensor(up.shape, try up.floats().map { $0 * change.factor })
        }
        func added(to tensor: HostTensor) throws(SwanError) -> HostTensor {
            HostTensor(shape, try tensor.adding(change).floats())
        }
        switch self {
        case .lightx2v:
            return [name + ".lora_up.weight": up, name + ".lora_down.weight": down, name + ".alpha": alpha]
        case .kohya:
            let name = "lora_unet_" + module.replacing(".", with: "_")
            return [name + ".lora_up.weight": up, name + ".lora_down.weight": down, name + ".alpha": alpha]
        case .peft:
            let name = "base_model.model." + module
            return [name + ".lora_B.weight": try scaled(), name + ".lora_A.weight": down]
        case .diffusers:
            let name = "transformer." + theirs
            return [name + ".lora_B.weight": try scaled(), name + ".lora_A.weight": down]
        case .lokr:
            return [
                name + ".lokr_w1": HostTensor([1, 1], [1]), name + ".lokr_w2_a": up, name + ".lokr_w2_b": down,
                name + ".alpha": alpha,
            ]
        case .loha:
            let ones = [Float](repeating: 1, count: shape[0] * rank)
            let parts = [Float](repeating: 1 / Float(rank), count: rank * shape[1])
            return [
                name + ".hada_w1_a": up, name + ".hada_w1_b": down, name + ".hada_w2_a": HostTensor(up.shape, ones),
                name + ".hada_w2_b": HostTensor([rank, shape[1]], parts), name + ".alpha": alpha,
            ]
        case .dora:
            let values = try added(to: weight).floats()
            let lengths = (0 ..< shape[0]).map { row in
                values[row * shape[1] ..< (row + 1) * shape[1]].reduce(0.0) { $0 + Double($1) * Double($1) }
                    .squareRoot()
            }
            return [
                name + ".lora_up.weight": up, name + ".lora_down.weight": down, name + ".alpha": alpha,
                name + ".dora_scale": HostTensor([shape[0], 1], lengths.map(Float.init)),
            ]
        case .difference:
            let nothing = HostTensor(shape, [Float](repeating: 0, count: shape.count))
            return [name + ".diff": try added(to: nothing)]
        case .replacement: return [name + ".set_weight": try added(to: weight)]
        }
    }

    /// The changes of a file in the first family's names, by the layers' official names.
    ///
    /// - Throws: `bench.quality` where the file is in other names.
    static func changes(_ source: any WeightSource) throws(SwanError) -> [String: LowRankChange] {
        var result: [String: LowRankChange] = [:]
        let (prefix, suffix) = ("diffusion_model.", ".lora_down.weight")
        for name in source.names where name.hasPrefix(prefix) && name.hasSuffix(suffix) {
            let stem = String(name.dropLast(suffix.count))
            let down = try source.tensor(name)
            let alpha =
                source.info(stem + ".alpha") == nil
                ? Float(down.shape[0]) : try source.tensor(stem + ".alpha").floats().first ?? 0
            result[String(stem.dropFirst(prefix.count))] = try LowRankChange(
                up: source.tensor(stem + ".lora_up.weight"), down: down, factor: alpha / Float(down.shape[0]))
        }
        guard !result.isEmpty,
            source.names.allSatisfy({ name in
                result.keys.contains { name.hasPrefix(prefix + $0 + ".") }
            })
        else {
            throw SwanError(
                .quality,
                "\(source.origin) is no LoRA of two factors in the names 'diffusion_model.….lora_down.weight'.",
                advice: "Compare LoRA families with a model whose own pair is written so, as swan-tiny's is.")
        }
        return result
    }
}
