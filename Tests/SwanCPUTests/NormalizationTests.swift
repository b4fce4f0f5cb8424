import SwanTensor
import SwanTestSupport
import Testing

@Suite("Normalisations")
struct NormalizationTests {
    static let widths = [1, 3, 16, 20, 203, 1023]

    /// Rows of every hard kind, some of each, one after the other.
    static func rows(_ kind: HardRows, _ count: Int, _ width: Int, _ random: inout SeededRandom) -> [Float] {
        (0 ..< count).flatMap { _ in kind.values(width, &random) }
    }

    /// The row's values less their mean, and the factor that makes their spread 1.
    static func standardized(_ row: ArraySlice<Double>, _ eps: Float) -> (values: [Double], factor: Double) {
        let mean = row.reduce(0, +) / Double(row.count)
        let values = row.map { $0 - mean }
        let variance = values.reduce(0) { $0 + $1 * $1 } / Double(row.count)
        return (values, 1 / (variance + Double(eps)).squareRoot())
    }

    /// What rounding explains in a standardised row: the difference from the mean is rounded once at the
    /// size of the values, a few products follow.
    static func bound(_ value: Double, _ factor: Double, _ largest: Double, _ gain: Double) -> Double {
        (2 * largest * factor * abs(gain) + 8 * abs(value * factor * gain)) * 0x1p-24
    }

    @Test("layerNorm matches the formula", arguments: TestDevice.requested, HardRows.allCases)
    func layerNorm(device: TestDevice, kind: HardRows) throws {
        let backend = try device.open()
        var random = SeededRandom(1)
        for width in Self.widths {
            let rows = 5
            let (x, xs) = try backend.place(Self.rows(kind, rows, width, &random), [rows, width], as: .float32)
            let (weight, weights) = try backend.place(random.floats(width), [width], as: .float32)
            let (bias, biases) = try backend.place(random.floats(width), [width], as: .float32)
            var (exact, bounds): ([Double], [Double]) = ([], [])
            for row in 0 ..< rows {
                let slice = xs[row * width ..< (row + 1) * width]
                let (values, factor) = Self.standardized(slice, 1e-6)
                let largest = slice.map(abs).max() ?? 0
                for i in 0 ..< width {
                    exact.append(values[i] * factor * weights[i] + biases[i])
                    bounds.append(Self.bound(values[i], factor, largest, weights[i]) + abs(biases[i]) * 0x1p-24)
                }
            }
            let result = try backend.download(backend.layerNorm(x, weight: weight, bias: bias, eps: 1e-6))
            let distance = Distance(result, from: exact) {
                bounds[$0] + (abs(exact[$0]) * backend.activationType.unitRoundoff)
            }
            #expect(distance.isExplained, "width \(width): \(distance)")
        }
    }

    @Test("layerNormModulate matches the formula", arguments: TestDevice.requested, HardRows.allCases)
    func layerNormModulate(device: TestDevice, kind: HardRows) throws {
        let backend = try device.open()
        var random = SeededRandom(2)
        for (width, groups, perGroup) in [(20, 1, 3), (203, 3, 5), (1023, 4, 1), (64, 2, 113)] {
            let tokens = groups * perGroup
            let (x, xs) = try backend.place(Self.rows(kind, tokens, width, &random), [tokens, width], as: .float32)
            let (shift, shifts) = try backend.place(random.floats(groups * width), [groups, width], as: .float32)
            let (scale, scales) = try backend.place(random.floats(groups * width), [groups, width], as: .float32)
            var (exact, bounds): ([Double], [Double]) = ([], [])
            for row in 0 ..< tokens {
                let slice = xs[row * width ..< (row + 1) * width]
                let (values, factor) = Self.standardized(slice, 1e-6)
                let largest = slice.map(abs).max() ?? 0
                for i in 0 ..< width {
                    let place = row / perGroup * width + i
                    exact.append(values[i] * factor * (1 + scales[place]) + shifts[place])
                    bounds.append(
                        Self.bound(values[i], factor, largest, 2) + abs(shifts[place]) * 0x1p-24)
                }
            }
            let result = try backend.download(backend.layerNormModulate(x, shift: shift, scale: scale, eps: 1e-6))
            let distance = Distance(result, from: exact) {
                bounds[$0] + abs(exact[$0]) * backend.activationType.unitRoundoff
            }
            #expect(distance.isExplained, "\(groups) groups of \(perGroup), width \(width): \(distance)")
        }
    }

