import SwanCheckpoint
public import SwanDiagnostics
import SwanTensor

/// A small classifier of swan-tiny's clips: which things are there, which place, which colour, which motion.
///
/// A network of convolutions looks at nine frames, each of 128×128 pixels. It computes in float32 on the host, whatever
/// made the clip, so that scores of different devices can be compared.
///
/// Source: `Models/swan-tiny/eval/scorer.py`, which trained it and gives the same logits.
public struct SceneScorer: Sendable {
    /// Pixels of a clip, each way.
    public static let side = 128
    /// Frames of a clip.
    public static let frames = 25
    /// Those that are looked at.
    private static let framesSeen = Array(stride(from: 0, to: frames, by: 3))
    /// Rows and columns of a frame's maps behind ``time``.
    private static let timeSide = 4

    private let frame: [NormalizedConvolution]
    private let time: Convolution
    private let thing, place, colour, motionHidden, motion: Linear

    /// Reads the weights.
    ///
    /// - Parameter path: a checkpoint, `eval/scorer.safetensors` of a model.
    /// - Throws: what reading throws; `checkpoint.tensor-missing`, `checkpoint.tensor-misshapen` and
    ///   `checkpoint.tensors-left-over` where it is no such classifier.
    public init(_ path: String) throws(SwanError) {
        let weights = WeightScope(try openWeights(at: path))
        let layers = [(3, 24, 5, 2), (24, 40, 3, 2), (40, 64, 3, 2), (64, 96, 3, 2), (96, 96, 3, 1)]
        var frame: [NormalizedConvolution] = []
        for (index, (inputs, outputs, side, stride)) in layers.enumerated() {
            frame.append(
                try NormalizedConvolution(
                    weights["frame"][index], inputs: inputs, outputs: outputs, side: side, stride: stride))
        }
        self.frame = frame
        time = try Convolution(weights["time"], inputs: 96, outputs: 20, frames: 3, side: 3, stride: 2)
        let pooled = 2 * 96
        thing = try Linear(weights["thing"], pooled, SceneQuestion.thing.answers.count)
        place = try Linear(weights["place"], pooled, SceneQuestion.place.answers.count)
        colour = try Linear(weights["colour"], pooled, SceneQuestion.colour.answers.count)
        let volume = 20 * Self.framesSeen.count * Self.timeSide * Self.timeSide
        motionHidden = try Linear(weights["motion"][0], volume, 64)
        motion = try Linear(weights["motion"][2], 64, SceneQuestion.motion.answers.count)
        try weights.finish()
    }

    /// How likely each answer is.
    ///
    /// - Parameter clip: RGB, one byte each, `[25, 128, 128, 3]`.
    /// - Returns: a logit for each of the question's answers.
    /// - Throws: `bench.scores` where it is another number of bytes.
    public func logits(_ clip: [UInt8]) throws(SwanError) -> [SceneQuestion: [Float]] {
        let size = 3 * Self.side * Self.side
        guard clip.count == Self.frames * size else {
            throw SwanError(
                .scores,
                "A clip has \(clip.count) bytes, expected \(Self.frames * size): \(Self.frames) frames of \(Self.side)x\(Self.side)."
            )
        }
        var maps = Maps(
            frames: Self.framesSeen.count, side: Self.side, channels: 3,
            values: Self.framesSeen.flatMap { seen in
                clip[seen * size ..< (seen + 1) * size].map { Float($0) / 127.5 - 1 }
            })
        for layer in frame { maps = layer(maps) }
        let pooled = maps.largestAndMeans()
        let volume = time(maps).rectified()
        return [
            .thing: thing(pooled), .place: place(pooled), .colour: colour(pooled),
            .motion: motion(motionHidden(volume.channelsFirst()).map { max($0, 0) }),
        ]
    }

    /// Whether a clip shows what was asked for.
    ///
    /// - Parameters:
    ///   - logits: of the clip, from ``logits(_:)``.
    ///   - prompt: what was asked for.
    /// - Returns: right or wrong for each question that the prompt gives rise to. Things are right when those of the
    ///   largest logits are exactly those that were asked for.
    public func marks(_ logits: [SceneQuestion: [Float]], for prompt: ScenePrompt) -> [SceneQuestion: Bool] {
        var marks: [SceneQuestion: Bool] = [:]
        for (question, wanted) in prompt.targets {
            guard let found = logits[question] else { continue }
            let least = wanted.map { found[$0] }.min() ?? .infinity
            marks[question] = found.indices.allSatisfy { wanted.contains($0) || found[$0] < least }
        }
        return marks
    }
}

/// Activations with channels last: `[frames, side, side, channels]`.
private struct Maps {
    let frames, side, channels: Int
    var values: [Float]

    var positions: Int { side * side }

    func rectified() -> Maps {
        Maps(frames: frames, side: side, channels: channels, values: values.map { max($0, 0) })
    }

    /// `[channels, frames, side, side]` in one row.
    func channelsFirst() -> [Float] {
        (0 ..< channels).flatMap { channel in
            stride(from: channel, to: values.count, by: channels).map { values[$0] }
        }
    }

    /// The largest value of each channel over a frame's positions, behind them the means: both the mean over all frames.
    func largestAndMeans() -> [Float] {
        var result = [Float](repeating: 0, count: 2 * channels)
        for frame in 0 ..< frames {
            for channel in 0 ..< channels {
                var (largest, sum) = (-Float.infinity, Float(0))
                for position in 0 ..< positions {
                    let value = values[(frame * positions + position) * channels + channel]
                    largest = max(largest, value)
                    sum += value
                }
                result[channel] += largest / Float(frames)
                result[channels + channel] += sum / Float(positions * frames)
            }
        }
        return result
    }
}

