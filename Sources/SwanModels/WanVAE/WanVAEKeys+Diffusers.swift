/// The names of a Wan2.1 autoencoder's layers: diffusers' → official.
///
/// Source: diffusers `scripts/convert_wan_to_diffusers.py`.
public enum WanVAEKeys {
    private static let residual = [
        "norm1": "residual.0", "conv1": "residual.2", "norm2": "residual.3", "conv2": "residual.6",
        "conv_shortcut": "shortcut",
    ]
    private static let global = [
        "quant_conv": "conv1", "post_quant_conv": "conv2", "encoder.conv_in": "encoder.conv1",
        "decoder.conv_in": "decoder.conv1", "encoder.norm_out": "encoder.head.0", "decoder.norm_out": "decoder.head.0",
        "encoder.conv_out": "encoder.head.2", "decoder.conv_out": "decoder.head.2",
    ]

    /// Whether these are the official names of a Wan autoencoder.
    public static func isOfficial(_ names: [String]) -> Bool {
        names.contains("decoder.middle.0.residual.0.gamma") && names.contains("conv2.weight")
    }

    /// Whether these are diffusers' names of a Wan autoencoder.
    public static func isDiffusers(_ names: [String]) -> Bool {
        names.contains("decoder.conv_in.weight") && names.contains("post_quant_conv.weight")
    }

    /// The official name of a tensor that diffusers names, or nil for a name it does not have.
    public static func official(tensor name: String) -> String? {
        guard let dot = name.lastIndex(of: ".") else { return nil }
        return official(layer: String(name[..<dot])).map { $0 + name[dot...] }
    }

    private static func official(layer name: String) -> String? {
        if let official = global[name] { return official }
        let parts = name.split(separator: ".").map(String.init)
        guard parts.count >= 4, parts[0] == "encoder" || parts[0] == "decoder" else { return nil }
        let half = parts[0]
        func inner(_ from: Int) -> String? {
            let rest = parts[from...].joined(separator: ".")
            return residual[rest]
                ?? (["resample.1", "time_conv", "norm", "to_qkv", "proj"].contains(rest) ? rest : nil)
        }
        switch (parts[1], parts[2]) {
        case ("mid_block", "resnets"):
            guard let index = Int(parts[3]), (0 ..< 2).contains(index) else { return nil }
            return inner(4).map { "\(half).middle.\(index * 2).\($0)" }
        case ("mid_block", "attentions"):
            return parts[3] == "0" ? inner(4).map { "\(half).middle.1.\($0)" } : nil
        case ("down_blocks", let index):
            guard half == "encoder", Int(index) != nil else { return nil }
            return inner(3).map { "encoder.downsamples.\(index).\($0)" }
        case ("up_blocks", let block):
            // Three residual blocks and a doubling to a stage, numbered through in the official names.
            guard half == "decoder", parts.count >= 6, let block = Int(block), (0 ..< 4).contains(block),
                let index = Int(parts[4])
            else { return nil }
            let position = parts[3] == "resnets" ? index : parts[3] == "upsamplers" && index == 0 ? 3 : nil
            guard let position, (0 ..< 4).contains(position) else { return nil }
            return inner(5).map { "decoder.upsamples.\(block * 4 + position).\($0)" }
        default: return nil
        }
    }
}
