import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

/// The block types and, for each of the specification's vectors, where its float16 numbers are: scales are 0.0625,
/// minima 0.03125; the values at 0…3, in the middle and last, the sum, and the sum of place times value.
private let vectors: [(type: DType, scale: Int, minimum: Int?, values: [Float], sum: Float, weighted: Float)] = [
    (.q40, 0, nil, [-0.1875, 0.125, 0.4375, -0.25, -0.1875, 0], -1.3125, -32.375),
    (.q41, 0, 2, [0.96875, 0.28125, 0.59375, 0.90625, 0.59375, 0.78125], 16.3125, 265.4375),
    (.q50, 0, nil, [0.5625, -0.125, 0.1875, -0.5, 0.875, 0.0625], 0.9375, 7),
    (.q51, 0, 2, [1.21875, 1.53125, 1.84375, 1.15625, 1.21875, 0.34375], 32.5625, 510.3125),
    (.q80, 0, nil, [5.3125, 7.625, -6.0625, -3.75, -5.6875, -3], -11, -505),
    (.q2K, 80, 82, [2.0625, 0, 0.6875, 1.375, 0.46875, 0.28125], 128.6875, 15195.625),
    (.q3K, 108, nil, [5.0625, -6.75, 1.6875, -3.375, 0.125, 2.625], 59.875, 11071.5625),
    (.q4K, 0, 2, [19.71875, -1.59375, 8.09375, 17.78125, 26.4375, 3.03125], 3402.5, 473302.5),
    (.q5K, 0, 2, [50.71875, -1.59375, 39.09375, 17.78125, 65.4375, 6.78125], 7263.5, 1_001_715.5),
    (.q6K, 208, nil, [-89.4375, 106, 36.4375, -33.125, -21.9375, -3.75], 288.25, 49026.25),
    (.iq4NL, 0, nil, [-2.1875, 1.5625, 7.0625, -3.0625, -2.1875, 0.0625], -16.0625, -432.4375),
    (.iq4XS, 0, nil, [4.0625, -0.0625, -4.3125, 5.1875, -36.5625, -1], -687.8125, -130_695.875),
]

/// All values of a type's bytes, through the loops of one level.
private func widened(_ bytes: HostBytes, _ dtype: DType, count: Int, level: Int?) -> [Float] {
    [Float](unsafeUninitializedCapacity: count) { target, initialized in
        target.initialize(repeating: .nan)
        bytes.withBytes { ElementFormat.widen($0, dtype, into: target, level: level) }
        initialized = count
    }
}

@Suite struct ElementFormatTests {
    /// Every level that this processor has.
    static let levels = Array(ElementFormat.levels.indices)