/// A convolution with half its kernel of zeros around, in time as well; steps in space only.
private struct Convolution {
    let inputs, outputs, frames, side, stride: Int
    /// `[frames, side, side, inputs, outputs]`: neighbours in memory belong to one input.
    private let weight: [Float]
    private let bias: [Float]

    init(
        _ weights: WeightScope, inputs: Int, outputs: Int, frames: Int = 1, side: Int, stride: Int
    ) throws(SwanError) {
        (self.inputs, self.outputs, self.frames, self.side, self.stride) = (inputs, outputs, frames, side, stride)
        let kernel = (frames == 1 ? [] : [frames]) + [side, side]
        let stored = try weights.tensor("weight", Shape([outputs, inputs] + kernel)).floats()
        bias = try weights.tensor("bias", [outputs]).floats()
        let taps = frames * side * side
        var weight = [Float](repeating: 0, count: stored.count)
        for output in 0 ..< outputs {
            for input in 0 ..< inputs {
                for tap in 0 ..< taps {
                    weight[(tap * inputs + input) * outputs + output] = stored[(output * inputs + input) * taps + tap]
                }
            }
        }
        self.weight = weight
    }

    func callAsFunction(_ x: Maps) -> Maps {
        precondition(x.channels == inputs)
        let size = (x.side - 1) / stride + 1
        var result = Maps(
            frames: x.frames, side: size, channels: outputs,
            values: Array(repeating: 0, count: x.frames * size * size * outputs))
        result.values.withUnsafeMutableBufferPointer { target in
            x.values.withUnsafeBufferPointer { source in
                for frame in 0 ..< x.frames {
                    for row in 0 ..< size {
                        for column in 0 ..< size {
                            let start = ((frame * size + row) * size + column) * outputs
                            add(
                                source, x, frame, stride * row, stride * column,
                                to: UnsafeMutableBufferPointer(rebasing: target[start ..< start + outputs]))
                        }
                    }
                }
            }
        }
        return result
    }

    /// One position of the result.
    private func add(
        _ source: UnsafeBufferPointer<Float>, _ x: Maps, _ frame: Int, _ row: Int, _ column: Int,
        to target: UnsafeMutableBufferPointer<Float>
    ) {
        weight.withUnsafeBufferPointer { weight in
            for output in 0 ..< outputs { target[output] = bias[output] }
            for tap in 0 ..< frames * side * side {
                let place = (
                    frame: frame + tap / (side * side) - frames / 2, row: row + tap / side % side - side / 2,
                    column: column + tap % side - side / 2
                )
                guard 0 ..< x.frames ~= place.frame, 0 ..< x.side ~= place.row, 0 ..< x.side ~= place.column
                else { continue }
                let from = ((place.frame * x.side + place.row) * x.side + place.column) * inputs
                for input in 0 ..< inputs {
                    let value = source[from + input]
                    let taps = UnsafeBufferPointer(
                        rebasing: weight[(tap * inputs + input) * outputs ..< (tap * inputs + input + 1) * outputs])
                    for output in 0 ..< outputs { target[output] += value * taps[output] }
                }
            }
        }
    }
}

/// A convolution of each frame, normalisation over groups of channels, and zero for what is negative.
private struct NormalizedConvolution {
    private static let groups = 8
    private static let epsilon = 1e-5

    private let convolution: Convolution
    private let gain, bias: [Float]

    init(_ weights: WeightScope, inputs: Int, outputs: Int, side: Int, stride: Int) throws(SwanError) {
        convolution = try Convolution(weights[0], inputs: inputs, outputs: outputs, side: side, stride: stride)
        gain = try weights[1].tensor("weight", [outputs]).floats()
        bias = try weights[1].tensor("bias", [outputs]).floats()
    }

    func callAsFunction(_ x: Maps) -> Maps {
        var maps = convolution(x)
        let (channels, positions) = (maps.channels, maps.positions)
        let width = channels / Self.groups
        maps.values.withUnsafeMutableBufferPointer { values in
            for frame in 0 ..< maps.frames {
                let start = frame * positions * channels
                for group in 0 ..< Self.groups {
                    let members = group * width ..< (group + 1) * width
                    var (sum, squares) = (0.0, 0.0)
                    for position in 0 ..< positions {
                        for channel in members {
                            let value = Double(values[start + position * channels + channel])
                            sum += value
                            squares += value * value
                        }
                    }
                    let count = Double(positions * width)
                    let mean = sum / count
                    let scale = 1 / (max(squares / count - mean * mean, 0) + Self.epsilon).squareRoot()
                    for position in 0 ..< positions {
                        for channel in members {
                            let place = start + position * channels + channel
                            let value = Float((Double(values[place]) - mean) * scale) * gain[channel] + bias[channel]
                            values[place] = max(value, 0)
                        }
                    }
                }
            }
        }
        return maps
    }
}

/// `weight * x + bias`.
private struct Linear {
    private let inputs: Int
    private let weight, bias: [Float]

    init(_ weights: WeightScope, _ inputs: Int, _ outputs: Int) throws(SwanError) {
        self.inputs = inputs
        weight = try weights.tensor("weight", [outputs, inputs]).floats()
        bias = try weights.tensor("bias", [outputs]).floats()
    }

    func callAsFunction(_ x: [Float]) -> [Float] {
        precondition(x.count == inputs)
        return bias.indices.map { output in
            var sum = bias[output]
            for input in 0 ..< inputs { sum += weight[output * inputs + input] * x[input] }
            return sum
        }
    }
}
