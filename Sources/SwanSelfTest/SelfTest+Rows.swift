import SwanDiagnostics
import SwanTensor

extension SelfTest {
    /// Uploading, copying, downloading.
    mutating func memory() {
        var random = Values(1)
        let values = random.floats(1023 * 7)
        let exact = { (_: Int, _: Double) in 0.0 }
        compare("upload", "[1023, 7]", .elements(2 * values.count), bound: exact) { (backend) throws(SwanError) in
            { () throws(SwanError) in try backend.put(values, [1023, 7]) }
        }
        // Host memory that is gone, and used for something else, before the device can have read it.
        let (parts, rows, width) = (24, 256, 384)
        let ordinary = random.floats(rows * width)
        compareValues(
            "upload", "\(parts) of [\(rows), \(width)], forgotten at once", .elements(2 * parts * rows * width),
            bound: exact
        ) { (backend) throws(SwanError) in
            func uploads() throws(SwanError) -> [Tensor] {
                var tensors: [Tensor] = []
                for part in 1 ... parts {
                    tensors.append(try backend.put(ordinary.map { $0 * Float(part) }, [rows, width], as: .float32))
                }
                return tensors
            }
            return Prepared(run: { () throws(SwanError) in _ = try uploads() }) { () throws(SwanError) in
                var values: [Float] = []
                for tensor in try uploads() { values += try backend.download(tensor) }
                return Result(extents: [parts, rows, width], values: values)
            }
        }
        compare("copy", "rows of [1023, 7]", .elements(2 * values.count), bound: exact) { (backend) throws(SwanError) in
            let source = try backend.put(values, [1023, 7])
            let target = try backend.zeros([1023, 7], backend.activationType)
            return { () throws(SwanError) in
                try backend.copy(source.rows(1 ..< 1022), into: target.rows(2 ..< 1023))
                return target
            }
        }
    }

    /// Products and what is applied to their elements.
    mutating func linear() {
        var random = Values(2)
        let sizes = [
            (rows: 1, inputs: 256, outputs: 1536), (113, 203, 61), (203, 1536, 384), (64, 384, 1536), (5, 33, 7),
        ]
        for (index, size) in sizes.enumerated() {
            let (rows, inputs, outputs) = size
            let x = random.floats(rows * inputs)
            let w = random.floats(outputs * inputs, size: 1 / Float(inputs).squareRoot())
            let bias = random.floats(outputs)
            let activation = Activation.allCases[index % 3]
            let hasBias = index != 3
            // The device may add the bias in its activation type.
            let unit = growth(inputs) + 2e-6
            let roundoff = roundoff
            compare(
                "linear", "\(rows)x\(inputs)x\(outputs) \(activation)\(hasBias ? "" : " without bias")",
                .operations(2 * rows * inputs * outputs), bound: { unit * 2 + 2 * roundoff * abs($1) + unit * abs($1) }
            ) { (backend) throws(SwanError) in
                let weights = try backend.makeLinear(
                    weight: HostTensor([outputs, inputs], w), bias: hasBias ? HostTensor([outputs], bias) : nil)
                let input = try backend.put(x, [rows, inputs])
                return { () throws(SwanError) in try backend.linear(input, weights, activation: activation) }
            }
        }
        float32Linear(&random)
        let roundoff = roundoff

        let special: [Float] = [.nan, .infinity, -.infinity, 0x1p100, -0x1p100, 0x1p-100, 0, -0.0, 88.5, -88.5, -104]
        let grid = (-1000 ... 1000).map { rounded(Float($0) * 0.02) } + special
        for activation in Activation.allCases {
            compare(
                "activate", "[\(grid.count)] \(activation), special values", .elements(2 * grid.count),
                bound: { index, exact in
                    // e^-z is as wrong as the rounding of z makes it; where 1 + tanh cancels, all is near 0.
                    let z = Double(grid[index])
                    let slope = activation == .identity ? 0 : min(4 + 4 * abs(z * z * z), 400)
                    return (slope * Self.float32Roundoff + roundoff) * abs(exact)
                        + (activation == .identity ? 0 : min(abs(z), 100) * 0x1p-24) + 1e-36
                }
            ) { (backend) throws(SwanError) in
                let input = try backend.put(grid, [grid.count])
                return { () throws(SwanError) in try backend.activate(input, activation) }
            }
        }
        let ordinary = random.floats(1023, size: 4)
        compare(
            "activate", "[1023] silu of float32", .elements(2 * ordinary.count),
            bound: { (2 + abs(Double(ordinary[$0]))) * 0x1p-22 * abs($1) + 1e-36 }
        ) { (backend) throws(SwanError) in
            let input = try backend.put(ordinary, [1023], as: .float32)
            return { () throws(SwanError) in try backend.activate(input, .silu) }
        }
        let (gate, up) = (random.floats(203 * 31, size: 4), random.floats(203 * 31, size: 4))
        compare(
            "geluGate", "[203, 31]", .elements(3 * gate.count),
            bound: { (2e-6 + roundoff) * abs($1) + 4 * 0x1p-22 * abs(Double(up[$0])) }
        ) { (backend) throws(SwanError) in
            let (a, b) = (try backend.put(gate, [203, 31]), try backend.put(up, [203, 31]))
            return { () throws(SwanError) in try backend.geluGate(a, b) }
        }
    }