    @Test("rmsNorm matches the formula", arguments: TestDevice.requested, HardRows.allCases)
    func rmsNorm(device: TestDevice, kind: HardRows) throws {
        let backend = try device.open()
        var random = SeededRandom(3)
        for width in Self.widths {
            let rows = 7
            let (x, xs) = try backend.place(Self.rows(kind, rows, width, &random), [rows, width])
            let (weight, weights) = try backend.place(random.floats(width), [width], as: .float32)
            let exact = Self.rmsNormalized(xs, weights, width)
            let result = try backend.download(backend.rmsNorm(x, weight: weight, eps: 1e-6))
            let distance = Distance(result, from: exact) {
                (6 * 0x1p-24 + backend.activationType.unitRoundoff) * abs(exact[$0])
            }
            #expect(distance.isExplained, "width \(width): \(distance)")
        }
    }

    static func rmsNormalized(_ xs: [Double], _ weights: [Double], _ width: Int) -> [Double] {
        stride(from: 0, to: xs.count, by: width).flatMap { first in
            let row = xs[first ..< first + width]
            let square = row.reduce(0) { $0 + $1 * $1 } / Double(width)
            let factor = 1 / (square + Double(Float(1e-6))).squareRoot()
            return row.indices.map { row[$0] * factor * weights[$0 - first] }
        }
    }

    struct Heads: CustomStringConvertible, Sendable {
        let tokens, heads, pairs: Int
        var description: String { "\(tokens) tokens, \(heads) heads of \(pairs) pairs" }
    }

    @Test(
        "rmsNormRope matches the formula", arguments: TestDevice.requested,
        [
            Heads(tokens: 1, heads: 1, pairs: 1), Heads(tokens: 113, heads: 3, pairs: 16),
            Heads(tokens: 13, heads: 2, pairs: 64), Heads(tokens: 203, heads: 5, pairs: 7),
        ])
    func rmsNormRope(device: TestDevice, heads: Heads) throws {
        let backend = try device.open()
        var random = SeededRandom(4)
        let width = heads.heads * heads.pairs * 2
        let (x, xs) = try backend.place(random.floats(heads.tokens * width, size: 3), [heads.tokens, width])
        let (weight, weights) = try backend.place(random.floats(width), [width], as: .float32)
        // Any numbers serve as cosines and sines; independent ones show an exchange.
        let table: Shape = [heads.tokens, heads.pairs]
        let (cosines, cs) = try backend.place(random.floats(table.count), table, as: .float32)
        let (sines, ss) = try backend.place(random.floats(table.count), table, as: .float32)
        let normalized = Self.rmsNormalized(xs, weights, width)
        var (exact, sizes) = (normalized, normalized)
        for token in 0 ..< heads.tokens {
            for head in 0 ..< heads.heads {
                for pair in 0 ..< heads.pairs {
                    let first = token * width + (head * heads.pairs + pair) * 2
                    let (a, b) = (normalized[first], normalized[first + 1])
                    let (c, s) = (cs[token * heads.pairs + pair], ss[token * heads.pairs + pair])
                    (exact[first], exact[first + 1]) = (a * c - b * s, a * s + b * c)
                    (sizes[first], sizes[first + 1]) = (abs(a * c) + abs(b * s), abs(a * s) + abs(b * c))
                }
            }
        }
        let rope = RotaryTable(cosines: cosines, sines: sines)
        let result = try backend.download(backend.rmsNormRope(x, weight: weight, eps: 1e-6, rope: rope))
        let distance = Distance(result, from: exact) {
            8 * 0x1p-24 * sizes[$0] + backend.activationType.unitRoundoff * abs(exact[$0])
        }
        #expect(distance.isExplained, "\(distance)")
    }

