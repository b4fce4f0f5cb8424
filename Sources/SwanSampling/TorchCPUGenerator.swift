import Glibc
public import SwanDiagnostics
public import SwanTensor

/// Normal numbers as PyTorch's CPU generator draws them, so that a seed gives the noise that users of
/// PyTorch, diffusers and ComfyUI know.
///
/// MT19937 seeded with the low 32 bits of the seed; 24-bit uniforms; Box–Muller in blocks of 16.
/// Agrees with PyTorch's vectorised builds to about 3e-7, since those approximate logarithm and sine.
///
/// Source: PyTorch `aten/src/ATen/native/cpu/DistributionTemplates.h`, `normal_fill`.
public struct TorchCPUGenerator {
    private var state = [UInt32](repeating: 0, count: 624)
    private var next = 624

    /// Seeds the generator.
    public init(seed: UInt64) {
        state[0] = UInt32(truncatingIfNeeded: seed)
        for i in 1 ..< 624 {
            state[i] = 1_812_433_253 &* (state[i - 1] ^ state[i - 1] >> 30) &+ UInt32(i)
        }
    }

    /// Standard normal values, in the order of the tensor's memory.
    ///
    /// - Throws: `sampling.too-few-values` below 16 elements: PyTorch draws those in another way.
    public mutating func normal(_ shape: Shape) throws(SwanError) -> HostTensor {
        guard shape.count >= 16 else {
            throw SwanError(
                .tooFewValues, "Noise of shape \(shape) has fewer than 16 values.", advice: "Ask for a larger video.")
        }
        var values = (0 ..< shape.count).map { _ in uniform() }
        for start in stride(from: 0, through: shape.count - 16, by: 16) { Self.boxMuller(&values, from: start) }
        if shape.count % 16 != 0 {
            // The rest gets new uniforms, over the end of the block before it.
            let start = shape.count - 16
            for i in start ..< shape.count { values[i] = uniform() }
            Self.boxMuller(&values, from: start)
        }
        return HostTensor(shape, values)
    }

    private static func boxMuller(_ values: inout [Float], from start: Int) {
        for j in start ..< start + 8 {
            let radius = (-2 * log(1 - values[j])).squareRoot()
            let angle = 2 * Float.pi * values[j + 8]
            values[j] = radius * cos(angle)
            values[j + 8] = radius * sin(angle)
        }
    }

    private mutating func uniform() -> Float { Float(word() & 0xFF_FFFF) * 0x1p-24 }

    private mutating func word() -> UInt32 {
        if next == 624 { twist() }
        var y = state[next]
        next += 1
        y ^= y >> 11
        y ^= y << 7 & 0x9D2C_5680
        y ^= y << 15 & 0xEFC6_0000
        return y ^ y >> 18
    }

    private mutating func twist() {
        for i in 0 ..< 624 {
            let y = state[i] & 0x8000_0000 | state[(i + 1) % 624] & 0x7FFF_FFFF
            state[i] = state[(i + 397) % 624] ^ y >> 1 ^ (y & 1 == 0 ? 0 : 0x9908_B0DF)
        }
        next = 0
    }
}
