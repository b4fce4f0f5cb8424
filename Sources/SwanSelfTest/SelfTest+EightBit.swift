import SwanDiagnostics
import SwanNN
import SwanTensor

extension SelfTest {
    /// Rows in eight bits and products of them.
    mutating func eightBit() {
        for coding in codings {
            var random = Values(9)
            quantizedRows(coding)
            quantizedNorms(coding)
            eightBitLinear(coding, &random)
            eightBitStreaming(coding, &random)
            mergedLayers(coding)
            largeMergedLayer(coding)
            largeEightBitLinear(coding)
        }
    }

    /// Rounding alone, which is the same bits everywhere.
    private mutating func quantizedRows(_ coding: EightBitCoding) {
        var random = Values(10)
        var cases = Array(zip(HardRow.allCases, [5120, 1023, 13824, 203, 384, 32]))
        // A block of every size, in rows that no number of warps fills.
        if coding == .rotatedInt8 { cases += [1282, 1284, 1288, 1296, 1312, 1344, 1408].map { (.ordinary, $0) } }
        for (kind, width) in cases {
            var x = random.rows(kind, 5, width)
            // A row of a NaN and one of an infinity, beside one that both leave alone.
            x[width / 2] = .nan
            x[2 * width] = -.infinity
            for isFloat in [false, true] {
                compareRows(
                    "quantizeRows", "[5, \(width)] \(isFloat ? "float32 " : "")to \(coding.rawValue), \(kind), NaN",
                    .elements(2 * x.count), bound: { _, _ in 0 }, scaleBound: { _, _ in 0 }
                ) { (backend) throws(SwanError) in
                    let input = try backend.put(x, [5, width], as: isFloat ? .float32 : nil)
                    return { () throws(SwanError) in try backend.quantizeRows(input, to: coding) }
                }
            }
        }
    }

    /// Norms whose result is stored in eight bits: as far from the unrounded norm as rounding explains.
    private mutating func quantizedNorms(_ coding: EightBitCoding) {
        var random = Values(11)
        var cases = Array(zip(HardRow.allCases, [5120, 1023, 1536, 203, 384, 4096]))
        if coding == .rotatedInt8 { cases += [1282, 1284, 1408].map { (.ordinary, $0) } }
        for (kind, width) in cases {
            let rows = 6
            let sum = random.rows(kind, rows, width)
            let half = sum.map { $0 / 2 }
            let (shift, scale) = (random.floats(3 * width), random.floats(3 * width))
            let (weight, bias) = (random.floats(width), random.floats(width))
            let ones = [Float](repeating: 1, count: 3 * width)
            let norm = normBound(sum, width: width)
            // Rounded to eight bits and not to the activation type.
            let bound = { [roundoff] (index: Int, exact: Double) in norm(index, exact) - roundoff * abs(exact) }
            let name = "[\(rows), \(width)] to \(coding.rawValue), \(kind)"
            compareQuantized("layerNorm", name, coding, width, .elements(3 * sum.count), bound) {
                (backend) throws(SwanError) in
                let x = try backend.put(sum, [rows, width], as: .float32)
                let w = try backend.put(weight, [width], as: .float32)
                let b = try backend.put(bias, [width], as: .float32)
                return Both(
                    exact: { () throws(SwanError) in try backend.layerNorm(x, weight: w, bias: b, eps: 1e-6) },
                    rounded: { () throws(SwanError) in
                        try backend.layerNorm(x, weight: w, bias: b, eps: 1e-6, to: coding)
                    })
            }
            compareQuantized("layerNormModulate", name, coding, width, .elements(3 * sum.count), bound) {
                (backend) throws(SwanError) in
                let x = try backend.put(sum, [rows, width], as: .float32)
                let a = try backend.put(shift, [3, width], as: .float32)
                let b = try backend.put(scale, [3, width], as: .float32)
                return Both(
                    exact: { () throws(SwanError) in try backend.layerNormModulate(x, shift: a, scale: b, eps: 1e-6) },
                    rounded: { () throws(SwanError) in
                        try backend.layerNormModulate(x, shift: a, scale: b, eps: 1e-6, to: coding)
                    })
            }
            compareQuantized("addGatedLayerNorm", name, coding, width, .elements(6 * sum.count), bound) {
                (backend) throws(SwanError) in
                let y = try backend.put(half, [rows, width])
                let g = try backend.put(ones, [3, width], as: .float32)
                let w = try backend.put(weight, [width], as: .float32)
                let b = try backend.put(bias, [width], as: .float32)
                // The stream is changed by each call: a new one for each.
                func stream() throws(SwanError) -> Tensor { try backend.put(half, [rows, width], as: .float32) }
                return Both(
                    exact: { () throws(SwanError) in
                        try backend.addGatedLayerNorm(y, gate: g, to: stream(), weight: w, bias: b, eps: 1e-6)
                    },
                    rounded: { () throws(SwanError) in
                        try backend.addGatedLayerNorm(
                            y, gate: g, to: stream(), weight: w, bias: b, eps: 1e-6, as: coding)
                    })
            }
            for isGated in [false, true] {
                let name = name + (isGated ? ", gated" : "")
                compareQuantized("addLayerNormModulate", name, coding, width, .elements(6 * sum.count), bound) {
                    (backend) throws(SwanError) in
                    let y = try backend.put(half, [rows, width])
                    let g = isGated ? try backend.put(ones, [3, width], as: .float32) : nil
                    let a = try backend.put(shift, [3, width], as: .float32)
                    let b = try backend.put(scale, [3, width], as: .float32)
                    func stream() throws(SwanError) -> Tensor { try backend.put(half, [rows, width], as: .float32) }
                    return Both(
                        exact: { () throws(SwanError) in
                            try backend.addLayerNormModulate(y, gate: g, to: stream(), shift: a, scale: b, eps: 1e-6)
                        },
                        rounded: { () throws(SwanError) in
                            try backend.addLayerNormModulate(
                                y, gate: g, to: stream(), shift: a, scale: b, eps: 1e-6, as: coding)
                        })
                }
            }
        }
    }

