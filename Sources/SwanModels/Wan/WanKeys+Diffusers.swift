/// The names of a Wan transformer's layers: official on the left, diffusers' on the right.
///
/// Whole components are matched, never substrings: `norm2` and `norm3` trade places between the two.
///
/// Source: diffusers `scripts/convert_wan_to_diffusers.py`.
public enum WanKeys {
    private static let global: [(official: String, diffusers: String)] = [
        ("patch_embedding", "patch_embedding"),
        ("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
        ("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
        ("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
        ("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
        ("time_projection.1", "condition_embedder.time_proj"),
        ("head.head", "proj_out"),
    ]

    private static let block: [(official: String, diffusers: String)] =
        [("ffn.0", "ffn.net.0.proj"), ("ffn.2", "ffn.net.2"), ("norm3", "norm2")]
        + [("self_attn", "attn1"), ("cross_attn", "attn2")].flatMap { official, diffusers in
            [
                ("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("o", "to_out.0"), ("norm_q", "norm_q"),
                ("norm_k", "norm_k"),
            ]
            .map { ("\(official).\($0)", "\(diffusers).\($1)") }
        }

    private static let globalByDiffusers = Dictionary(
        global.map { ($0.diffusers, $0.official) }, uniquingKeysWith: { first, _ in first })
    private static let blockByDiffusers = Dictionary(
        block.map { ($0.diffusers, $0.official) }, uniquingKeysWith: { first, _ in first })

    /// Whether these are diffusers' names of a Wan transformer.
    public static func isDiffusers(_ names: [String]) -> Bool {
        names.contains("scale_shift_table") && names.contains("condition_embedder.time_proj.weight")
    }

    /// Whether these are the official names of a Wan transformer.
    public static func isOfficial(_ names: [String]) -> Bool {
        names.contains("head.modulation") && names.contains("blocks.0.self_attn.q.weight")
    }

    /// The official path of a layer that diffusers names, or nil for a name it does not have.
    public static func official(layer name: String) -> String? {
        if let official = globalByDiffusers[name] { return official }
        let parts = name.split(separator: ".", maxSplits: 2)
        guard parts.count == 3, parts[0] == "blocks", Int(parts[1]) != nil else { return nil }
        return blockByDiffusers[String(parts[2])].map { "blocks.\(parts[1]).\($0)" }
    }

    /// The official name of a tensor that diffusers names, or nil for a name it does not have.
    public static func official(tensor name: String) -> String? {
        if name == "scale_shift_table" { return "head.modulation" }
        let parts = name.split(separator: ".")
        if parts.count == 3, parts[0] == "blocks", parts[2] == "scale_shift_table" {
            return "blocks.\(parts[1]).modulation"
        }
        for suffix in [".weight", ".bias"] where name.hasSuffix(suffix) {
            return official(layer: String(name.dropLast(suffix.count))).map { $0 + suffix }
        }
        return nil
    }

    /// Every spelling of the layers that a LoRA may change, official and diffusers', and the official path of each.
    public static func spellings(_ configuration: WanConfiguration) -> [String: String] {
        var spellings = Dictionary(uniqueKeysWithValues: layers(configuration).map { ($0, $0) })
        // A path that both know means the official layer: norms trade places between the two, and diffusers' other norm
        // has no weights.
        for (official, diffusers) in global where spellings[diffusers] == nil { spellings[diffusers] = official }
        for i in 0 ..< configuration.layers {
            for (official, diffusers) in block where spellings["blocks.\(i).\(diffusers)"] == nil {
                spellings["blocks.\(i).\(diffusers)"] = "blocks.\(i).\(official)"
            }
        }
        return spellings
    }

    /// The paths of all layers of a transformer that a LoRA may change.
    public static func layers(_ configuration: WanConfiguration) -> Set<String> {
        var paths = Set(global.map(\.official) + ["head"])
        for i in 0 ..< configuration.layers {
            // The block itself holds its modulation.
            paths.insert("blocks.\(i)")
            paths.formUnion(block.map { "blocks.\(i).\($0.official)" })
        }
        return paths
    }
}