    /// Products that take or give float32: the timestep's path, and what begins and ends the residual stream.
    private mutating func float32Linear(_ random: inout Values) {
        for (rows, inputs, outputs, isWide, activation, result) in [
            (21, 256, 512, true, Activation.silu, nil), (1, 256, 1536, true, .silu, DType.float32),
            (2, 1536, 9216, true, .identity, .float32), (1024, 64, 1536, false, .identity, .float32),
            (131, 1536, 64, false, .identity, .float32), (300, 40, 24, false, .geluTanh, .float32),
        ] {
            let x = random.floats(rows * inputs)
            let w = random.floats(outputs * inputs, size: 1 / Float(inputs).squareRoot())
            let bias = random.floats(outputs)
            let (unit, roundoff) = (growth(inputs) + 2e-6, result == .float32 ? 0 : roundoff)
            compare(
                "linear",
                "\(rows)x\(inputs)x\(outputs) \(activation)\(isWide ? " of float32" : "")"
                    + (result == .float32 ? " to float32" : ""), .operations(2 * rows * inputs * outputs),
                bound: { unit * 4 + (roundoff + unit) * abs($1) }
            ) { (backend) throws(SwanError) in
                let weights = try backend.makeLinear(
                    weight: HostTensor([outputs, inputs], w), bias: HostTensor([outputs], bias))
                let input = try isWide ? backend.put(x, [rows, inputs], as: .float32) : backend.put(x, [rows, inputs])
                return { () throws(SwanError) in
                    try backend.linear(
                        input, weights, activation: activation, result: result ?? backend.activationType)
                }
            }
        }
    }

    /// Errors of a sum of `terms` terms of size 1, each rounded: they grow like the square root.
    ///
    /// Source: Higham and Mary, "A new approach to probabilistic rounding error analysis", 2019.
    func growth(_ terms: Int) -> Double { (4 + 2 * Double(terms).squareRoot()) * Self.float32Roundoff }