    /// What a product of eight-bit numbers may be off, with terms that add up to about 1: whole numbers are exact but
    /// for their scales, and so are float32 sums of fp8 but for rounding. Matrix units that multiply fp8 drop what is
    /// below 2^-13 of the largest term, once for each 32 terms.
    func productError(_ format: EightBitFormat, _ inputs: Int) -> Double {
        let units = format == .fp8 && device.activationType != .float32 ? Double(inputs / 32 + 1) * 0x1p-13 : 0
        return growth(inputs) + 8 * Self.float32Roundoff + units
    }

    private mutating func eightBitLinear(_ coding: EightBitCoding, _ random: inout Values) {
        let roundoff = roundoff
        for (index, size) in [
            (rows: 1, inputs: 256, outputs: 1536), (113, 208, 61), (140, 1536, 144), (260, 80, 304), (40, 512, 272),
        ].enumerated() {
            let (rows, inputs, outputs) = size
            let x = Self.hostRows(random.floats(rows * inputs), inputs, coding)
            let w = random.floats(outputs * inputs, size: 1 / Float(inputs).squareRoot())
            let bias = random.floats(outputs)
            let (hasBias, unit) = (index != 3, productError(coding.format, inputs))
            let activation = Activation.allCases[index % 3]
            func weights(_ backend: any Backend) throws(SwanError) -> any EightBitWeights {
                let bias = hasBias ? HostTensor([outputs], bias) : nil
                // Rounded on the device, and rounded before.
                let weight = HostTensor([outputs, inputs], w)
                return index % 2 == 0
                    ? try backend.makeLinear(weight: weight, bias: bias, as: coding)
                    : try backend.makeLinear(weight: EightBitWeight(weight, as: coding), bias: bias)
            }
            let name = "\(rows)x\(inputs)x\(outputs) \(coding.rawValue)\(hasBias ? "" : " without bias")"
            let work = Work.operations(2 * rows * inputs * outputs)
            for isFloat in [false, true] {
                compare(
                    "linear", name + (isFloat ? " to float32" : ""), work,
                    bound: { unit * (2 + abs($1)) + (isFloat ? 0 : roundoff * abs($1)) }
                ) { (backend) throws(SwanError) in
                    let (w, input) = (try weights(backend), try x.upload(backend))
                    return { () throws(SwanError) in
                        try backend.linear(input, w, result: isFloat ? .float32 : backend.activationType)
                    }
                }
            }
            // A branch: in the product, or behind it, where it was rounded to the activation type; and a bias may be, too.
            let groups = index == 1 ? 1 : index == 4 ? 2 : rows
            let (residual, gate) = (random.floats(rows * outputs), index == 0 ? nil : random.floats(groups * outputs))
            func factor(_ i: Int) -> Float { gate?[i / outputs / (rows / groups) * outputs + i % outputs] ?? 1 }
            compare(
                "linear", name + " onto the residual" + (gate == nil ? "" : ", gates \(groups)"), work,
                bound: { (i, exact) in
                    let open = abs(Double(factor(i)))
                    let product = abs(exact - Double(residual[i]))
                    return unit * (2 * open + product) + roundoff * (product + open * abs(Double(bias[i % outputs])))
                        + 4 * Self.float32Roundoff * (abs(exact) + product)
                }
            ) { (backend) throws(SwanError) in
                let (w, input) = (try weights(backend), try x.upload(backend))
                let g: Tensor? =
                    if let gate { try backend.put(gate, [groups, outputs], as: .float32) } else { nil }
                return { () throws(SwanError) in
                    let sum = try backend.put(residual, [rows, outputs], as: .float32)
                    guard let y = try backend.linear(input, w, gate: g, onto: sum) else { return sum }
                    // Added on the host: this is no test of another operation.
                    let product = try backend.download(y)
                    return try backend.put(
                        product.indices.map { residual[$0] + factor($0) * product[$0] }, [rows, outputs], as: .float32)
                }
            }
            // The sum may be rounded to the activation type before the function, whose slope is at most 1.13.
            compareQuantized(
                "linear", "\(name), \(activation), to \(coding.rawValue)", coding, outputs, work,
                { _, exact in 1.2 * (unit * (2 + abs(exact)) + roundoff * (abs(exact) + 0.2)) }
            ) { (backend) throws(SwanError) in
                let (w, input) = (try weights(backend), try x.upload(backend))
                return Both(
                    exact: { () throws(SwanError) in
                        try backend.activate(backend.linear(input, w, result: .float32), activation)
                    },
                    rounded: { () throws(SwanError) in
                        try backend.linear(input, w, activation: activation, to: coding)
                    })
            }
        }
    }

