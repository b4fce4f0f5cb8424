/// Numbers that look random and are the same everywhere.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 (SplitMix64).
struct Values: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Values between -`size` and `size` that every activation type holds exactly, so that each device computes
    /// with the same numbers.
    mutating func floats(_ count: Int, size: Float = 1) -> [Float] {
        (0 ..< count).map { _ in rounded(Float.random(in: -size ... size, using: &self)) }
    }

    /// Rows that careless normalisations go wrong on.
    mutating func rows(_ kind: HardRow, _ rows: Int, _ width: Int) -> [Float] {
        (0 ..< rows).flatMap { _ -> [Float] in
            let plain = floats(width)
            switch kind {
            case .ordinary: return plain
            case .oneSpike: return plain.indices.map { $0 == width / 3 ? 65536 : plain[$0] }
            case .spreadNearEps: return plain.map { $0 * 0x1p-10 }
            case .farFromZero: return plain.map { rounded(1024 + 512 * $0) }
            case .equal: return plain.map { _ in 0.6875 }
            case .zeros: return plain.map { $0 < 0 ? -0.0 : 0 }
            }
        }
    }
}

/// What is hard about a row.
enum HardRow: String, CaseIterable {
    case ordinary, oneSpike, spreadNearEps, farFromZero, equal, zeros
}

/// The nearest value with eight significant bits, which is one of bfloat16 and of everything wider.
func rounded(_ value: Float) -> Float {
    let bits = value.bitPattern
    return Float(bitPattern: (bits &+ 0x7FFF &+ (bits >> 16 & 1)) & 0xFFFF_0000)
}
