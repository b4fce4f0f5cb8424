public import SwanCheckpoint
public import SwanDiagnostics
public import SwanNN
public import SwanTensor

/// A prompt as a transformer's blocks see it. Depends on nothing else, so one serves all steps of an expert.
public final class WanText {
    /// Embedded rows, `[rows, width]`.
    let embedded: Tensor
    /// How many rows of padding the last row stands for; 0 when none are left out.
    let padding: Int
    /// Keys and values of each block, from its first run on; empty where they are not kept.
    private var contexts: [WanAttention.Context?]

    init(embedded: Tensor, padding: Int, keptContexts: Int) {
        (self.embedded, self.padding) = (embedded, padding)
        contexts = Array(repeating: nil, count: keptContexts)
    }

    /// Keys and values of block `index`.
    func context(_ index: Int, _ block: WanBlock, on backend: any Backend) throws(SwanError) -> WanAttention.Context {
        guard contexts.indices.contains(index) else {
            return try block.context(embedded, padding: padding, on: backend)
        }
        if let context = contexts[index] { return context }
        let context = try block.context(embedded, padding: padding, on: backend)
        contexts[index] = context
        return context
    }
}

/// The Wan video transformer: from a noisy latent, a timestep and a prompt to the flow's velocity.
///
/// One architecture serves Wan2.1 and both experts of Wan2.2; TI2V-5B differs by a timestep for each
/// latent frame.
///
/// Source: Wan2.2 `wan/modules/model.py`, `WanModel`.
public struct WanTransformer {
    /// The model's sizes.
    public let configuration: WanConfiguration
    private let patchEmbedding: Linear
    private let textIn, textOut: Linear
    private let timeIn, timeOut, timeProjection: Linear
    private let blocks: LayerStack<WanBlock>
    /// Whether a prompt's keys and values are kept from its first run on.
    private let keepsContexts: Bool
    private let headModulation: Tensor
    private let head: Linear

    /// Binds all weights of a checkpoint in official names.
    ///
    /// - Parameter config: the sizes.
    /// - Parameter weights: the checkpoint's root.
    /// - Parameter placement: where the blocks' weights are. Where not all are resident, a prompt's keys and values
    ///   are computed anew in each run, which takes a five-hundredth of its time and saves hundreds of megabytes.
    /// - Parameter format: the eight-bit numbers that the blocks' linear layers are computed in; nil for the device's
    ///   activation type. What is outside of blocks (patches, text, timestep, head), norms and modulation stay as they
    ///   are.
    /// - Parameter backend: the device that gets the weights.
    /// - Throws: what a missing, misshapen or extra tensor throws.
    public init(
        _ config: WanConfiguration, _ weights: WeightScope, _ placement: WeightPlacement = .resident,
        as format: EightBitFormat? = nil, on backend: any Backend
    ) throws(SwanError) {
        configuration = config
        keepsContexts = placement == .resident
        let width = config.width
        let patch = config.patch
        patchEmbedding = try Linear(
            config.inputChannels * patch.volume, width,
            weightShape: [width, config.inputChannels, patch.frames, patch.height, patch.width],
            weights["patch_embedding"], on: backend)
        textIn = try Linear(config.textWidth, width, weights["text_embedding"][0], on: backend)
        textOut = try Linear(width, width, weights["text_embedding"][2], on: backend)
        timeIn = try Linear(config.frequencyWidth, width, weights["time_embedding"][0], on: backend)
        timeOut = try Linear(width, width, weights["time_embedding"][2], on: backend)
        timeProjection = try Linear(width, 6 * width, weights["time_projection"][1], on: backend)
        blocks = try LayerStack(config.layers, placement, on: backend) { (i) throws(SwanError) in
            try WanBlock(config, weights["blocks"][i], format, on: backend)
        }
        for i in blocks.unread { weights["blocks"][i].ignoreAll() }
        let table = try weights["head"].tensor("modulation", [1, 2, width]).reshaped([2, width])
        headModulation = try backend.upload(table, as: .float32)
        head = try Linear(width, config.outputChannels * patch.volume, weights["head"]["head"], on: backend)
        try weights.finish()
    }

