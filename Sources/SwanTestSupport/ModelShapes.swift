public import SwanModels

extension FilledWeights {
    /// A Wan transformer in official names.
    public static func transformer(_ config: WanConfiguration) -> FilledWeights { FilledWeights(config.tensorShapes) }

    /// A UMT5 encoder in official names; tables are filled as inputs.
    public static func textEncoder(_ config: UMT5Configuration) -> FilledWeights {
        let shapes = config.tensorShapes
        return FilledWeights(shapes, inputs: Set(shapes.keys.filter { $0.contains("embedding") }))
    }

    /// A Wan2.1 autoencoder in official names.
    public static func autoencoder(baseChannels: Int, latentChannels: Int) -> FilledWeights {
        let zeros = [Float](repeating: 0, count: latentChannels)
        return FilledWeights(
            WanVAEConfiguration(
                baseChannels: baseChannels, latentChannels: latentChannels, mean: zeros, deviation: zeros
            )
            .tensorShapes)
    }
}
