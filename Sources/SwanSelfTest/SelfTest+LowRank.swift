import SwanDiagnostics
import SwanNN
import SwanTensor

extension SelfTest {
    /// Weights with low-rank changes, as LoRAs have them, which a device may merge by itself.
    mutating func lowRank() {
        mergedValues()
        largeMerge()
        mergedLayers()
    }

    /// Sums of any numbers: matrices and factors of every type that is stored, tiles that are full and that are not.
    private mutating func mergedValues() {
        var random = Values(12)
        let sizes = [(256, 384, [64]), (203, 131, [7, 33]), (130, 260, [1, 16, 100]), (1, 5, [3])]
        let types = [DType.bfloat16, .float32, .float16, .q80]
        for (index, (outputs, inputs, ranks)) in sizes.enumerated() {
            let values = HostTensor([outputs, inputs], random.floats(outputs * inputs))
            let factors = ranks.map { (up: random.floats(outputs * $0), down: random.floats($0 * inputs)) }
            for type in types where inputs % type.blockElements == 0 {
                let factorType = types[(index + 1) % 3]
                func weight() throws(SwanError) -> HostTensor {
                    var sum = try values.rounded(to: type)
                    for (rank, factor) in zip(ranks, factors) {
                        let change = try LowRankChange(
                            up: HostTensor([outputs, rank], factor.up).rounded(to: factorType),
                            down: HostTensor([rank, inputs], factor.down).rounded(to: factorType), factor: -0.75)
                        sum = try sum.adding(change)
                    }
                    return sum
                }
                let terms = ranks.reduce(1, +)
                let unit = growth(terms) * Double(terms)
                for isFloat in [false, true] {
                    compare(
                        "merge",
                        "[\(outputs), \(inputs)] in \(type), rank \(ranks.map(String.init).joined(separator: " + ")) in \(factorType)\(isFloat ? " to float32" : "")",
                        .operations(2 * outputs * inputs * terms),
                        bound: { [roundoff] in unit + (isFloat ? 0 : roundoff * abs($1)) }
                    ) { (backend) throws(SwanError) in
                        let sum = try weight()
                        return { () throws(SwanError) in
                            try backend.upload(sum, as: isFloat ? .float32 : backend.activationType)
                        }
                    }
                }
            }
        }
    }

    /// A merge as large as a model's, of numbers that cross no bus, for its rate.
    private mutating func largeMerge() {
        guard device.activationType != .float32 else { return }
        let (width, rank) = (5120, 64)
        let w = HostTensor([width, width], .bfloat16, Noise(seed: 1, deviation: 1 / Float(width).squareRoot()))
        let up = HostTensor([width, rank], .bfloat16, Noise(seed: 2, deviation: 0.02))
        let down = HostTensor([rank, width], .bfloat16, Noise(seed: 3, deviation: 0.02))
        let (unit, roundoff) = (growth(rank) * 0.1, roundoff)
        compare(
            "merge", "[\(width), \(width)] in bfloat16, rank \(rank) in bfloat16",
            .operations(2 * width * width * rank),
            bound: { unit + roundoff * abs($1) }
        ) { (backend) throws(SwanError) in
            let sum = try w.adding(LowRankChange(up: up, down: down, factor: 1))
            return { () throws(SwanError) in try backend.upload(sum, as: backend.activationType) }
        }
    }

    /// A layer that is so large that its float32 sums are made and rounded in parts, on a device that merges by itself.
    ///
    /// Sums are exact, as those of ``mergedLayers(_:)``.
    mutating func largeMergedLayer(_ coding: EightBitCoding) {
        guard device.activationType != .float32 else { return }
        let (rows, inputs, outputs, rank) = (4, 5120, 2000, 8)
        var random = Values(14)
        func numbers(_ count: Int, most: Int, unit: Float) -> [Float] {
            (0 ..< count).map { _ in Float(Int.random(in: -most ... most, using: &random)) * unit }
        }
        let x = Self.hostRows(random.floats(rows * inputs), inputs, coding)
        let w = HostTensor([outputs, inputs], numbers(outputs * inputs, most: 150, unit: 0x1p-15))
        let up = HostTensor([outputs, rank], numbers(outputs * rank, most: 3, unit: 0x1p-6))
        let down = HostTensor([rank, inputs], numbers(rank * inputs, most: 3, unit: 0x1p-8))
        let (unit, roundoff) = (productError(coding.format, inputs), roundoff)
        compare(
            "merge", "[\(outputs), \(inputs)] in bfloat16, rank \(rank), to \(coding.rawValue) in parts",
            .operations(2 * outputs * inputs * rank), bound: { unit * (4 + abs($1)) + 2 * roundoff * abs($1) }
        ) { (backend) throws(SwanError) in
            let input = try x.upload(backend)
            let change = try LowRankChange(
                up: up.rounded(to: .bfloat16), down: down.rounded(to: .bfloat16), factor: 0.5)
            let weight = try w.rounded(to: .bfloat16).adding(change)
            return { () throws(SwanError) in
                let layer = try backend.makeLinear(weight: weight, bias: nil, as: coding)
                return try backend.linear(input, layer, result: backend.activationType)
            }
        }
    }