    /// Norms, rotary embedding, modulation and residual sums.
    mutating func normalization() {
        var random = Values(3)
        let roundoff = roundoff
        let float32 = Self.float32Roundoff
        for (kind, width) in zip(HardRow.allCases, [5120, 1023, 1536, 203, 384, 4096]) {
            let rows = 6
            let x = random.rows(kind, rows, width)
            let (weight, bias) = (random.floats(width), random.floats(width))
            let (shift, scale) = (random.floats(3 * width), random.floats(3 * width))
            let bound = normBound(x, width: width)
            let elements = 3 * x.count
            compare("layerNorm", "[\(rows), \(width)] \(kind)", .elements(elements), bound: bound) {
                (backend) throws(SwanError) in
                let input = try backend.put(x, [rows, width], as: .float32)
                let (w, b) = (
                    try backend.put(weight, [width], as: .float32), try backend.put(bias, [width], as: .float32)
                )
                return { () throws(SwanError) in try backend.layerNorm(input, weight: w, bias: b, eps: 1e-6) }
            }
            compare("layerNormModulate", "[\(rows), \(width)] 3 groups \(kind)", .elements(elements), bound: bound) {
                (backend) throws(SwanError) in
                let input = try backend.put(x, [rows, width], as: .float32)
                let a = try backend.put(shift, [3, width], as: .float32)
                let b = try backend.put(scale, [3, width], as: .float32)
                return { () throws(SwanError) in try backend.layerNormModulate(input, shift: a, scale: b, eps: 1e-6) }
            }
            for isFloat in [false, true] {
                compare(
                    "rmsNorm", "[\(rows), \(width)] \(isFloat ? "float32 " : "")\(kind)", .elements(2 * x.count),
                    bound: { (24 * float32 + roundoff) * abs($1) }
                ) { (backend) throws(SwanError) in
                    let input = try backend.put(x, [rows, width], as: isFloat ? .float32 : nil)
                    let w = try backend.put(weight, [width], as: .float32)
                    return { () throws(SwanError) in try backend.rmsNorm(input, weight: w, eps: 1e-6) }
                }
            }
        }
        for (tokens, heads, pairs) in [(113, 12, 64), (60, 3, 7), (64, 6, 32)] {
            let width = heads * pairs * 2
            let (x, weight) = (random.floats(tokens * width, size: 3), random.floats(width))
            let (cosines, sines) = (random.floats(tokens * pairs), random.floats(tokens * pairs))
            compare(
                "rmsNormRope", "[\(tokens), \(width)] heads of \(2 * pairs)", .elements(2 * x.count),
                bound: { 64 * float32 + roundoff * abs($1) }
            ) { (backend) throws(SwanError) in
                let input = try backend.put(x, [tokens, width])
                let w = try backend.put(weight, [width], as: .float32)
                let rope = RotaryTable(
                    cosines: try backend.put(cosines, [tokens, pairs], as: .float32),
                    sines: try backend.put(sines, [tokens, pairs], as: .float32))
                return { () throws(SwanError) in try backend.rmsNormRope(input, weight: w, eps: 1e-6, rope: rope) }
            }
        }
        normsOfSums(&random)
        for (tokens, groups, width) in [(63, 21, 1536), (35, 5, 203)] {
            let (x, y, gate) = (
                random.floats(tokens * width), random.floats(tokens * width), random.floats(groups * width)
            )
            let shape: Shape = [tokens, width]
            compare("addGated", "\(shape) \(groups) groups", .elements(5 * x.count), bound: { _, _ in 4 * float32 }) {
                (backend) throws(SwanError) in
                let a = try backend.put(x, shape, as: .float32)
                let b = try backend.put(y, shape)
                let g = try backend.put(gate, [groups, width], as: .float32)
                return { () throws(SwanError) in
                    try backend.addGated(b, gate: g, to: a)
                    return a
                }
            }
            for isFloat in [false, true] {
                compare(
                    "add", "\(shape)\(isFloat ? " float32" : "")", .elements(5 * x.count),
                    bound: { _, _ in 2 * float32 }
                ) { (backend) throws(SwanError) in
                    let a = try backend.put(x, shape, as: .float32)
                    let b = try backend.put(y, shape, as: isFloat ? .float32 : nil)
                    return { () throws(SwanError) in
                        try backend.add(b, to: a)
                        return a
                    }
                }
            }
            for parts in [6, 1] {
                let table = random.floats(6 * width)
                let timestep = random.floats(groups * parts * width)
                compare(
                    "modulation", "6 parts, [\(groups), \(parts * width)]", .elements(12 * groups * width),
                    bound: { _, _ in 2 * float32 }
                ) { (backend) throws(SwanError) in
                    let t = try backend.put(timestep, [groups, parts * width], as: .float32)
                    let own = try backend.put(table, [6, width], as: .float32)
                    return { () throws(SwanError) in try backend.modulation(t, table: own) }
                }
            }
        }
    }

