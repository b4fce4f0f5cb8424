import Glibc
import SwanTensor

/// Attention of one head in whole numbers of eight bits, by the steps of the GPU's `int8-sm90` and `int8-sm80`: what those
/// round is rounded here, so that a model's results show what they cost.
///
/// Keys lose the mean of every eighth of them, which changes every logit of a query by as much and so no weight. Queries and
/// keys are rotated and rounded, with a step for each query and one for each tile of keys; values around the middle of their
/// channel's range, with a step for each channel. Weights are rounded to 1/255 of the largest in their tile.
///
/// Source: `attention_int8_weights.cuh` and the kernels that prepare for it.
struct EightBitHead {
    /// Keys that have a step in common.
    private static let tile = 128
    /// Keys between two of which the mean is taken.
    private static let sampled = 8

    private let count, width, block: Int
    private var keys, values: [Int8]
    private var keySteps, middles, valueSteps: [Float]

    /// Rounds keys and values.
    ///
    /// - Parameters:
    ///   - keys: `count` rows of `width` floats, each `stride` floats behind the one before.
    ///   - values: alike.
    init(keys source: UnsafePointer<Float>, values wide: UnsafePointer<Float>, stride: Int, count: Int, width: Int) {
        (self.count, self.width) = (count, width)
        block = EightBitCoding.rotatedInt8.block(of: width)
        keys = Array(repeating: 0, count: count * width)
        values = Array(repeating: 0, count: count * width)
        keySteps = []
        (middles, valueSteps) = (Array(repeating: 0, count: width), Array(repeating: 0, count: width))
        roundKeys(source, stride)
        roundValues(wide, stride)
    }

    private mutating func roundKeys(_ source: UnsafePointer<Float>, _ stride: Int) {
        var means = [Float](repeating: 0, count: width)
        let taken = Swift.stride(from: 0, to: count, by: Self.sampled)
        for key in taken {
            for i in 0 ..< width { means[i] += source[key * stride + i] }
        }
        let share = 1 / Float((count + Self.sampled - 1) / Self.sampled)
        for first in Swift.stride(from: 0, to: count, by: Self.tile) {
            let rows = min(Self.tile, count - first)
            var rotated = [Float](repeating: 0, count: rows * width)
            for row in 0 ..< rows {
                for i in 0 ..< width {
                    rotated[row * width + i] = source[(first + row) * stride + i] - means[i] * share
                }
            }
            let step = rotated.withUnsafeMutableBufferPointer { Self.rotate($0, block: block) }
            keySteps.append(step)
            for i in rotated.indices { keys[first * width + i] = Self.whole(rotated[i], of: step) }
        }
    }

    private mutating func roundValues(_ source: UnsafePointer<Float>, _ stride: Int) {
        for channel in 0 ..< width {
            var (least, most) = (Float.infinity, -Float.infinity)
            var hasNaN = false
            for key in 0 ..< count {
                let value = source[key * stride + channel]
                (least, most) = (min(least, value), max(most, value))
                hasNaN = hasNaN || value.isNaN
            }
            let reach = most / 2 - least / 2
            middles[channel] = hasNaN ? .nan : least / 2 + most / 2
            valueSteps[channel] = reach < 1e-30 ? 0 : reach / 127
            for key in 0 ..< count {
                values[key * width + channel] = Self.whole(
                    source[key * stride + channel] - middles[channel], of: valueSteps[channel])
            }
        }
    }

    /// Rotates rows, and finds the step that makes their largest value 127: 0 where they hardly differ from zero, NaN where
    /// one is infinite or none.
    private static func rotate(_ rows: UnsafeMutableBufferPointer<Float>, block: Int) -> Float {
        EightBitCoding.rotate(rows, block: block)
        var largest: Float = 0
        for value in rows {
            guard value.isFinite else { return .nan }
            largest = max(largest, abs(value))
        }
        return largest < 1e-30 ? 0 : largest / 127
    }

    /// The whole number of steps that a value is; 0 where there is no step. Where a channel hardly differs from its middle,
    /// that may be rounded by some steps.
    private static func whole(_ value: Float, of step: Float) -> Int8 {
        let steps = (value / step).rounded(.toNearestOrEven)
        return steps.isFinite ? Int8(max(-127, min(127, steps))) : 0
    }

    /// Attention of one query.
    ///
    /// - Parameters:
    ///   - query: `width` floats.
    ///   - scale: multiplies the logits; above 0.
    ///   - result: gets `width` floats.
    func attend(_ query: UnsafePointer<Float>, scale: Float, into result: UnsafeMutablePointer<Float>) {
        var rotated = Array(UnsafeBufferPointer(start: query, count: width))
        let step = rotated.withUnsafeMutableBufferPointer { Self.rotate($0, block: block) }
        let q = rotated.map { Int32(Self.whole($0, of: step)) }
        var totals = [Float](repeating: 0, count: width)
        var (exponent, weight) = (-Float.infinity, Float(0))
        var logits = [Int32](repeating: 0, count: Self.tile)
        var sums = [Int32](repeating: 0, count: width)
        // Rotated rows are as long again as the root of the block.
        let unit = step * scale * Float(M_LOG2E) / Float(block)
        keys.withUnsafeBufferPointer { keys in
            values.withUnsafeBufferPointer { values in
                for (tile, keyStep) in keySteps.enumerated() {
                    let first = tile * Self.tile
                    let rows = min(Self.tile, count - first)
                    for row in 0 ..< rows {
                        var dot: Int32 = 0
                        for i in 0 ..< width { dot &+= q[i] &* Int32(keys[(first + row) * width + i]) }
                        logits[row] = dot
                    }
                    let most = logits[0 ..< rows].max() ?? 0
                    let factor = unit * keyStep
                    // Nothing else is above all others, and spoils what comes behind it.
                    let top = Float(most) * factor
                    let next = top > exponent || top.isNaN ? top : exponent
                    let earlier = exp2f(exponent - next)
                    exponent = next
                    for i in 0 ..< width { sums[i] = 0 }
                    var sum: Int32 = 0
                    for row in 0 ..< rows {
                        let share = (255 * exp2f(Float(logits[row] - most) * factor)).rounded(.toNearestOrEven)
                        let whole = share.isNaN ? 0 : Int32(share)
                        guard whole > 0 else { continue }
                        sum += whole
                        for i in 0 ..< width { sums[i] &+= whole &* Int32(values[(first + row) * width + i]) }
                    }
                    let share = exp2f(top - exponent)
                    weight = weight * earlier + Float(sum) * share
                    for i in 0 ..< width { totals[i] = totals[i] * earlier + Float(sums[i]) * share }
                }
            }
        }
        for i in 0 ..< width { result[i] = middles[i] + valueSteps[i] * (totals[i] / weight) }
    }
}
