import Glibc
package import SwanCheckpoint
package import SwanDiagnostics
import SwanNN
package import SwanTensor

/// Shift, scale and gate of one branch of a block, each float32 `[groups, width]`.
struct Modulation {
    let shift, scale, gate: Tensor

    /// Takes three consecutive parts of `[parts, groups, width]`.
    init(_ parts: Tensor, from first: Int) throws(SwanError) {
        func part(_ index: Int) throws(SwanError) -> Tensor {
            try parts.rows(index ..< index + 1).reshaped([parts.shape[1], parts.shape[2]])
        }
        shift = try part(first)
        scale = try part(first + 1)
        gate = try part(first + 2)
    }

    private init(shift: Tensor, scale: Tensor, gate: Tensor) {
        (self.shift, self.scale, self.gate) = (shift, scale, gate)
    }

    /// Those of some of the groups.
    func groups(_ range: Range<Int>) throws(SwanError) -> Modulation {
        Modulation(shift: try shift.rows(range), scale: try scale.rows(range), gate: try gate.rows(range))
    }
}

/// One block of the Wan transformer: self-attention over the video's tokens, cross-attention to the
/// text, feed-forward.
///
/// Source: Wan2.2 `wan/modules/model.py`, `WanAttentionBlock`.
package struct WanBlock {
    let selfAttention, crossAttention: WanAttention
    let crossAttentionNorm: LayerNorm
    let feedForwardUp, feedForwardDown: Linear
    let modulation: Tensor
    let eps: Float

    /// - Parameter format: the eight-bit numbers that linear layers are computed in; nil for the activation type.
    package init(
        _ config: WanConfiguration, _ weights: WeightScope, _ format: EightBitFormat? = nil, on backend: any Backend
    ) throws(SwanError) {
        selfAttention = try WanAttention(config, weights["self_attn"], format, on: backend)
        crossAttentionNorm = try LayerNorm(config.width, eps: config.eps, weights["norm3"], on: backend)
        crossAttention = try WanAttention(config, weights["cross_attn"], format, on: backend)
        feedForwardUp = try Linear(config.width, config.feedForward, weights["ffn"][0], as: format, on: backend)
        feedForwardDown = try Linear(config.feedForward, config.width, weights["ffn"][2], as: format, on: backend)
        let table = try weights.tensor("modulation", [1, 6, config.width]).reshaped([6, config.width])
        modulation = try backend.upload(table, as: .float32)
        eps = config.eps
    }

    /// Keys and values of a prompt for this block.
    ///
    /// - Parameters:
    ///   - text: embedded rows, `[rows, width]`.
    ///   - padding: how many rows of padding the last row stands for; 0 when none are left out.
    package func context(_ text: Tensor, padding: Int, on backend: any Backend) throws(SwanError)
        -> WanAttention.Context
    {
        let rows = try backend.linearInput(text, for: .shared(by: crossAttention.key, crossAttention.value))
        var context = try crossAttention.context(rows, on: backend)
        guard padding > 0 else { return context }
        let count = text.shape[0]
        let bias = [Float](repeating: 0, count: count - 1) + [Float(log(Double(padding)))]
        context.bias = try backend.upload(HostTensor([1, 1, count], bias), as: .float32)
        return context
    }

    /// A branch that still has to be added to the residual stream: what comes next does so together with its first norm, in
    /// one pass over the rows.
    package struct Pending {
        /// Activations `[tokens, width]`.
        package let branch: Tensor
        /// Float32 `[groups, width]`.
        package let gate: Tensor
    }

    /// - Parameters:
    ///   - x: residual stream, float32 `[tokens, width]`, frame by frame, row by row. It is changed in place, and holds
    ///     the stream after this block when the call returns, but for the branch that is returned.
    ///   - pending: what the block before has returned.
    ///   - timestep: projected timestep, float32 `[groups, 6 * width]`; `groups` divides `tokens`.
    ///   - text: keys and values of the prompt for this block.
    ///   - rope: rotation angles of the video's grid, for self-attention only.
    ///   - feedForwardRows: the most rows that are in the feed-forward at a time; nil for all of them.
    /// - Returns: the feed-forward, to be added; nil where it was: by its last product, or in parts.
    package func callAsFunction(
        updating x: Tensor, adding pending: consuming Pending?, timestep: Tensor, text: WanAttention.Context,
        rope: RotaryTable, feedForwardRows: Int?, on backend: any Backend
    ) throws(SwanError) -> Pending? {
        let parts = try backend.modulation(timestep, table: modulation)
        let attention = try Modulation(parts, from: 0)
        let feed = try Modulation(parts, from: 3)

        // Every result is forgotten with the statement that uses it: its memory is the next one's. A branch that its last
        // product has added is nil.
        var y = try selfAttention(
            (consume pending).layerNormModulate(
                x, shift: attention.shift, scale: attention.scale, eps: eps,
                for: .shared(by: selfAttention.query, selfAttention.key, selfAttention.value), on: backend),
            rope: rope, gate: attention.gate, onto: x, on: backend)

        y = try crossAttention(
            crossAttentionNorm(
                adding: y, gate: attention.gate, to: x, for: crossAttention.query.inputCoding, on: backend),
            context: text, gate: nil, onto: x, on: backend)

        // Every row's norm, hidden rows and what they give.
        func feedForward(_ y: Tensor?, _ x: Tensor, _ feed: Modulation) throws(SwanError) -> Tensor? {
            let f = try backend.addLayerNormModulate(
                y, gate: nil, to: x, shift: feed.shift, scale: feed.scale, eps: eps, for: feedForwardUp.inputCoding)
            let hidden = try feedForwardUp(f, activation: .geluTanh, for: feedForwardDown.inputCoding, on: backend)
            return try feedForwardDown(hidden, gate: feed.gate, onto: x, on: backend)
        }
        let (tokens, groups) = (x.shape[0], timestep.shape[0])
        let chunks = TokenChunk.cut(tokens: tokens, groups: groups, limit: feedForwardRows)
        if chunks.count == 1 {
            guard let branch = try feedForward(y, x, feed) else { return nil }
            return Pending(branch: branch, gate: feed.gate)
        }
        for chunk in chunks {
            let (rows, feed) = (try x.rows(chunk.tokens), try feed.groups(chunk.groups))
            let part = try y.map { (y) throws(SwanError) in try y.rows(chunk.tokens) }
            if let branch = try feedForward(part, rows, feed) {
                try backend.addGated(branch, gate: feed.gate, to: rows)
            }
        }
        return nil
    }
}

extension WanBlock.Pending? {
    /// The norm of the residual stream, to which the branch is added, if there is one; see
    /// ``NormalizationOps/layerNormModulate(_:shift:scale:eps:)``.
    func layerNormModulate(
        _ x: Tensor, shift: Tensor, scale: Tensor, eps: Float, for coding: EightBitCoding?, on backend: any Backend
    ) throws(SwanError) -> LinearInput {
        guard let pending = self else {
            return try backend.layerNormModulate(x, shift: shift, scale: scale, eps: eps, for: coding)
        }
        return try backend.addLayerNormModulate(
            pending.branch, gate: pending.gate, to: x, shift: shift, scale: scale, eps: eps, for: coding)
    }
}
