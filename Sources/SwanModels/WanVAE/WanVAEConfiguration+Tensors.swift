public import SwanTensor

extension WanVAEConfiguration {
    /// Every tensor of an autoencoder of these sizes, in official names.
    public var tensorShapes: [String: Shape] {
        let (dim, z) = (baseChannels, latentChannels)
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
        let up = [
            [(4, 4), (4, 4), (4, 4)], [(2, 4), (4, 4), (4, 4)], [(2, 2), (2, 2), (2, 2)], [(1, 1), (1, 1), (1, 1)],
        ]
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
        return shapes
    }
}