    /// Layers in eight bits that take turns in the device's memory.
    private mutating func eightBitStreaming(_ coding: EightBitCoding, _ random: inout Values) {
        let (layers, rows, inputs, outputs) = (5, 70, 192, 272)
        let x = Self.hostRows(random.floats(rows * inputs), inputs, coding)
        let weights = (0 ..< layers).map { _ in
            (w: random.floats(outputs * inputs, size: 1 / Float(inputs).squareRoot()), bias: random.floats(outputs))
        }
        let (unit, roundoff) = (productError(coding.format, inputs), roundoff)
        for (name, placement) in [
            ("pinned", WeightPlacement.pinned(resident: 1)), ("file", .file(resident: 0)),
        ] {
            for isStored in [false, true] {
                compare(
                    "stream", "\(layers) layers in \(coding.rawValue) \(name)\(isStored ? ", stored so" : "")",
                    .operations(2 * rows * inputs * outputs * layers),
                    bound: { unit * (2 + abs($1)) + roundoff * abs($1) }
                ) { (backend) throws(SwanError) in
                    let input = try x.upload(backend)
                    let stack = try LayerStack(layers, placement, on: backend) {
                        (index) throws(SwanError) -> any EightBitWeights in
                        let weight = HostTensor([outputs, inputs], weights[index].w)
                        let bias = HostTensor([outputs], weights[index].bias)
                        return isStored
                            ? try backend.makeLinear(weight: EightBitWeight(weight, as: coding), bias: bias)
                            : try backend.makeLinear(weight: weight, bias: bias, as: coding)
                    }
                    return { () throws(SwanError) in
                        let all = try backend.zeros([layers * rows, outputs], backend.activationType)
                        for _ in 0 ..< 2 {
                            try stack.forEach(on: backend) { (index, layer) throws(SwanError) in
                                let y = try backend.linear(input, layer, result: backend.activationType)
                                try backend.copy(y, into: all.rows(index * rows ..< (index + 1) * rows))
                            }
                        }
                        return all
                    }
                }
            }
        }
    }

