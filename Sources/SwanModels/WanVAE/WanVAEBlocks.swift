import Glibc
import SwanCheckpoint
import SwanDiagnostics
import SwanNN
import SwanTensor

/// What the causal convolutions of a half of the autoencoder remember between chunks: the last frames
/// of their own inputs.
final class FeatureCache {
    /// Whether the next chunk is the first of the video.
    var isFirst = true
    private var frames: [Int: Tensor] = [:]

    /// The remembered frames of a slot, or nil before its first chunk.
    subscript(slot: Int) -> Tensor? { frames[slot] }

    /// Remembers a copy of the last `count` frames of `x`, so that the chunk itself can be freed.
    func keep(_ count: Int, of x: Tensor, in slot: Int, on backend: any Backend) throws(SwanError) {
        let kept = min(count, x.shape[0])
        let tail = try x.rows(x.shape[0] - kept ..< x.shape[0])
        let old = frames[slot]
        let copy = if let old, old.shape == tail.shape { old } else { try backend.allocate(tail.shape, x.dtype) }
        try backend.copy(tail, into: copy)
        frames[slot] = copy
    }
}

/// Hands out the cache's slots while a model is built.
final class SlotCounter {
    private var count = 0
    func next() -> Int {
        count += 1
        return count - 1
    }
}

/// A causal convolution with kernel 3 in time: it sees two frames of the past.
struct CausalConvolution {
    static let history = 2
    let weights: any ConvolutionWeights
    let slot: Int

    init(
        _ inputs: Int, _ outputs: Int, spatial: Int = 3, _ scope: WeightScope, _ slots: SlotCounter,
        on backend: any Backend
    ) throws(SwanError) {
        let geometry = ConvolutionShape(inputs: inputs, outputs: outputs, kernel: (3, spatial, spatial))
        weights = try backend.makeConvolution(
            geometry, weight: scope.tensor("weight", [outputs, inputs, 3, spatial, spatial]),
            bias: scope.tensor("bias", [outputs]))
        slot = slots.next()
    }

    /// Convolves `silu(norm(x))` behind what the cache remembers.
    func callAsFunction(
        _ x: Tensor, norm gamma: Tensor, residual: Tensor? = nil, _ cache: FeatureCache, on backend: any Backend
    ) throws(SwanError) -> Tensor {
        let input = try backend.normSiLU(x, gamma: gamma, history: cache[slot], historyFrames: Self.history)
        try cache.keep(Self.history, of: input, in: slot, on: backend)
        return try backend.convolution(input, weights, residual: residual)
    }

    /// Convolves `x` itself behind what the cache remembers.
    func callAsFunction(_ x: Tensor, _ cache: FeatureCache, on backend: any Backend) throws(SwanError) -> Tensor {
        let input = try backend.withHistory(x, history: cache[slot], historyFrames: Self.history)
        try cache.keep(Self.history, of: input, in: slot, on: backend)
        return try backend.convolution(input, weights, residual: nil)
    }
}

/// A convolution of single positions or single frames, with `weight` and `bias` as stored.
func frameConvolution(
    _ inputs: Int, _ outputs: Int, stored: Shape, kernel: Int = 1, stride: Int = 1, _ scope: WeightScope,
    on backend: any Backend
) throws(SwanError) -> any ConvolutionWeights {
    // A downsampling pads one row below and one column to the right only.
    let before = stride == 2 ? 0 : kernel / 2
    let geometry = ConvolutionShape(
        inputs: inputs, outputs: outputs, kernel: (1, kernel, kernel), stride: stride, top: before, bottom: kernel / 2,
        left: before, right: kernel / 2)
    let weight = try scope.tensor("weight", stored).reshaped([outputs, inputs, 1, kernel, kernel])
    return try backend.makeConvolution(geometry, weight: weight, bias: scope.tensor("bias", [outputs]))
}

/// Binds the gain of a channel normalisation, stored with the extents of an image behind the channels.
func gain(_ channels: Int, axes: Int, _ scope: WeightScope, on backend: any Backend) throws(SwanError) -> Tensor {
    let stored = Shape([channels] + [Int](repeating: 1, count: axes))
    return try backend.upload(scope.tensor("gamma", stored).reshaped([channels]), as: .float32)
}

/// Two causal convolutions behind normalisations, and a shortcut around them.
///
/// Source: Wan2.2 `wan/modules/vae2_1.py`, `ResidualBlock`.
struct ResidualBlock {
    let norm1, norm2: Tensor
    let conv1, conv2: CausalConvolution
    let shortcut: (any ConvolutionWeights)?

    init(_ inputs: Int, _ outputs: Int, _ scope: WeightScope, _ slots: SlotCounter, on backend: any Backend)
        throws(SwanError)
    {
        let residual = scope["residual"]
        norm1 = try gain(inputs, axes: 3, residual[0], on: backend)
        conv1 = try CausalConvolution(inputs, outputs, residual[2], slots, on: backend)
        norm2 = try gain(outputs, axes: 3, residual[3], on: backend)
        conv2 = try CausalConvolution(outputs, outputs, residual[6], slots, on: backend)
        shortcut =
            inputs == outputs
            ? nil
            : try frameConvolution(inputs, outputs, stored: [outputs, inputs, 1, 1, 1], scope["shortcut"], on: backend)
    }