    @Test func theLowestLevelIsAlwaysThere() { #expect(!ElementFormat.levels.isEmpty) }

    @Test(arguments: levels, vectors.map(\.type)) func blocksOfTheSpecification(level: Int, type: DType) throws {
        let vector = try #require(vectors.first { $0.type == type })
        var block = (0 ..< type.blockBytes).map { UInt8((37 * $0 + 11) % 256) }
        block.replaceSubrange(vector.scale ..< vector.scale + 2, with: [0x00, 0x2C])
        if let minimum = vector.minimum { block.replaceSubrange(minimum ..< minimum + 2, with: [0x00, 0x28]) }
        let count = type.blockElements
        let values = widened(HostBytes(block), type, count: count, level: level)
        #expect([0, 1, 2, 3, count / 2, count - 1].map { values[$0] } == vector.values)
        #expect(values.reduce(0, +) == vector.sum)
        #expect(zip(1 ... count, values).reduce(0) { $0 + Double($1.0) * Double($1.1) } == Double(vector.weighted))
    }

    /// Random blocks with scales of all sizes have the package's bits.
    @Test(arguments: levels, vectors.map(\.type)) func blocksHaveThePackagesBits(level: Int, type: DType) throws {
        let stored = try GGUFFile(path: fixture("blocks.gguf")).tensor(type.rawValue)
        let expected = try SafetensorsFile(path: fixture("blocks.safetensors")).tensor(type.rawValue)
        #expect(stored.dtype == type && stored.shape == expected.shape)
        let values = widened(stored.bytes, type, count: stored.shape.count, level: level)
        let wanted = try expected.floats()
        let wrong = values.indices.first { values[$0].bitPattern != wanted[$0].bitPattern }
        #expect(wrong == nil, "element \(wrong ?? 0): \(values[wrong ?? 0]), expected \(wanted[wrong ?? 0])")
        #expect(try stored.floats() == wanted)
    }

    /// Every code of eight and sixteen bits, against the definition.
    @Test(arguments: levels) func singleElementsAreExact(level: Int) {
        let codes = (0 ..< 256).map { UInt8($0) }
        for (type, digits, bias) in [(DType.float8E4M3, 3, 7), (.float8E5M2, 2, 15)] {
            for (code, value) in zip(codes, widened(HostBytes(codes), type, count: 256, level: level)) {
                let exponent = Int(code & 0x7F) >> digits
                let fraction = Float(Int(code) & (1 << digits - 1)) / Float(1 << digits)
                let magnitude =
                    exponent == 0
                    ? Float(sign: .plus, exponent: 1 - bias, significand: fraction)
                    : Float(sign: .plus, exponent: exponent - bias, significand: 1 + fraction)
                let isNaN = type == .float8E4M3 ? code & 0x7F == 0x7F : code & 0x7F > 0x7C
                let expected = type == .float8E5M2 && code & 0x7F == 0x7C ? .infinity : magnitude
                #expect(isNaN ? value.isNaN : value.magnitude == expected, "\(type) \(code)")
                #expect(isNaN || (value.sign == .minus) == (code >= 128), "\(type) \(code)")
            }
        }
        let signed = widened(HostBytes(codes), .int8, count: 256, level: level)
        #expect(signed == codes.map { Float(Int8(bitPattern: $0)) })
        let halves = (0 ..< 1 << 16).map { UInt16($0) }
        let bytes = HostBytes(halves.flatMap { littleEndian($0) })
        let wide = widened(bytes, .float16, count: halves.count, level: level)
        let wrong = halves.first { half in
            let (value, expected) = (wide[Int(half)], Float(Float16(bitPattern: half)))
            return value.bitPattern != expected.bitPattern && !(value.isNaN && expected.isNaN)
        }
        #expect(wrong == nil, "float16")
        let brain = widened(bytes, .bfloat16, count: halves.count, level: level)
        #expect(halves.allSatisfy { brain[Int($0)].bitPattern == UInt32($0) << 16 }, "bfloat16")
    }

    /// The packages' bytes, for values of all sizes and for every tie of the small types.
    @Test(arguments: levels) func roundingHasThePackagesBits(level: Int) throws {
        let file = try SafetensorsFile(path: fixture("narrow.safetensors"))
        func check(_ name: String, _ values: [Float], _ dtype: DType) throws {
            let expected = try file.tensor(name).bytes.array
            var found = [UInt8](repeating: 0xAA, count: expected.count)
            found.withUnsafeMutableBytes { target in
                values.withUnsafeBufferPointer { ElementFormat.narrow($0, to: dtype, into: target, level: level) }
            }
            let wrong = found.indices.first { found[$0] != expected[$0] }
            #expect(wrong == nil, "\(name), byte \(wrong ?? 0): \(found[wrong ?? 0]), expected \(expected[wrong ?? 0])")
        }
        let x = try file.tensor("x").floats()
        for type in [DType.q40, .q41, .q50, .q51, .q80] { try check(type.rawValue, x, type) }
        let hard = try file.tensor("hard").floats()
        try check("bf16", hard, .bfloat16)
        try check("f16", hard, .float16)
        try check("e4m3", hard, .float8E4M3)
        try check("e5m2", hard, .float8E5M2)
    }

    @Test(arguments: levels) func beyondTheRangeIsTheLargestAndNoNumberStaysNone(level: Int) {
        func narrowed(_ values: [Float], _ dtype: DType, factor: Float = 1) -> [UInt8] {
            var found = [UInt8](repeating: 0, count: values.count * dtype.blockBytes)
            found.withUnsafeMutableBytes { target in
                values.withUnsafeBufferPointer {
                    ElementFormat.narrow($0, to: dtype, factor: factor, into: target, level: level)
                }
            }
            return found
        }
        let values: [Float] = [448, 449, 1e9, .infinity, -.infinity, .nan, 464, -448]
        #expect(narrowed(values, .float8E4M3) == [0x7E, 0x7E, 0x7E, 0x7E, 0xFE, 0x7F, 0x7E, 0xFE])
        #expect(narrowed([57344, 1e9, -.infinity, .nan], .float8E5M2) == [0x7B, 0x7B, 0xFB, 0x7F])
        let bytes = narrowed([127.4, 128, -128.6, 0.5, 1.5, -2.5, .nan, .infinity], .int8)
        #expect(bytes.map { Int8(bitPattern: $0) } == [127, 127, -128, 0, 2, -2, 0, 127])
        #expect(narrowed([3], .int8, factor: 2) == [6])
        let halves: [Float] = [65504, 65519, 65520, .infinity, .nan]
        #expect(narrowed(halves, .float16) == [0xFF, 0x7B, 0xFF, 0x7B, 0, 0x7C, 0, 0x7C, 0, 0x7E])
        #expect(narrowed([.greatestFiniteMagnitude, .nan], .bfloat16) == [0x80, 0x7F, 0xC0, 0x7F])
    }
}

@Suite struct QuantizedWeightTests {
    @Test(arguments: ["row.e4m3", "row.int8", "tensor.e4m3"]) func scalesAreThoseOfTheReference(name: String) throws {
        let file = try SafetensorsFile(path: fixture("narrow.safetensors"))
        let dtype: DType = name.hasSuffix("int8") ? .int8 : .float8E4M3
        let weight = try file.tensor("x").quantized(to: dtype, name.hasPrefix("row") ? .row : .tensor)
        #expect(try weight.scales == file.tensor(name + ".scales").floats())
        #expect(try weight.payload.array == file.tensor(name).bytes.array)
        // What comes back differs by half a step of the type at most.
        let (x, back) = (try file.tensor("x").floats(), try HostTensor(weight).floats())
        for (index, (x, back)) in zip(x, back).enumerated() {
            let scale = weight.scales[weight.scales.count == 1 ? 0 : index / 64]
            let step = dtype == .int8 ? scale / 2 : max(abs(x) / 16, scale * 0x1p-10)
            #expect(abs(x - back) <= step * 1.001, "\(index)")
        }
    }

