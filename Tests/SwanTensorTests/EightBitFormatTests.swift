import SwanDiagnostics
import SwanTensor
import SwanTestSupport
import Testing

/// Guards how values become eight bits: against the nearest of all numbers, found by looking at each.
@Suite struct EightBitFormatTests {
    /// The number of a byte by the formats' definitions.
    private static func number(_ byte: UInt8, _ format: EightBitFormat) -> Double? {
        guard format == .fp8 else { return byte == 0x80 ? nil : Double(Int8(bitPattern: byte)) }
        guard byte & 0x7F != 0x7F else { return nil }
        let (exponent, mantissa) = (Int(byte >> 3 & 15), Double(byte & 7) / 8)
        let magnitude = exponent == 0 ? mantissa * 0x1p-6 : (1 + mantissa) * Double(1 << exponent) / 128
        return byte & 0x80 == 0 ? magnitude : -magnitude
    }

    @Test(arguments: EightBitFormat.allCases)
    func everyNumberAndEveryTie(format: EightBitFormat) {
        let numbers = (0 ... 255).compactMap { byte in
            Self.number(UInt8(byte), format).map { (byte: UInt8(byte), value: $0) }
        }.sorted { ($0.value, $1.byte) < ($1.value, $0.byte) }
        for (byte, value) in numbers {
            #expect(format.decode(byte) == Float(value) && format.encode(Float(value)) == byte, "\(value)")
        }
        // Between two numbers the nearer one; in the middle the one whose last bit is 0.
        for (below, above) in zip(numbers, numbers.dropFirst()) where below.value < above.value {
            let middle = Float((below.value + above.value) / 2)
            let even = below.byte & 1 == 0 ? below : above
            #expect(format.encode(middle.nextDown) == below.byte, "\(middle)")
            #expect(format.encode(middle.nextUp) == above.byte, "\(middle)")
            #expect(format.decode(format.encode(middle)) == Float(even.value), "\(middle)")
        }
        #expect(format.encode(.infinity) == format.encode(format.largest))
        #expect(format.encode(-1e30) == format.encode(-format.largest))
        #expect(format.encode(.nan) == (format == .fp8 ? 0x7F : 0))
    }

    @Test(arguments: EightBitFormat.allCases, HardRows.allCases)
    func rowsKeepTheirLargestValue(format: EightBitFormat, kind: HardRows) {
        var random = SeededRandom(1)
        let row = kind.values(203, &random)
        var bytes = [UInt8](repeating: 0, count: row.count)
        let scale = row.withUnsafeBufferPointer { row in
            bytes.withUnsafeMutableBufferPointer { format.encode(row, into: $0) }
        }
        let largest = Double(row.reduce(0x1p-100) { max($0, abs($1)) })
        // Half a step: relative for fp8 down to its least, absolute for int8; and two roundings of float32.
        let distance = Distance(bytes.map { format.decode($0) * scale }, from: row.map(Double.init)) { i in
            let step = format == .fp8 ? max(abs(Double(row[i])) / 16, Double(scale) * 0x1p-10) : Double(scale) / 2
            return step * 1.000001
        }
        #expect(distance.isExplained, "\(distance)")
        #expect(bytes.contains { abs(format.decode($0)) == format.largest } || kind == .zeros)
        #expect(abs(Double(scale) * Double(format.largest) - largest) <= 1e-6 * largest)
    }

    @Test(arguments: EightBitFormat.allCases)
    func weightsAreRoundedRowByRow(format: EightBitFormat) throws {
        let coding = EightBitCoding(format)
        var random = SeededRandom(2)
        var values = random.floats(3 * 64)
        for i in 64 ..< 128 { values[i] *= 1000 }
        values[150] = .nan
        let weight = HostTensor([3, 64], values)
        let quantized = try EightBitWeight(weight, as: coding)
        #expect(quantized.values.dtype == format.dtype && quantized.values.shape == [3, 64])
        let scales = try quantized.scales.floats()
        #expect(scales[1] > 500 * scales[0] && scales[2].isNaN)
        let found = try quantized.dequantized().floats()
        for i in 0 ..< 128 { #expect(abs(found[i] - values[i]) <= abs(scales[i / 64]) * format.largest / 14, "\(i)") }
        #expect(found[128...].allSatisfy { $0.isNaN })

        // One scale for all, as published files have it; and what is no such weight.
        let one = try EightBitWeight(values: quantized.values, scales: HostTensor([1], [2]))
        #expect(try one.scales.floats() == [2, 2, 2])
        #expect(throws: SwanError.self) { try EightBitWeight(values: weight, scales: one.scales) }
        #expect(throws: SwanError.self) {
            try EightBitWeight(values: quantized.values, scales: HostTensor([2], [1, 1]))
        }
    }
}
