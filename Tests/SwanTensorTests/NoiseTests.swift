import SwanTensor
import Testing

/// Numbers that follow from their places: the same on every machine, and of the size that was asked for.
@Suite struct NoiseTests {
    /// Computed from the formula with exact fractions, by another program.
    @Test func valuesAreThoseOfTheFormula() throws {
        let plain = Noise(seed: 7, deviation: 1)
        let start = try HostTensor([3], .float32, plain).floats()
        #expect(start.map(\.bitPattern) == [0xC01C_629F, 0xBFBE_4F20, 0xBE9F_8D39])
        let raised = Noise(seed: 7, deviation: 0.02, mean: 1)
        let near = try HostTensor([3], .float32, raised).floats()
        #expect(near.map(\.bitPattern) == [0x3F73_7D3B, 0x3F78_633C, 0x3F7E_678C])
        // Places beyond 32 bits.
        #expect(try HostTensor([1], .float32, plain.dropping(1 << 33)).floats()[0].bitPattern == 0x3E88_C3AD)
        let far = try HostTensor([5_000_000_001], .float32, raised).slice(5_000_000_000 ..< 5_000_000_001)
        #expect(try far.floats()[0].bitPattern == 0x3F81_7B49)
    }

    @Test func valuesHaveTheDeviationAndShape() throws {
        let count = 1 << 20
        let values = try HostTensor([count], .float32, Noise(seed: 3, deviation: 0.5, mean: 2)).floats()
            .map { Double($0) - 2 }
        func mean(_ values: some Sequence<Double>) -> Double { values.reduce(0, +) / Double(count) }
        let variance = mean(values.map { $0 * $0 })
        // Five standard errors: of the mean, of the variance (kurtosis 2.7), of a product of independent ones.
        let error = 5 / Double(count).squareRoot()
        #expect(abs(mean(values)) < 0.5 * error)
        #expect(abs(variance / 0.25 - 1) < error * 1.7.squareRoot())
        #expect(abs(mean(values.map { $0 * $0 * $0 * $0 }) / (variance * variance) - 2.7) < 0.03)
        #expect(abs(mean(zip(values, values.dropFirst()).map { $0 * $1 })) < 0.25 * error)
        let other = try HostTensor([count], .float32, Noise(seed: 4, deviation: 0.5)).floats()
        #expect(abs(mean(zip(values, other).map { $0 * Double($1) })) < 0.25 * error)
    }

    /// Whoever asks for a part, for bytes, or in another way, gets the same values.
    @Test(arguments: [DType.float32, .bfloat16])
    func partsAreThoseOfTheWhole(dtype: DType) throws {
        let tensor = HostTensor([203, 337], dtype, Noise(seed: 5, deviation: 3, mean: -1))
        let values = try tensor.floats()
        #expect(tensor.noise != nil && Set(values).count > 1000)
        #expect(try HostTensor(tensor.shape, dtype, tensor.bytes).floats() == values)
        let part = try tensor.slice(7 ..< 9).reshaped([337, 2])
        #expect(try part.floats() == Array(values[7 * 337 ..< 9 * 337]))
        #expect(try part.slice(1 ..< 3).floats() == Array(values[7 * 337 + 2 ..< 7 * 337 + 6]))
        #expect(
            try tensor.rows([200, 4]).floats() == Array(values[200 * 337 ..< 201 * 337] + values[4 * 337 ..< 5 * 337]))
        var target = [Float](repeating: 0, count: 10)
        tensor.copyFloats(501 ..< 511, to: &target)
        #expect(target == Array(values[501 ..< 511]))
        #expect(try HostTensor([0, 4], dtype, Noise(seed: 1, deviation: 1)).floats().isEmpty)
        if dtype == .bfloat16 { #expect(values.allSatisfy { $0.bitPattern & 0xFFFF == 0 }) }
    }

    @Test func bfloat16IsRoundedToNearestEven() throws {
        let noise = Noise(seed: 9, deviation: 1)
        let exact = try HostTensor([4096], .float32, noise).floats()
        for (rounded, value) in zip(try HostTensor([4096], .bfloat16, noise).floats(), exact) {
            let below = Float(bitPattern: value.bitPattern & 0xFFFF_0000)
            let above = Float(bitPattern: below.bitPattern &+ 0x1_0000)
            let (down, up) = (abs(value - below), abs(above - value))
            let isEven = below.bitPattern & 0x1_0000 == 0
            #expect(rounded == (down < up || down == up && isEven ? below : above), "\(value)")
        }
    }
}
