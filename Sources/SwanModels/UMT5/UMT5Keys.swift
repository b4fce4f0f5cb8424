/// The names of a UMT5 encoder's tensors: official on the left; Hugging Face's (also diffusers' and
/// ComfyUI's) and llama.cpp's beside them.
public enum UMT5Keys {
    private static let global: [(official: String, huggingFace: String, gguf: String)] = [
        ("token_embedding.weight", "shared.weight", "token_embd.weight"),
        ("norm.weight", "encoder.final_layer_norm.weight", "enc.output_norm.weight"),
    ]

    private static let block: [(official: String, huggingFace: String, gguf: String)] = [
        ("norm1.weight", "layer.0.layer_norm.weight", "attn_norm.weight"),
        ("attn.q.weight", "layer.0.SelfAttention.q.weight", "attn_q.weight"),
        ("attn.k.weight", "layer.0.SelfAttention.k.weight", "attn_k.weight"),
        ("attn.v.weight", "layer.0.SelfAttention.v.weight", "attn_v.weight"),
        ("attn.o.weight", "layer.0.SelfAttention.o.weight", "attn_o.weight"),
        (
            "pos_embedding.embedding.weight", "layer.0.SelfAttention.relative_attention_bias.weight",
            "attn_rel_b.weight"
        ),
        ("norm2.weight", "layer.1.layer_norm.weight", "ffn_norm.weight"),
        ("ffn.gate.0.weight", "layer.1.DenseReluDense.wi_0.weight", "ffn_gate.weight"),
        ("ffn.fc1.weight", "layer.1.DenseReluDense.wi_1.weight", "ffn_up.weight"),
        ("ffn.fc2.weight", "layer.1.DenseReluDense.wo.weight", "ffn_down.weight"),
    ]

    private static let byHuggingFace = Dictionary(
        block.map { ($0.huggingFace, $0.official) }, uniquingKeysWith: { first, _ in first })
    private static let byGGUF = Dictionary(
        block.map { ($0.gguf, $0.official) }, uniquingKeysWith: { first, _ in first })

    /// Whether these are the names of a T5 or UMT5 encoder, in any of the spellings.
    public static func isEncoder(_ names: [String]) -> Bool {
        let names = Set(names)
        return [
            "blocks.0.ffn.fc1.weight", "encoder.block.0.layer.1.DenseReluDense.wi_1.weight", "enc.blk.0.ffn_up.weight",
        ]
        .contains { names.contains($0) }
    }

    /// A second name of the embedding table in Hugging Face files.
    public static let embeddingAlias = "encoder.embed_tokens.weight"

    /// The official name of a tensor in another spelling, or nil for a name that none has.
    public static func official(tensor name: String) -> String? {
        if let row = global.first(where: { $0.huggingFace == name || $0.gguf == name }) { return row.official }
        let parts = name.split(separator: ".", maxSplits: 3)
        guard parts.count == 4, Int(parts[2]) != nil else { return nil }
        let rest = String(parts[3])
        let found =
            parts[0] == "encoder" && parts[1] == "block"
            ? byHuggingFace[rest]
            : parts[0] == "enc" && parts[1] == "blk" ? byGGUF[rest] : nil
        return found.map { "blocks.\(parts[2]).\($0)" }
    }
}
