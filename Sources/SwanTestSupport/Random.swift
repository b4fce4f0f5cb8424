public import SwanTensor

/// A generator of random numbers that gives the same sequence for the same seed, on every machine.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 (SplitMix64).
public struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    /// Starts a sequence.
    public init(_ seed: UInt64) { state = seed }

    /// The next 64 bits.
    public mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// `count` values between -`size` and `size`.
    public mutating func floats(_ count: Int, size: Float = 1) -> [Float] {
        (0 ..< count).map { _ in Float.random(in: -size ... size, using: &self) }
    }
}

/// What a deterministic fill is for; decides its size.
public enum FillKind: Sendable {
    /// A weight of rank 2 or more, scaled by its inputs.
    case weight
    /// A bias or a modulation.
    case bias
    /// A norm's gain, near 1.
    case gain
    /// An input, between -1 and 1.
    case input
}

/// Values that depend on a tensor's name and nothing else, so that a model can be filled without a file
/// or a generator: the same in the scripts that made the expected values.
///
/// The FNV-1a hash of the name, advanced by the golden ratio per element and mixed as in MurmurHash3,
/// gives `u` between -1 and 1: weights `u * sqrt(3 / inputs)`, biases `0.1 u`, gains `1 + 0.1 u`.
public func deterministicFill(name: String, shape: Shape, kind: FillKind) -> HostTensor {
    let hash = name.utf8.reduce(UInt32(2_166_136_261)) { ($0 ^ UInt32($1)) &* 16_777_619 }
    let inputs = Double(shape.rowCount)
    return HostTensor(
        shape,
        (0 ..< shape.count).map { index in
            var z = hash &+ UInt32(truncatingIfNeeded: index) &* 0x9E37_79B9
            z ^= z >> 16
            z = z &* 0x85EB_CA6B
            z ^= z >> 13
            z = z &* 0xC2B2_AE35
            z ^= z >> 16
            let u = 2 * Double(z) / 4_294_967_296 - 1
            return switch kind {
            case .weight: Float(u * (3 / inputs).squareRoot())
            case .bias: Float(0.1 * u)
            case .gain: Float(1 + 0.1 * u)
            case .input: Float(u)
            }
        })
}