    func callAsFunction(_ x: Tensor, _ cache: FeatureCache, on backend: any Backend) throws(SwanError) -> Tensor {
        let h = try conv1(x, norm: norm1, cache, on: backend)
        let around = if let shortcut { try backend.convolution(x, shortcut, residual: nil) } else { x }
        return try conv2(h, norm: norm2, residual: around, cache, on: backend)
    }
}

/// Self-attention of one head among the positions of each frame.
///
/// Source: Wan2.2 `wan/modules/vae2_1.py`, `AttentionBlock`.
struct FrameAttention {
    let norm: Tensor
    let query, key, value: Linear
    let projection: any ConvolutionWeights
    let channels: Int

    init(_ channels: Int, _ scope: WeightScope, on backend: any Backend) throws(SwanError) {
        norm = try gain(channels, axes: 2, scope["norm"], on: backend)
        // Stored as one layer; as three, queries, keys and values come out contiguous.
        let weight = try scope["to_qkv"].tensor("weight", [3 * channels, channels, 1, 1]).reshaped([
            3 * channels, channels,
        ])
        let bias = try scope["to_qkv"].tensor("bias", [3 * channels])
        func third(_ index: Int) throws(SwanError) -> Linear {
            let range = index * channels ..< (index + 1) * channels
            return try Linear(weight: weight.slice(range), bias: bias.slice(range), on: backend)
        }
        query = try third(0)
        key = try third(1)
        value = try third(2)
        projection = try frameConvolution(
            channels, channels, stored: [channels, channels, 1, 1], scope["proj"], on: backend)
        self.channels = channels
    }

    func callAsFunction(_ x: Tensor, on backend: any Backend) throws(SwanError) -> Tensor {
        let positions = x.shape[1] * x.shape[2]
        let h = try backend.channelNorm(x, gamma: norm).reshaped([x.shape[0] * positions, channels])
        let heads: Shape = [x.shape[0] * positions, 1, channels]
        let q = try query(h, on: backend).reshaped(heads)
        let k = try key(h, on: backend).reshaped(heads)
        let v = try value(h, on: backend).reshaped(heads)
        let mixed = try backend.allocate(x.shape, q.dtype)
        for frame in 0 ..< x.shape[0] {
            let rows = frame * positions ..< (frame + 1) * positions
            let y = try backend.attention(
                q: q.rows(rows), k: k.rows(rows), v: v.rows(rows), scale: 1 / Float(channels).squareRoot(), bias: nil)
            try backend.copy(y.reshaped([1, x.shape[1], x.shape[2], channels]), into: mixed.rows(frame ..< frame + 1))
        }
        return try backend.convolution(mixed, projection, residual: x)
    }
}

/// Doubles height and width, and time where it has weights for that.
///
/// Source: Wan2.2 `wan/modules/vae2_1.py`, `Resample` with `upsample2d` and `upsample3d`.
struct Upsample {
    let time: CausalConvolution?
    let space: any UpsampleWeights

    init(_ channels: Int, doublesTime: Bool, _ scope: WeightScope, _ slots: SlotCounter, on backend: any Backend)
        throws(SwanError)
    {
        time =
            doublesTime
            ? try CausalConvolution(channels, 2 * channels, spatial: 1, scope["time_conv"], slots, on: backend) : nil
        let conv = scope["resample"][1]
        space = try backend.makeUpsample(
            weight: conv.tensor("weight", [channels / 2, channels, 3, 3]), bias: conv.tensor("bias", [channels / 2]))
    }

    func callAsFunction(_ x: Tensor, _ cache: FeatureCache, on backend: any Backend) throws(SwanError) -> Tensor {
        var x = x
        // The video's first frame is not doubled, and the convolution in time never sees it: to the
        // second chunk its past is zero.
        if let time, !cache.isFirst { x = try backend.frameInterleave(time(x, cache, on: backend)) }
        return try backend.upsample(x, space)
    }
}

/// Halves height and width, and time where it has weights for that.
///
/// Source: Wan2.2 `wan/modules/vae2_1.py`, `Resample` with `downsample2d` and `downsample3d`.
struct Downsample {
    let space: any ConvolutionWeights
    let time: (any ConvolutionWeights)?
    let slot: Int

    init(_ channels: Int, halvesTime: Bool, _ scope: WeightScope, _ slots: SlotCounter, on backend: any Backend)
        throws(SwanError)
    {
        space = try frameConvolution(
            channels, channels, stored: [channels, channels, 3, 3], kernel: 3, stride: 2, scope["resample"][1],
            on: backend)
        slot = slots.next()
        guard halvesTime else {
            time = nil
            return
        }
        let geometry = ConvolutionShape(inputs: channels, outputs: channels, kernel: (3, 1, 1), frameStride: 2)
        time = try backend.makeConvolution(
            geometry, weight: scope["time_conv"].tensor("weight", [channels, channels, 3, 1, 1]),
            bias: scope["time_conv"].tensor("bias", [channels]))
    }

    func callAsFunction(_ x: Tensor, _ cache: FeatureCache, on backend: any Backend) throws(SwanError) -> Tensor {
        let x = try backend.convolution(x, space, residual: nil)
        guard let time else { return x }
        // The video's first frame passes; after that, each output sees the frame before its pair.
        let pairs = if let past = cache[slot] { try backend.withHistory(x, history: past, historyFrames: 1) } else { x }
        try cache.keep(1, of: x, in: slot, on: backend)
        return pairs.shape[0] == x.shape[0] ? x : try backend.convolution(pairs, time, residual: nil)
    }
}
