import SwanCheckpoint
public import SwanDiagnostics
import SwanModels
import SwanNN
public import SwanPipeline
public import SwanTensor

/// Times parts of the engine on random data: what the peers' scripts time as well.
public struct KernelBench: Sendable, Codable {
    /// A block of width 1536 (12 heads of 128, feed-forward 8960) on 1,560 tokens, with keys and values of 512
    /// rows of text computed anew each time: the same work as the peer's block. Median seconds.
    public var blockSeconds: Double
    /// The same block as a generation runs it: the prompt's keys and values are there already, 32 rows and
    /// one that stands for the padding.
    public var blockPromptReadySeconds: Double
    /// Decoding a latent of the model's own size. Median seconds.
    public var vaeSeconds: Double
    /// Frames, height and width of that decode.
    public var vaeExtents: [Int]
    /// What computed.
    public var device: String
    /// Runs behind each median.
    public var runs: Int

    enum CodingKeys: String, CodingKey {
        case blockSeconds = "block_seconds", blockPromptReadySeconds = "block_prompt_ready_seconds"
        case vaeSeconds = "vae_seconds", vaeExtents = "vae_extents", device, runs
    }

    /// Runs everything.
    ///
    /// - Parameters:
    ///   - files: the model whose autoencoder is timed.
    ///   - runs: timed calls behind one that warms up; at least 1.
    ///   - backend: the device.
    public init(_ files: ModelFiles, runs: Int, on backend: any Backend) throws(SwanError) {
        self.runs = runs
        device = "\(backend.name): \(backend.summary)"
        (blockSeconds, blockPromptReadySeconds) = try Self.block(runs, on: backend)

        let defaults = try files.readDefaults(files.openTransformer(files.lowNoise).configuration)
        let (configuration, weights) = try files.openAutoencoder()
        guard
            let extents = WanVAEConfiguration.latentExtents(
                frames: defaults.frames, height: defaults.height, width: defaults.width)
        else { throw SwanError(.fault, "The model's own size is no size of its autoencoder.") }
        let decoder = try WanVAEDecoder(configuration, WeightScope(weights), on: backend)
        let shape: Shape = [configuration.latentChannels, 1, extents.height, extents.width]
        let frames = try (0 ..< extents.frames).map { frame throws(SwanError) in
            try backend.upload(noise(shape, UInt32(frame)), as: .float32)
        }
        vaeExtents = [defaults.frames, defaults.height, defaults.width]
        vaeSeconds = try median(runs, on: backend) { () throws(SwanError) in
            let stream = WanVAEDecoder.Stream()
            for frame in frames { _ = try backend.framesToRGB8(decoder(frame, stream, on: backend)) }
        }
    }

    private static func block(_ runs: Int, on backend: any Backend) throws(SwanError) -> (Double, Double) {
        let config = WanConfiguration(width: 1536, feedForward: 8960, heads: 12, layers: 1)
        let prefix = "blocks.0."
        var shapes: [String: Shape] = [:]
        for (name, shape) in config.tensorShapes where name.hasPrefix(prefix) {
            shapes[String(name.dropFirst(prefix.count))] = shape
        }
        let block = try WanBlock(config, WeightScope(SyntheticWeights(shapes, .float32)), on: backend)
        let rope = try RotaryTable.video(TokenGrid(frames: 1, height: 30, width: 52), headWidth: 128, on: backend)
        let x = try backend.upload(noise([1560, 1536], 101), as: .float32)
        let timestep = try backend.upload(noise([1, 6 * 1536], 102), as: .float32)
        let rows = try backend.upload(noise([512, 1536], 103), as: backend.activationType)
        let prompt = try block.context(rows.rows(0 ..< 33), padding: 480, on: backend)
        var pending: WanBlock.Pending?
        let whole = try median(runs, on: backend) { () throws(SwanError) in
            let text = try block.context(rows, padding: 0, on: backend)
            pending = try block(
                updating: x, adding: pending.take(), timestep: timestep, text: text, rope: rope, feedForwardRows: nil,
                on: backend)
        }
        let ready = try median(runs, on: backend) { () throws(SwanError) in
            pending = try block(
                updating: x, adding: pending.take(), timestep: timestep, text: prompt, rope: rope, feedForwardRows: nil,
                on: backend)
        }
        return (whole, ready)
    }
}

/// The median of the seconds that `work` takes, after one call that warms up.
private func median(_ runs: Int, on backend: any Backend, _ work: () throws(SwanError) -> Void) throws(SwanError)
    -> Double
{
    let clock = ContinuousClock()
    try work()
    try backend.synchronize()
    var seconds: [Double] = []
    for _ in 0 ..< runs {
        let start = clock.now
        try work()
        try backend.synchronize()
        seconds.append((clock.now - start).inSeconds)
    }
    return seconds.sorted()[runs / 2]
}

/// Bell-shaped values of deviation 1, others for each seed.
private func noise(_ shape: Shape, _ seed: UInt32) -> HostTensor {
    HostTensor(shape, .float32, Noise(seed: seed, deviation: 1))
}
