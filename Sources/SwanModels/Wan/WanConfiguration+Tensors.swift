public import SwanTensor

extension WanConfiguration {
    /// Every tensor of a transformer of these sizes, in official names.
    public var tensorShapes: [String: Shape] {
        let width = width
        var shapes: [String: Shape] = ["head.modulation": [1, 2, width]]
        func linear(_ name: String, _ inputs: Int, _ outputs: Int) {
            shapes[name + ".weight"] = [outputs, inputs]
            shapes[name + ".bias"] = [outputs]
        }
        linear("patch_embedding", 0, width)
        shapes["patch_embedding.weight"] = [width, inputChannels, patch.frames, patch.height, patch.width]
        linear("text_embedding.0", textWidth, width)
        linear("text_embedding.2", width, width)
        linear("time_embedding.0", frequencyWidth, width)
        linear("time_embedding.2", width, width)
        linear("time_projection.1", width, 6 * width)
        linear("head.head", width, outputChannels * patch.volume)
        for i in 0 ..< layers {
            let block = "blocks.\(i)"
            shapes[block + ".modulation"] = [1, 6, width]
            shapes[block + ".norm3.weight"] = [width]
            shapes[block + ".norm3.bias"] = [width]
            for attention in ["self_attn", "cross_attn"] {
                for part in ["q", "k", "v", "o"] { linear("\(block).\(attention).\(part)", width, width) }
                shapes["\(block).\(attention).norm_q.weight"] = [width]
                shapes["\(block).\(attention).norm_k.weight"] = [width]
            }
            linear(block + ".ffn.0", width, feedForward)
            linear(block + ".ffn.2", feedForward, width)
        }
        return shapes
    }
}