    @Test("add and addGated match their formulas", arguments: TestDevice.requested, oddSizes)
    func residuals(device: TestDevice, size: Int) throws {
        let backend = try device.open()
        var random = SeededRandom(5)
        let (groups, perGroup) = (3, 2)
        let shape: Shape = [groups * perGroup, size]
        let (x, xs) = try backend.place(random.floats(shape.count), shape, as: .float32)
        let (y, ys) = try backend.place(random.floats(shape.count), shape)
        let (gate, gates) = try backend.place(random.floats(groups * size), [groups, size], as: .float32)
        // Each works on rows of a larger tensor and leaves the others as they are.
        let streams = try (0 ..< 2).map { _ in
            let stream = try backend.zeros([shape[0] + 3, size], .float32)
            try backend.copy(x, into: stream.rows(1 ..< shape[0] + 1))
            return stream
        }
        func expect(_ stream: Tensor, _ operation: String, _ exact: [Double], _ bound: (Int) -> Double) throws {
            let found = try backend.download(stream)
            let distance = Distance(Array(found[size ..< size + exact.count]), from: exact, bound: bound)
            #expect(distance.isExplained, "\(operation): \(distance)")
            let others = found[..<size] + found[(size + exact.count)...]
            #expect(others.allSatisfy { $0 == 0 }, "\(operation) wrote beside its rows")
        }
        try backend.add(y, to: streams[0].rows(1 ..< shape[0] + 1))
        try expect(streams[0], "add", zip(xs, ys).map { $0 + $1 }) { 0x1p-24 * abs(xs[$0] + ys[$0]) }
        try backend.addGated(y, gate: gate, to: streams[1].rows(1 ..< shape[0] + 1))
        let exact = xs.indices.map { xs[$0] + ys[$0] * gates[$0 / (perGroup * size) * size + $0 % size] }
        try expect(streams[1], "addGated", exact) { 0x1p-24 * (abs(exact[$0]) + abs(exact[$0] - xs[$0])) }
        // The branch may be rows of a larger tensor too.
        try backend.add(x.rows(2 ..< 3), to: streams[0].rows(0 ..< 1))
        #expect(try backend.download(streams[0].rows(0 ..< 1)) == xs[2 * size ..< 3 * size].map { Float($0) })
    }