    /// Prepares a prompt.
    ///
    /// The official code appends zero rows to the encoder's states until there are
    /// ``WanConfiguration/textTokens``, and lets attention see them. Behind the text MLP they are all
    /// one row, so one row with the logarithm of their number added to its logit stands for all of
    /// them: exact in real arithmetic, at `rows + 1` instead of 512 keys.
    ///
    /// - Parameter states: the text encoder's rows, `[rows, textWidth]`, at most `textTokens`.
    /// - Parameter backend: the device that holds the weights.
    /// - Throws: `tensor.shape-mismatch` for too many rows or another width.
    public func encode(_ states: HostTensor, on backend: any Backend) throws(SwanError) -> WanText {
        let limit = configuration.textTokens
        guard states.shape.rank == 2, states.shape[1] == configuration.textWidth, states.shape[0] <= limit else {
            throw SwanError(
                .shapeMismatch,
                "Text states have shape \(states.shape), expected at most [\(limit), \(configuration.textWidth)].")
        }
        let rows = states.shape[0]
        let padding = limit - rows
        var values = try states.floats()
        if padding > 0 { values += [Float](repeating: 0, count: configuration.textWidth) }
        let padded = HostTensor([rows + min(padding, 1), configuration.textWidth], values)
        let embedded = try textOut(
            textIn(backend.upload(padded, as: backend.activationType), activation: .geluTanh, on: backend), on: backend)
        return WanText(
            embedded: embedded, padding: padding, keptContexts: keepsContexts ? configuration.layers : 0)
    }

    /// The rotation angles of a latent's tokens; the same for all steps and experts.
    public func rotaryTable(for latent: Shape, on backend: any Backend) throws(SwanError) -> RotaryTable {
        try .video(configuration.grid(of: latent), headWidth: configuration.headWidth, on: backend)
    }

    /// Rows that are in a block's feed-forward at a time where nothing else is said: enough to keep a GPU busy, at
    /// 226 MB of hidden rows in bfloat16 in A14B, where all rows of 832×480×81 would take 906 MB.
    public static let feedForwardRows = 8192

    /// Predicts the velocity `noise - clean`.
    ///
    /// - Parameters:
    ///   - latent: float32 `[inputChannels, frames, height, width]`.
    ///   - timesteps: on the scale 0 … 1000: one for the clip, or one for each row of patches in time
    ///     (TI2V-5B, where a given first frame has timestep 0).
    ///   - text: a prompt that this transformer prepared.
    ///   - rope: from ``rotaryTable(for:on:)`` for this shape.
    ///   - feedForwardRows: the most rows that are in a block's feed-forward at a time, at least 1; nil for all of them.
    ///     Rows do not depend on each other there, so this decides on memory and not on results.
    ///   - backend: the device that holds the weights.
    /// - Returns: float32 `[outputChannels, frames, height, width]`.
    /// - Throws: `tensor.shape-mismatch` for a latent or a number of timesteps that does not fit.
    public func callAsFunction(
        _ latent: Tensor, timesteps: [Double], text: WanText, rope: RotaryTable,
        feedForwardRows: Int? = Self.feedForwardRows, on backend: any Backend
    ) throws(SwanError) -> Tensor {
        let config = configuration
        let grid = try config.grid(of: latent.shape)
        guard timesteps.count == 1 || timesteps.count == grid.frames else {
            throw SwanError(
                .shapeMismatch, "\(timesteps.count) timesteps for \(grid.frames) latent frames, expected 1 or one each."
            )
        }

        let frequencies = try backend.upload(sinusoid(timesteps, width: config.frequencyWidth), as: .float32)
        let time = try timeOut(
            timeIn(frequencies, activation: .silu, result: .float32, on: backend), result: .float32, on: backend)
        let projected = try timeProjection(backend.activate(time, .silu), result: .float32, on: backend)

        let x = try patchEmbedding(
            backend.patchify(latent, patch: config.patch), result: .float32, on: backend)
        var pending: WanBlock.Pending?
        try blocks.forEach(on: backend) { (index, block) throws(SwanError) in
            // Before the branch is handed over, so that nothing else holds its memory.
            let context = try text.context(index, block, on: backend)
            pending = try block(
                updating: x, adding: pending.take(), timestep: projected, text: context, rope: rope,
                feedForwardRows: feedForwardRows, on: backend)
        }

        let parts = try backend.modulation(time, table: headModulation)
        let shape: Shape = [timesteps.count, config.width]
        let shift = try parts.rows(0 ..< 1).reshaped(shape)
        let scale = try parts.rows(1 ..< 2).reshaped(shape)
        let y = try head(
            pending.take().layerNormModulate(
                x, shift: shift, scale: scale, eps: config.eps, for: head.inputCoding, on: backend),
            result: .float32, on: backend)
        return try backend.unpatchify(
            y, patch: config.patch, shape: [config.outputChannels, latent.shape[1], latent.shape[2], latent.shape[3]])
    }
}