    /// A product as large as a model's, for its rate: the reference computes a few of its rows. On devices that take
    /// a second for it there is nothing to learn from it.
    private mutating func largeEightBitLinear(_ coding: EightBitCoding) {
        guard device.activationType != .float32 else { return }
        let (rows, width, sample) = (8192, 5120, 3)
        let x = HostTensor([rows, width], .bfloat16, Noise(seed: 1, deviation: 0.5))
        let w = HostTensor([width, width], .bfloat16, Noise(seed: 2, deviation: 0.5 / Float(width).squareRoot()))
        let (unit, roundoff) = (productError(coding.format, width), roundoff)
        compareValues(
            "linear", "\(rows)x\(width)x\(width) \(coding.rawValue), \(sample) rows",
            .operations(2 * rows * width * width),
            bound: { unit * (2 + abs($1)) + roundoff * abs($1) }
        ) { (backend) throws(SwanError) in
            let isWhole = backend.activationType != .float32
            let weights = try backend.makeLinear(weight: w, bias: nil, as: coding)
            let taken = isWhole ? x : try x.slice(rows - sample ..< rows)
            let input = try backend.quantizeRows(backend.upload(taken, as: backend.activationType), to: coding)
            func run() throws(SwanError) -> Tensor {
                try backend.linear(input, weights, result: backend.activationType)
            }
            return Prepared(run: { () throws(SwanError) in _ = try run() }) { () throws(SwanError) in
                let y = try run()
                return Result(
                    extents: [sample, width],
                    values: try backend.download(y.rows(y.shape[0] - sample ..< y.shape[0])))
            }
        }
    }

    // Comparisons ---------------------------------------------------------------------------------

    /// Rows in eight bits, in host memory.
    struct HostRows {
        let values, scales: HostTensor
        let coding: EightBitCoding

        func upload(_ backend: any Backend) throws(SwanError) -> QuantizedRows {
            try QuantizedRows(
                values: backend.upload(values, as: values.dtype), scales: backend.upload(scales, as: .float32),
                as: coding)
        }
    }

    static func hostRows(_ x: [Float], _ width: Int, _ coding: EightBitCoding) -> HostRows {
        var bytes = [UInt8](repeating: 0, count: x.count)
        var scales: [Float] = []
        x.withUnsafeBufferPointer { x in
            bytes.withUnsafeMutableBufferPointer { bytes in
                for first in stride(from: 0, to: x.count, by: width) {
                    scales.append(
                        coding.encode(
                            UnsafeBufferPointer(rebasing: x[first ..< first + width]),
                            into: UnsafeMutableBufferPointer(rebasing: bytes[first ..< first + width])))
                }
            }
        }
        return HostRows(
            values: HostTensor([scales.count, width], coding.format, bytes), scales: HostTensor([scales.count], scales),
            coding: coding)
    }

    /// Compares the values that rows stand for, and behind them their scales.
    private mutating func compareRows(
        _ operation: String, _ shape: String, _ work: Work, bound: (Int, Double) -> Double,
        scaleBound: (Int, Double) -> Double,
        _ body: (any Backend) throws(SwanError) -> () throws(SwanError) -> QuantizedRows
    ) {
        var count = 0
        func countValues(_ result: Result) -> Result {
            count = result.values.count - result.extents[0]
            return result
        }
        compareValues(
            operation, shape, work, bound: { $0 < count ? bound($0, $1) : scaleBound($0 - count, $1) }
        ) { (backend) throws(SwanError) in
            let run = try body(backend)
            return Prepared(run: { () throws(SwanError) in _ = try run() }) { () throws(SwanError) in
                countValues(try Self.result(run(), backend))
            }
        }
    }

