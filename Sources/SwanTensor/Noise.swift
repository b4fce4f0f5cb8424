/// Random numbers that nobody stores: each follows from a seed and its place, on every device the same bits.
///
/// Value `i` is `mean + scale * n`, rounded once, where `n` is the sum of the four 16-bit parts of a hash of seed and
/// place, less its mean: a whole number below 2¹⁸ in size, bell-shaped as sums of four are, at most 3.46 deviations
/// from its mean.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 (SplitMix64's mixing function).
public struct Noise: Sendable, Hashable {
    /// Which numbers: others for each seed.
    public let seed: UInt32
    /// The place of the first value; parts of a tensor begin further on.
    public let first: Int
    /// What the values lie around.
    public let mean: Float
    /// The size of a step of the hash's sum.
    package let scale: Float

    /// Describes numbers.
    ///
    /// - Parameters:
    ///   - seed: other numbers for each.
    ///   - deviation: their standard deviation.
    ///   - mean: what they lie around.
    public init(seed: UInt32, deviation: Float, mean: Float = 0) {
        // The variance of a sum of four numbers, each evenly one of 2¹⁶.
        let variance = 4 * (0x1p32 - 1) / 12.0
        self.init(seed: seed, first: 0, mean: mean, scale: Float(Double(deviation) / variance.squareRoot()))
    }

    private init(seed: UInt32, first: Int, mean: Float, scale: Float) {
        (self.seed, self.first, self.mean, self.scale) = (seed, first, mean, scale)
    }

    /// The same numbers without the first `count`.
    package func dropping(_ count: Int) -> Noise {
        Noise(seed: seed, first: first + count, mean: mean, scale: scale)
    }

    /// Writes the values at some places, rounded to a type that noise can be of.
    ///
    /// - Precondition: `dtype` is float32 or bfloat16; the target holds as many floats.
    func write(_ places: Range<Int>, roundedTo dtype: DType, to target: UnsafeMutablePointer<Float>) {
        precondition(Self.types.contains(dtype))
        let start = UInt64(first + places.lowerBound)
        if mean == 0 {
            for i in 0 ..< places.count { target[i] = scale * Float(step(start &+ UInt64(i))) }
        } else {
            for i in 0 ..< places.count { target[i] = mean.addingProduct(scale, Float(step(start &+ UInt64(i)))) }
        }
        guard dtype == .bfloat16 else { return }
        for i in 0 ..< places.count { target[i] = Float(bitPattern: UInt32(bfloat16Bits(target[i])) << 16) }
    }

    /// The types that noise can be of.
    static let types: Set<DType> = [.float32, .bfloat16]

    @inline(__always)
    private func step(_ place: UInt64) -> Int32 {
        var z = (place &+ 1) &* 0x9E37_79B9_7F4A_7C15 &+ UInt64(seed) &* 0xD1B5_4A32_D192_ED03
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        z ^= z >> 31
        return Int32(truncatingIfNeeded: (z & 0xFFFF) &+ (z >> 16 & 0xFFFF) &+ (z >> 32 & 0xFFFF) &+ z >> 48) &- 131_070
    }
}

/// The upper half of a float that is no NaN, to nearest even.
private func bfloat16Bits(_ value: Float) -> UInt16 {
    UInt16(truncatingIfNeeded: (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) >> 16)
}

extension HostTensor {
    /// Makes a tensor of random numbers that take no memory until somebody asks for ``bytes``.
    ///
    /// - Parameters:
    ///   - shape: the extents.
    ///   - dtype: float32, or bfloat16 to have them rounded to that.
    ///   - noise: what the values follow from.
    public init(_ shape: Shape, _ dtype: DType, _ noise: Noise) {
        precondition(Noise.types.contains(dtype))
        self.init(unchecked: shape, dtype, .noise(noise))
    }

    /// What the values follow from; nil where they are stored.
    public var noise: Noise? { if case .noise(let noise) = contents { noise } else { nil } }

    /// The bytes of noise, made now.
    static func stored(_ noise: Noise, _ dtype: DType, count: Int) -> HostBytes {
        // In pieces, so that no second copy of a whole tensor is made.
        let piece = 1 << 16
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: count * dtype.blockBytes, alignment: 64)
        var values = [Float](repeating: 0, count: min(piece, count))
        for start in stride(from: 0, to: count, by: piece) {
            let places = start ..< min(start + piece, count)
            values.withUnsafeMutableBufferPointer { values in
                guard let base = values.baseAddress else { return }
                noise.write(places, roundedTo: dtype, to: base)
                for (place, value) in zip(places, values) {
                    if dtype == .float32 {
                        memory.storeBytes(of: value, toByteOffset: 4 * place, as: Float.self)
                    } else {
                        memory.storeBytes(of: UInt16(value.bitPattern >> 16), toByteOffset: 2 * place, as: UInt16.self)
                    }
                }
            }
        }
        return HostBytes(owning: memory)
    }
}
