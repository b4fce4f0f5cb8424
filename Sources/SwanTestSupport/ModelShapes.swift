public import SwanModels
public import SwanTensor

extension FilledWeights {
    /// A Wan transformer in official names.
    public static func transformer(_ config: WanConfiguration) -> FilledWeights {
        let width = config.width
        let patch = config.patch
        var shapes: [String: Shape] = ["head.modulation": [1, 2, width]]
        func linear(_ name: String, _ inputs: Int, _ outputs: Int) {
            shapes[name + ".weight"] = [outputs, inputs]
            shapes[name + ".bias"] = [outputs]
        }
        linear("patch_embedding", 0, width)
        shapes["patch_embedding.weight"] = [width, config.inputChannels, patch.frames, patch.height, patch.width]
        linear("text_embedding.0", config.textWidth, width)
        linear("text_embedding.2", width, width)
        linear("time_embedding.0", config.frequencyWidth, width)
        linear("time_embedding.2", width, width)
        linear("time_projection.1", width, 6 * width)
        linear("head.head", width, config.outputChannels * patch.volume)
        for i in 0 ..< config.layers {
            let block = "blocks.\(i)"
            shapes[block + ".modulation"] = [1, 6, width]
            shapes[block + ".norm3.weight"] = [width]
            shapes[block + ".norm3.bias"] = [width]
            for attention in ["self_attn", "cross_attn"] {
                for part in ["q", "k", "v", "o"] { linear("\(block).\(attention).\(part)", width, width) }
                shapes["\(block).\(attention).norm_q.weight"] = [width]
                shapes["\(block).\(attention).norm_k.weight"] = [width]
            }
            linear(block + ".ffn.0", width, config.feedForward)
            linear(block + ".ffn.2", config.feedForward, width)
        }
        return FilledWeights(shapes)
    }

    /// A UMT5 encoder in official names; tables are filled as inputs.
    public static func textEncoder(_ config: UMT5Configuration) -> FilledWeights {
        let inner = config.heads * config.headWidth
        var shapes: [String: Shape] = [
            "token_embedding.weight": [config.vocabulary, config.width], "norm.weight": [config.width],
        ]
        var inputs: Set = ["token_embedding.weight"]
        for i in 0 ..< config.layers {
            let block = "blocks.\(i)"
            shapes[block + ".norm1.weight"] = [config.width]
            shapes[block + ".norm2.weight"] = [config.width]
            for part in ["q", "k", "v"] { shapes["\(block).attn.\(part).weight"] = [inner, config.width] }
            shapes[block + ".attn.o.weight"] = [config.width, inner]
            shapes[block + ".pos_embedding.embedding.weight"] = [config.buckets, config.heads]
            inputs.insert(block + ".pos_embedding.embedding.weight")
            shapes[block + ".ffn.gate.0.weight"] = [config.feedForward, config.width]
            shapes[block + ".ffn.fc1.weight"] = [config.feedForward, config.width]
            shapes[block + ".ffn.fc2.weight"] = [config.width, config.feedForward]
        }
        return FilledWeights(shapes, inputs: inputs)
    }

    /// A Wan2.1 autoencoder in official names.
    public static func autoencoder(baseChannels dim: Int, latentChannels z: Int) -> FilledWeights {
        var shapes: [String: Shape] = [:]
        func conv(_ name: String, _ inputs: Int, _ outputs: Int, _ kernel: Int...) {
            shapes[name + ".weight"] = Shape([outputs, inputs] + kernel)
            shapes[name + ".bias"] = [outputs]
        }
        func residual(_ name: String, _ inputs: Int, _ outputs: Int) {
            shapes[name + ".residual.0.gamma"] = [inputs, 1, 1, 1]
            conv(name + ".residual.2", inputs, outputs, 3, 3, 3)
            shapes[name + ".residual.3.gamma"] = [outputs, 1, 1, 1]
            conv(name + ".residual.6", outputs, outputs, 3, 3, 3)
            if inputs != outputs { conv(name + ".shortcut", inputs, outputs, 1, 1, 1) }
        }
        func middle(_ name: String) {
            residual(name + ".0", 4 * dim, 4 * dim)
            shapes[name + ".1.norm.gamma"] = [4 * dim, 1, 1]
            conv(name + ".1.to_qkv", 4 * dim, 12 * dim, 1, 1)
            conv(name + ".1.proj", 4 * dim, 4 * dim, 1, 1)
            residual(name + ".2", 4 * dim, 4 * dim)
        }
        conv("conv1", 2 * z, 2 * z, 1, 1, 1)
        conv("conv2", z, z, 1, 1, 1)

        conv("encoder.conv1", 3, dim, 3, 3, 3)
        // Channels in and out of each residual block, in order; between the pairs a downsampling.
        let down = [[(1, 1), (1, 1)], [(1, 2), (2, 2)], [(2, 4), (4, 4)], [(4, 4), (4, 4)]]
        var index = 0
        for (stage, blocks) in down.enumerated() {
            for (inputs, outputs) in blocks {
                residual("encoder.downsamples.\(index)", inputs * dim, outputs * dim)
                index += 1
            }
            guard stage < 3, let channels = blocks.last?.1 else { continue }
            conv("encoder.downsamples.\(index).resample.1", channels * dim, channels * dim, 3, 3)
            if stage > 0 { conv("encoder.downsamples.\(index).time_conv", channels * dim, channels * dim, 3, 1, 1) }
            index += 1
        }
        middle("encoder.middle")
        shapes["encoder.head.0.gamma"] = [4 * dim, 1, 1, 1]
        conv("encoder.head.2", 4 * dim, 2 * z, 3, 3, 3)

        conv("decoder.conv1", z, 4 * dim, 3, 3, 3)
        middle("decoder.middle")
        let up = [[(4, 4), (4, 4), (4, 4)], [(2, 4), (4, 4), (4, 4)], [(2, 2), (2, 2), (2, 2)], [(1, 1), (1, 1), (1, 1)]]
        index = 0
        for (stage, blocks) in up.enumerated() {
            for (inputs, outputs) in blocks {
                residual("decoder.upsamples.\(index)", inputs * dim, outputs * dim)
                index += 1
            }
            guard stage < 3, let channels = blocks.last?.1 else { continue }
            conv("decoder.upsamples.\(index).resample.1", channels * dim, channels * dim / 2, 3, 3)
            if stage < 2 { conv("decoder.upsamples.\(index).time_conv", channels * dim, 2 * channels * dim, 3, 1, 1) }
            index += 1
        }
        shapes["decoder.head.0.gamma"] = [dim, 1, 1, 1]
        conv("decoder.head.2", dim, 3, 3, 3, 3)
        return FilledWeights(shapes)
    }
}