    private static func result(_ rows: QuantizedRows, _ backend: any Backend) throws(SwanError) -> Result {
        let (values, scales) = (try backend.download(rows.values), try backend.download(rows.scales))
        let width = rows.values.shape[1]
        return Result(
            extents: rows.values.shape.extents,
            values: values.indices.map { values[$0] * scales[$0 / width] } + scales)
    }

    /// An operation in both forms.
    private struct Both {
        let exact: () throws(SwanError) -> Tensor
        let rounded: () throws(SwanError) -> QuantizedRows
    }

    /// Values rotated by the plain formula, and what they may be off: errors of a block's values add up like their squares,
    /// but for a small factor, or all of them if those are few; and float32 rounds the sums.
    private static func rotate(_ values: inout [Double], _ errors: inout [Double], block: Int) {
        guard block > 1 else { return }
        let unit = 1 / Double(block).squareRoot()
        for first in stride(from: 0, to: values.count, by: block) {
            let part = Array(values[first ..< first + block])
            let sum = errors[first ..< first + block].reduce(0, +)
            let root = errors[first ..< first + block].reduce(0) { $0 + $1 * $1 }.squareRoot()
            let size = part.reduce(0) { $0 + abs($1) }
            for row in 0 ..< block {
                values[first + row] =
                    unit * part.indices.reduce(0) { $0 + Double(EightBitCoding.element(row, $1)) * part[$1] }
                errors[first + row] = unit * (min(sum, 4 * root) + 8 * float32Roundoff * size)
            }
        }
    }

    /// Compares an operation with an eight-bit result: a value may be half a step of the format from what the
    /// reference has before rounding, and as much as its computation explains.
    private mutating func compareQuantized(
        _ operation: String, _ shape: String, _ coding: EightBitCoding, _ width: Int, _ work: Work,
        _ error: (_ index: Int, _ exact: Double) -> Double, _ body: (any Backend) throws(SwanError) -> Both
    ) {
        guard operations.isEmpty || operations.contains(operation) else { return }
        var exact: [Double] = []
        var errors: [Double] = []
        var largest: [Double] = []
        do throws(SwanError) {
            exact = try reference.download(body(reference).exact()).map(Double.init)
            errors = exact.indices.map { error($0, exact[$0]) }
            Self.rotate(&exact, &errors, block: coding.block(of: width))
            largest = stride(from: 0, to: exact.count, by: width).map { first in
                exact[first ..< first + width].reduce(0) { max($0, abs($1)) }
            }
        } catch {
            // It is reported where the operation itself fails.
        }
        /// How far the row's largest value, and with it its scale, may be off.
        func scaleError(_ row: Int) -> Double {
            (row * width ..< (row + 1) * width).reduce(0) { $1 < errors.count ? max($0, errors[$1]) : $0 }
        }
        let scaleErrors = largest.indices.map(scaleError)
        compareRows(
            operation, shape, work,
            bound: { index, rounded in
                let (value, row) = (exact[index], index / width)
                let off = errors[index] + 8 * Self.float32Roundoff * abs(value)
                return abs(value - rounded) + off
                    + coding.format.halfStep(abs(value) + off, largest: largest[row] + scaleErrors[row])
            },
            scaleBound: { row, scale in
                (scaleErrors[row] + 4 * Self.float32Roundoff * largest[row]) / Double(coding.format.largest)
            }
        ) { (backend) throws(SwanError) in try body(backend).rounded }
    }
}

extension EightBitFormat {
    /// Half the distance between neighbouring numbers at a value, in a row whose largest value is given.
    fileprivate func halfStep(_ value: Double, largest: Double) -> Double {
        let scale = max(largest, 0x1p-100) / Double(self.largest)
        guard self == .fp8 else { return scale / 2 }
        let number = max(value / scale, 0x1p-6)
        return scale * Double(sign: .plus, exponent: number.exponent, significand: 1) / 16
    }
}

extension HostTensor {
    /// Eight-bit numbers.
    fileprivate init(_ shape: Shape, _ format: EightBitFormat, _ bytes: [UInt8]) {
        guard let tensor = try? HostTensor(shape, format.dtype, bytes.withUnsafeBytes { HostBytes(copying: $0) }) else {
            preconditionFailure("as many bytes as elements")
        }
        self = tensor
    }
}