    /// Layers with two changes each that are resident, or take turns in the device's memory and are merged again.
    ///
    /// Sums are whole numbers up to 249 times a unit, in whatever order they are made: every activation type holds them
    /// exactly, and every device rounds the same ones to eight bits.
    mutating func mergedLayers(_ coding: EightBitCoding? = nil) {
        var random = Values(13)
        let (layers, rows, inputs, outputs, ranks) = (5, 70, 192, 272, [8, 3])
        /// Whole numbers up to `most`, times `unit`.
        func numbers(_ count: Int, most: Int, unit: Float) -> [Float] {
            (0 ..< count).map { _ in Float(Int.random(in: -most ... most, using: &random)) * unit }
        }
        let x = random.floats(rows * inputs)
        let rounded = coding.map { Self.hostRows(x, inputs, $0) }
        let weights = (0 ..< layers).map { _ in
            (
                w: numbers(outputs * inputs, most: 150, unit: 0x1p-12),
                factors: ranks.map {
                    (
                        up: numbers(outputs * $0, most: 3, unit: 0x1p-5),
                        down: numbers($0 * inputs, most: 3, unit: 0x1p-6)
                    )
                }, bias: random.floats(outputs)
            )
        }
        func weight(_ index: Int, _ type: DType) throws(SwanError) -> HostTensor {
            var sum = try HostTensor([outputs, inputs], weights[index].w).rounded(to: type)
            for (rank, factor) in zip(ranks, weights[index].factors) {
                let change = try LowRankChange(
                    up: HostTensor([outputs, rank], factor.up).rounded(to: .bfloat16),
                    down: HostTensor([rank, inputs], factor.down).rounded(to: .bfloat16), factor: 0.5)
                sum = try sum.adding(change)
            }
            return sum
        }
        let (unit, roundoff) = (coding.map { productError($0.format, inputs) } ?? growth(inputs) + 2e-6, roundoff)
        for (name, placement) in [
            ("resident", WeightPlacement.resident), ("pinned", .pinned(resident: 1)), ("file", .file(resident: 0)),
        ] {
            for type in [DType.bfloat16, .float32] {
                compare(
                    "stream",
                    "\(layers) layers with changes\(coding.map { " in \($0.rawValue)" } ?? "") \(name), stored in \(type)",
                    .operations(2 * rows * inputs * outputs * layers),
                    bound: { unit * (4 + abs($1)) + 2 * roundoff * abs($1) }
                ) { (backend) throws(SwanError) in
                    let input = try backend.put(x, [rows, inputs])
                    let rounded = try rounded.map { (rows) throws(SwanError) in try rows.upload(backend) }
                    let stack = try LayerStack(layers, placement, on: backend) {
                        (index) throws(SwanError) -> any LinearWeights in
                        let (weight, bias) = (try weight(index, type), HostTensor([outputs], weights[index].bias))
                        guard let coding else { return try backend.makeLinear(weight: weight, bias: bias) }
                        return try backend.makeLinear(weight: weight, bias: bias, as: coding)
                    }
                    return { () throws(SwanError) in
                        // Twice: the second round finds in turn what the first left.
                        let all = try backend.zeros([layers * rows, outputs], backend.activationType)
                        for _ in 0 ..< 2 {
                            try stack.forEach(on: backend) { (index, layer) throws(SwanError) in
                                let y: Tensor
                                if let rounded, let layer = layer as? any EightBitWeights {
                                    y = try backend.linear(rounded, layer, result: backend.activationType)
                                } else {
                                    y = try backend.linear(input, layer, activation: .identity)
                                }
                                try backend.copy(y, into: all.rows(index * rows ..< (index + 1) * rows))
                            }
                        }
                        return all
                    }
                }
            }
        }
    }
}
