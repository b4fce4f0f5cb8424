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
        var channels = dim
        var index = 0
        for (stage, multiple) in Self.multiples.enumerated() {
            for _ in 0 ..< Self.residualBlocks {
                residual("encoder.downsamples.\(index)", channels, multiple * dim)
                channels = multiple * dim
                index += 1
            }
            guard stage < Self.halvesTime.count else { continue }
            conv("encoder.downsamples.\(index).resample.1", channels, channels, 3, 3)
            if Self.halvesTime[stage] { conv("encoder.downsamples.\(index).time_conv", channels, channels, 3, 1, 1) }
            index += 1
        }
        middle("encoder.middle")
        shapes["encoder.head.0.gamma"] = [4 * dim, 1, 1, 1]
        conv("encoder.head.2", 4 * dim, 2 * z, 3, 3, 3)

        conv("decoder.conv1", z, 4 * dim, 3, 3, 3)
        middle("decoder.middle")
        index = 0
        for (stage, multiple) in Self.multiples.reversed().enumerated() {
            for _ in 0 ... Self.residualBlocks {
                residual("decoder.upsamples.\(index)", channels, multiple * dim)
                channels = multiple * dim
                index += 1
            }
            guard stage < Self.halvesTime.count else { continue }
            // An upsampling halves the channels.
            conv("decoder.upsamples.\(index).resample.1", channels, channels / 2, 3, 3)
            if Self.halvesTime.reversed()[stage] {
                conv("decoder.upsamples.\(index).time_conv", channels, 2 * channels, 3, 1, 1)
            }
            channels /= 2
            index += 1
        }
        shapes["decoder.head.0.gamma"] = [dim, 1, 1, 1]
        conv("decoder.head.2", dim, 3, 3, 3, 3)
        return shapes
    }
}