    /// Norms of the residual stream with a branch: the stream and behind it the norm are compared.
    private mutating func normsOfSums(_ random: inout Values) {
        for (kind, width) in zip(HardRow.allCases, [5120, 1023, 1536, 203, 384, 4096]) {
            let rows = 6
            let sum = random.rows(kind, rows, width)
            // Half of each value comes from the branch, by gates that are powers of two: every device adds without
            // rounding and normalises the same numbers.
            let half = sum.map { $0 / 2 }
            let gate = random.floats(3 * width).map { $0 < -0.5 ? -0.5 : $0 < 0 ? 0.5 : $0 < 0.5 ? 1 : 2 as Float }
            let branch = half.indices.map { half[$0] / gate[$0 / (2 * width) * width + $0 % width] }
            let (weight, bias) = (random.floats(width), random.floats(width))
            let (shift, scale) = (random.floats(3 * width), random.floats(3 * width))
            let normBound = normBound(sum, width: width)
            let bound = { (index: Int, exact: Double) in
                index < sum.count ? 0 : normBound(index - sum.count, exact)
            }
            let name = "[\(rows), \(width)] 3 groups \(kind)"
            let work = Work.elements(6 * sum.count)
            compareValues("addGatedLayerNorm", name, work, bound: bound) { (backend) throws(SwanError) in
                let x = try backend.put(half, [rows, width], as: .float32)
                let y = try backend.put(branch, [rows, width])
                let g = try backend.put(gate, [3, width], as: .float32)
                let w = try backend.put(weight, [width], as: .float32)
                let b = try backend.put(bias, [width], as: .float32)
                return Self.updating(x, on: backend) { () throws(SwanError) in
                    try backend.addGatedLayerNorm(y, gate: g, to: x, weight: w, bias: b, eps: 1e-6)
                }
            }
            for isGated in [false, true] {
                compareValues("addLayerNormModulate", name + (isGated ? ", gated" : ""), work, bound: bound) {
                    (backend) throws(SwanError) in
                    let x = try backend.put(half, [rows, width], as: .float32)
                    let y = try backend.put(isGated ? branch : half, [rows, width])
                    let g = isGated ? try backend.put(gate, [3, width], as: .float32) : nil
                    let a = try backend.put(shift, [3, width], as: .float32)
                    let b = try backend.put(scale, [3, width], as: .float32)
                    return Self.updating(x, on: backend) { () throws(SwanError) in
                        try backend.addLayerNormModulate(y, gate: g, to: x, shift: a, scale: b, eps: 1e-6)
                    }
                }
            }
        }
    }

    /// An operation that changes `x` and returns another tensor: both are its result.
    private static func updating(
        _ x: Tensor, on backend: any Backend, _ run: @escaping () throws(SwanError) -> Tensor
    ) -> Prepared {
        Prepared(run: { () throws(SwanError) in _ = try run() }) { () throws(SwanError) in
            let h = try run()
            return Result(extents: h.shape.extents, values: try backend.download(x) + backend.download(h))
        }
    }

    /// The error that rounding explains in a layer norm of these rows: a difference from the mean is rounded at the
    /// size of the values, and the spread enlarges that.
    func normBound(_ x: [Float], width: Int) -> (_ index: Int, _ exact: Double) -> Double {
        let scales = stride(from: 0, to: x.count, by: width).map { enlargement(x[$0 ..< $0 + width]) }
        let roundoff = roundoff
        return { index, exact in
            (4 * scales[index / width] + 16 * (abs(exact) + 2)) * Self.float32Roundoff + roundoff * abs(exact)
        }
    }

    /// The largest value of a row over the root of its variance plus eps.
    private func enlargement(_ row: ArraySlice<Float>) -> Double {
        let mean = row.reduce(0.0) { $0 + Double($1) } / Double(row.count)
        let variance = row.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) } / Double(row.count)
        return row.reduce(0.0) { max($0, abs(Double($1))) } / (variance + 1e-6).squareRoot()
    }
}
