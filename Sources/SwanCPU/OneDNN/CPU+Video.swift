import CSwanCPUKernels
public import SwanDiagnostics
public import SwanTensor

extension CPUBackend {
    /// See `VideoOps.channelsLast(_:scale:shift:)`.
    public func channelsLast(_ latent: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(latent: latent, scale: scale, shift: shift)
        let (source, scale, shift) = (try floats(latent), try floats(scale), try floats(shift))
        let (result, target) = try result([shapes.frames, shapes.height, shapes.width, shapes.channels])
        let (positions, channels, kernels) = (shapes.frames * shapes.positions, shapes.channels, kernels)
        forEachRange(of: positions, size: 2 * channels) { range in
            kernels.channels_last(
                target + range.lowerBound * channels, channels, source + range.lowerBound, positions, scale, shift,
                channels, range.count)
        }
        return result
    }

    /// See `VideoOps.channelsFirst(_:scale:shift:)`.
    public func channelsFirst(_ frames: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(frames: frames, scale: scale, shift: shift, activation: activationType)
        let taken = scale.shape.count
        let (source, scale, shift) = (try floats(frames), try floats(scale), try floats(shift))
        let (result, target) = try result([taken, shapes.frames, shapes.height, shapes.width])
        let (positions, channels, kernels) = (shapes.frames * shapes.positions, shapes.channels, kernels)
        forEachRange(of: positions, size: 2 * channels) { range in
            kernels.channels_first(
                target + range.lowerBound, positions, source + range.lowerBound * channels, channels, scale, shift,
                taken, range.count)
        }
        return result
    }

    /// See `VideoOps.channelNorm(_:gamma:)`.
    public func channelNorm(_ x: Tensor, gamma: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(x: x, gamma: gamma, activation: activationType)
        let (source, gamma) = (try floats(x), try floats(gamma))
        let (result, target) = try result(x.shape)
        normalize(source, gamma, shapes, into: target, silu: false)
        return result
    }

    /// See `VideoOps.normSiLU(_:gamma:history:historyFrames:)`.
    public func normSiLU(
        _ x: Tensor, gamma: Tensor, history: Tensor?, historyFrames: Int
    ) throws(SwanError) -> Tensor {
        let shapes = try HistoryShapes(
            x: x, gamma: gamma, history: history, historyFrames: historyFrames, activation: activationType)
        let (source, gamma) = (try floats(x), try floats(gamma))
        let (result, target) = try resultWithHistory(history, shapes)
        normalize(source, gamma, shapes.x, into: target, silu: true)
        return result
    }

    private func normalize(_ source: Floats, _ gamma: Floats, _ shapes: FrameShapes, into target: Floats, silu: Bool) {
        let (channels, kernels) = (shapes.channels, kernels)
        forEachRange(of: shapes.frames * shapes.positions, size: 2 * channels) { range in
            let first = range.lowerBound * channels
            kernels.channel_norm(target + first, source + first, gamma, channels, range.count, silu)
        }
    }

    /// See `VideoOps.withHistory(_:history:historyFrames:)`.
    public func withHistory(_ x: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor {
        let shapes = try HistoryShapes(
            x: x, history: history, historyFrames: historyFrames, activation: activationType)
        let source = try floats(x)
        let (result, target) = try resultWithHistory(history, shapes)
        copyFloats(source, to: target, count: x.shape.count)
        return result
    }

    /// A result whose first frames are zeros and history, and the place behind them.
    private func resultWithHistory(_ history: Tensor?, _ shapes: HistoryShapes) throws(SwanError) -> (Tensor, Floats) {
        let kept: Floats? = if let history { try floats(history) } else { nil }
        let (result, target) = try result(shapes.result)
        let zeros = shapes.zeroFrames * shapes.x.frameCount
        let keptCount = shapes.keptFrames * shapes.x.frameCount
        target.update(repeating: 0, count: zeros)
        if let kept { copyFloats(kept, to: target + zeros, count: keptCount) }
        return (result, target + zeros + keptCount)
    }

    /// Copies floats on all cores; the two pieces do not overlap.
    func copyFloats(_ source: Floats, to target: Floats, count: Int) {
        forEachRange(of: count, size: 1) { range in
            (target + range.lowerBound).update(from: source + range.lowerBound, count: range.count)
        }
    }

    /// See `VideoOps.frameInterleave(_:)`.
    public func frameInterleave(_ x: Tensor) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(interleaving: x, activation: activationType)
        let (half, positions) = (shapes.channels / 2, shapes.positions)
        let source = try floats(x)
        let (result, target) = try result([2 * shapes.frames, shapes.height, shapes.width, half])
        forEachRange(of: shapes.frames * positions, size: 4 * half) { range in
            for index in range {
                let (frame, position) = (index / positions, index % positions)
                for part in 0 ..< 2 {
                    (target + ((2 * frame + part) * positions + position) * half).update(
                        from: source + (2 * index + part) * half, count: half)
                }
            }
        }
        return result
    }

    /// See `VideoOps.framesToRGB8(_:)`.
    public func framesToRGB8(_ x: Tensor) throws(SwanError) -> [UInt8] {
        _ = try FrameShapes(pixels: x, activation: activationType)
        let source = try floats(x)
        let kernels = kernels
        return [UInt8](unsafeUninitializedCapacity: x.shape.count) { target, count in
            count = x.shape.count
            guard let base = target.baseAddress else { return }
            forEachRange(of: count, size: 1) { range in
                kernels.rgb8(base + range.lowerBound, source + range.lowerBound, range.count)
            }
        }
    }
}