    @Test("norms of sums give the bits of their parts", arguments: TestDevice.requested, HardRows.allCases)
    func normsOfSums(device: TestDevice, kind: HardRows) throws {
        let backend = try device.open()
        var random = SeededRandom(6)
        for (width, groups, perGroup) in [(20, 1, 3), (203, 3, 5), (1024, 4, 1), (64, 2, 113)] {
            let tokens = groups * perGroup
            let values = Self.rows(kind, tokens + 3, width, &random)
            let (y, _) = try backend.place(random.floats(tokens * width), [tokens, width])
            let vectors = try (0 ..< 2).map { _ in
                try backend.place(random.floats(width), [width], as: .float32).0
            }
            let shared = try (0 ..< 3).map { _ in
                try backend.place(random.floats(groups * width), [groups, width], as: .float32).0
            }
            let (weight, bias, shift, scale, gate) = (vectors[0], vectors[1], shared[0], shared[1], shared[2])
            /// What an operation makes of rows of a stream, and the whole stream behind it.
            func bits(_ operation: (_ x: Tensor) throws -> Tensor) throws -> [UInt32] {
                let (stream, _) = try backend.place(values, [tokens + 3, width], as: .float32)
                let h = try operation(stream.rows(1 ..< tokens + 1))
                #expect(h.dtype == backend.activationType && h.shape == [tokens, width])
                return try (backend.download(h) + backend.download(stream)).map(\.bitPattern)
            }
            let affine = try bits { x in
                try backend.addGatedLayerNorm(y, gate: gate, to: x, weight: weight, bias: bias, eps: 1e-6)
            }
            let affineParts = try bits { x in
                try backend.addGated(y, gate: gate, to: x)
                return try backend.layerNorm(x, weight: weight, bias: bias, eps: 1e-6)
            }
            #expect(affine == affineParts, "addGatedLayerNorm, \(groups) groups of \(perGroup), width \(width)")
            for gate in [nil, gate] {
                let modulated = try bits { x in
                    try backend.addLayerNormModulate(y, gate: gate, to: x, shift: shift, scale: scale, eps: 1e-6)
                }
                let modulatedParts = try bits { x in
                    if let gate { try backend.addGated(y, gate: gate, to: x) } else { try backend.add(y, to: x) }
                    return try backend.layerNormModulate(x, shift: shift, scale: scale, eps: 1e-6)
                }
                #expect(
                    modulated == modulatedParts,
                    "addLayerNormModulate, \(groups) groups of \(perGroup), width \(width), gated: \(gate != nil)")
            }
        }
    }

    @Test("a NaN spoils its own row and no other", arguments: TestDevice.requested)
    func spoiledRow(device: TestDevice) throws {
        let backend = try device.open()
        let (rows, width) = (9, 37)
        for spoiler in [Float.nan, .infinity] {
            var values = (0 ..< rows * width).map { Float($0 % 7) }
            values[4 * width + 36] = spoiler
            let (x, _) = try backend.place(values, [rows, width], as: .float32)
            let (one, _) = try backend.place([Float](repeating: 1, count: width), [width], as: .float32)
            let shared = try one.reshaped([1, width])
            for result in [
                try backend.layerNorm(x, weight: one, bias: one, eps: 1e-6),
                try backend.layerNormModulate(x, shift: shared, scale: shared, eps: 1e-6),
                try backend.rmsNorm(x, weight: one, eps: 1e-6),
            ] {
                let found = try backend.download(result)
                for row in 0 ..< rows {
                    let isSpoiled = found[row * width ..< (row + 1) * width].contains { !$0.isFinite }
                    #expect(isSpoiled == (row == 4), "\(spoiler), row \(row)")
                }
            }
        }
    }

    @Test("refuses broken contracts", arguments: TestDevice.requested)
    func contracts(device: TestDevice) throws {
        let backend = try device.open()
        let x = try backend.zeros([6, 8], .float32)
        let four = try backend.zeros([4, 8], .float32)
        let one = try four.rows(0 ..< 1)
        expectMismatch("layerNormModulate: shift has 4 groups, which do not divide 6 tokens.") {
            _ = try backend.layerNormModulate(x, shift: four, scale: four, eps: 1e-6)
        }
        expectMismatch("layerNormModulate: scale has shape [4, 8], expected [3, 8].") {
            _ = try backend.layerNormModulate(x, shift: four.rows(0 ..< 3), scale: four, eps: 1e-6)
        }
        expectMismatch("rmsNorm: weight has shape [4, 8], expected [8].") {
            _ = try backend.rmsNorm(x, weight: four, eps: 1e-6)
        }
        let table = try backend.zeros([6, 3], .float32)
        expectMismatch("rmsNormRope: x has rows of 8 values, expected a multiple of a head's 6.") {
            _ = try backend.rmsNormRope(
                x, weight: four.rows(0 ..< 1).reshaped([8]), eps: 1e-6, rope: RotaryTable(cosines: table, sines: table))
        }
        expectMismatch("add: y has shape [4, 8], expected [6, 8].") { try backend.add(four, to: x) }
        expectMismatch("add: y and x overlap in memory.") { try backend.add(x.rows(0 ..< 3), to: x.rows(2 ..< 5)) }
        if backend.activationType == .float32 {
            expectMismatch("addGated: y and x overlap in memory.") { try backend.addGated(x, gate: one, to: x) }
        }
        let y = try backend.zeros([6, 8], backend.activationType)
        let eight = try one.reshaped([8])
        try backend.add(backend.upload(HostTensor([6, 8], [Float](repeating: 1, count: 48)), as: .float32), to: x)
        expectMismatch("addLayerNormModulate: shift has 4 groups, which do not divide 6 tokens.") {
            _ = try backend.addLayerNormModulate(y, gate: nil, to: x, shift: four, scale: four, eps: 1e-6)
        }
        expectMismatch("addLayerNormModulate: scale and x overlap in memory.") {
            _ = try backend.addLayerNormModulate(y, gate: nil, to: x, shift: one, scale: x.rows(0 ..< 1), eps: 1e-6)
        }
        expectMismatch("addLayerNormModulate: gate has shape [4, 8], expected [1, 8].") {
            _ = try backend.addLayerNormModulate(y, gate: four, to: x, shift: one, scale: one, eps: 1e-6)
        }
        expectMismatch("addGatedLayerNorm: bias has shape [4, 8], expected [8].") {
            _ = try backend.addGatedLayerNorm(y, gate: one, to: x, weight: eight, bias: four, eps: 1e-6)
        }
        // Nothing is added before all is checked.
        #expect(try backend.download(x) == [Float](repeating: 1, count: 48))
        expectMismatch("addGated: gate and x overlap in memory.") {
            try backend.addGated(
                backend.zeros([6, 8], backend.activationType), gate: x.rows(5 ..< 6), to: x)
        }
        let integers = try backend.zeros([6, 8], .int32)
        expectMismatch("add: x has elements of type int32, expected float32.") { try backend.add(x, to: integers) }
    }
}
