public import SwanTensor

extension UMT5Configuration {
    /// Every tensor of an encoder of these sizes, in official names.
    public var tensorShapes: [String: Shape] {
        let inner = heads * headWidth
        var shapes: [String: Shape] = [
            "token_embedding.weight": [vocabulary, width], "norm.weight": [width],
        ]
        for i in 0 ..< layers {
            let block = "blocks.\(i)"
            shapes[block + ".norm1.weight"] = [width]
            shapes[block + ".norm2.weight"] = [width]
            for part in ["q", "k", "v"] { shapes["\(block).attn.\(part).weight"] = [inner, width] }
            shapes[block + ".attn.o.weight"] = [width, inner]
            shapes[block + ".pos_embedding.embedding.weight"] = [buckets, heads]
            shapes[block + ".ffn.gate.0.weight"] = [feedForward, width]
            shapes[block + ".ffn.fc1.weight"] = [feedForward, width]
            shapes[block + ".ffn.fc2.weight"] = [width, feedForward]
        }
        return shapes
    }
}