    private let payload = (0 ..< 24).map { UInt8(0x30 + $0) }

    @Test func everyGranularityMultiplies() throws {
        let plain = try HostTensor([4, 6], .float8E4M3, HostBytes(payload)).floats()
        let cases: [(QuantizedWeight.Granularity, [Float], (Int, Int) -> Int)] = [
            (.tensor, [0.3], { _, _ in 0 }), (.row, [0.3, 2, 0, -1], { row, _ in row }),
            (.block(rows: 3, columns: 4), [0.1, 0.2, 0.3, 0.4], { row, column in row / 3 * 2 + column / 4 }),
        ]
        for (granularity, scales, place) in cases {
            let weight = try QuantizedWeight(
                [4, 6], .float8E4M3, HostBytes(payload), scales: scales, granularity, inputScale: 0.5)
            let tensor = HostTensor(weight)
            let expected = (0 ..< 24).map { plain[$0] * scales[place($0 / 6, $0 % 6)] }
            #expect(tensor.dtype == .float32 && tensor.quantized?.inputScale == 0.5)
            #expect(try tensor.floats() == expected, "\(granularity)")
            #expect(try HostTensor([4, 6], .float32, tensor.bytes).floats() == expected)
            #expect(try tensor.rows([3, 1]).floats() == Array(expected[18...] + expected[6 ..< 12]))
            #expect(try tensor.reshaped([24]).floats() == expected)
            var part = [Float](repeating: 0, count: 9)
            tensor.copyFloats(8 ..< 17, to: &part)
            #expect(part == Array(expected[8 ..< 17]))
            if case .block = granularity {
                #expect(try tensor.slice(3 ..< 4).floats() == Array(expected[18...]))
                try expectError(.shapeMismatch) { try tensor.slice(1 ..< 4) }
            } else {
                #expect(try tensor.slice(1 ..< 3).floats() == Array(expected[6 ..< 18]))
            }
        }
    }

    @Test func partsThatDoNotBelongTogetherAreRefused() throws {
        func make(_ shape: Shape, _ dtype: DType, _ scales: [Float], _ granularity: QuantizedWeight.Granularity) throws
        {
            _ = try QuantizedWeight(shape, dtype, HostBytes(payload), scales: scales, granularity)
        }
        try expectError(.shapeMismatch) { try make([5, 6], .int8, [1], .tensor) }
        try expectError(.shapeMismatch) { try make([4, 6], .float16, [1], .tensor) }
        try expectError(.shapeMismatch) { try make([4, 6], .int8, [1, 2], .tensor) }
        try expectError(.shapeMismatch) { try make([4, 6], .int8, [1], .row) }
        try expectError(.shapeMismatch) { try make([2, 2, 6], .int8, [1], .block(rows: 2, columns: 2)) }
        try expectError(.shapeMismatch) { try make([4, 6], .int8, [1, 1, 1], .block(rows: 3, columns: 4)) }
        try expectError(.conversion) { try HostTensor([2], [1, .nan]).quantized(to: .int8, .tensor) }
        try expectError(.conversion) { try HostTensor([2], [1, .infinity]).quantized(to: .float8E4M3, .row) }
        try expectError(.conversion) { try HostTensor([256], [Float](repeating: 1, count: 256)).rounded(to: .q4K) }
        try expectError(.shapeMismatch) { try HostTensor([48], [Float](repeating: 1, count: 48)).rounded(to: .q80) }
    }
}
