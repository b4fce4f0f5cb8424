import Glibc
import SwanDiagnostics
import SwanTensor

extension SelfTest {
    /// Attention, with every form of bias and heads of many widths.
    mutating func attention() {
        var random = Values(4)
        let roundoff = roundoff
        let isNarrow = device.activationType != .float32
        var sizes: [(queries: Int, keys: Int, heads: Int, width: Int)] = [
            (203, 203, 3, 128), (130, 513, 2, 64), (64, 33, 2, 128), (37, 41, 1, 384),
            (5, 18, 3, 20), (1, 1, 1, 16), (60, 77, 2, 96), (1, 1, 2, 128), (63, 64, 2, 128), (65, 113, 2, 128),
            (129, 176, 1, 128), (257, 353, 1, 128),
        ]
        // Whole clips: on a GPU the number of tiles is its kernels' own.
        if device.canStreamWeights {
            sizes += [(32_761, 2, 1, 128), (7, 32_760, 1, 128), (5, 32_761, 1, 128), (3, 75_600, 1, 128)]
            sizes += [(2, 130_000, 1, 128)]
        }
        // Kernels of fewer bits are made for many keys, and have a test of their own.
        if !device.isAttentionExact { sizes.removeAll { $0.keys >= 2048 && $0.width == 128 } }
        for (index, size) in sizes.enumerated() {
            let (queries, keys, heads, width) = size
            let q = random.floats(queries * heads * width, size: 3)
            let k = random.floats(keys * heads * width, size: 2)
            let v = random.floats(keys * heads * width)
            // A logit's rounding error moves its weight by as much; weights may be rounded once, to the
            // activation type, and are at most 1 together, times values of at most 1.
            let logit = 6 * Double(width).squareRoot() + 3
            let error = 8 * logit * Self.float32Roundoff + 2 * growth(keys) + (isNarrow ? roundoff : 0)
            var forms: [(name: String, shape: Shape?, values: [Float])] = [("", nil, [])]
            if index < 3 {
                forms.append(("bias per key", [1, 1, keys], random.floats(keys, size: 3)))
                forms.append(("full bias", [heads, queries, keys], random.floats(heads * queries * keys, size: 3)))
                var removed = random.floats(keys, size: 3)
                for key in 0 ..< keys where key < keys / 2 || key > keys / 2 + 3 { removed[key] = -.infinity }
                forms.append(("most keys removed", [1, 1, keys], removed))
                var masked = random.floats(queries * keys, size: 3)
                for key in 0 ..< keys { masked[queries / 2 * keys + key] = -.infinity }
                forms.append(("a query without keys", [1, queries, keys], masked))
            }
            for form in forms {
                compare(
                    "attention", "\(queries)x\(keys), \(heads) heads of \(width) \(form.name)",
                    .operations(4 * queries * keys * heads * width), bound: { error + roundoff * abs($1) }
                ) { (backend) throws(SwanError) in
                    let a = try backend.put(q, [queries, heads, width])
                    let b = try backend.put(k, [keys, heads, width])
                    let c = try backend.put(v, [keys, heads, width])
                    let bias: Tensor? =
                        if let shape = form.shape { try backend.put(form.values, shape, as: .float32) } else { nil }
                    return { () throws(SwanError) in
                        try backend.attention(q: a, k: b, v: c, scale: 1 / Float(width).squareRoot(), bias: bias)
                    }
                }
            }
        }
    }

    /// Attention of values that break careless code: with keys that are all alike, logits far beyond any exponent,
    /// logits that are nothing, and a query that is not a number, which may spoil no other.
    mutating func attentionOfHardValues() {
        let (queries, keys, heads, width) = (65, 200, 2, 128)
        var random = Values(9)
        let q = random.floats(queries * heads * width, size: 3)
        let k = random.floats(keys * heads * width, size: 2)
        let v = random.floats(keys * heads * width)
        let roundoff = roundoff
        let error = 2 * growth(keys) + (device.activationType != .float32 ? roundoff : 0)
        var spoilt = q
        for channel in 0 ..< width { spoilt[30 * heads * width + channel] = .nan }
        let alike = k.indices.map { k[$0 % (heads * width)] }
        let cases: [(name: String, q: [Float], k: [Float])] = [
            ("equal keys", q, alike), ("huge logits", q.map { $0 * 1e17 }, k.map { $0 * 1e17 }),
            ("tiny logits", q.map { $0 * 1e-20 }, k.map { $0 * 1e-20 }), ("a query of NaN", spoilt, k),
        ]
        for (name, q, k) in cases {
            // The logits of ordinary values are as exact as in `attention()`; the others' rounding moves no weight.
            let logit = name == "a query of NaN" ? 8 * (6 * Double(width).squareRoot() + 3) * Self.float32Roundoff : 0
            compare(
                "attention", "\(queries)x\(keys), \(heads) heads of \(width) \(name)",
                .operations(4 * queries * keys * heads * width), bound: { logit + error + roundoff * abs($1) }
            ) { (backend) throws(SwanError) in
                let a = try backend.put(q, [queries, heads, width])
                let b = try backend.put(k, [keys, heads, width])
                let c = try backend.put(v, [keys, heads, width])
                return { () throws(SwanError) in
                    try backend.attention(q: a, k: b, v: c, scale: 1 / Float(width).squareRoot(), bias: nil)
                }
            }
        }
    }

    /// Attention of eight-bit numbers: over many keys, the last tile whole or with one key, and of values that break careless
    /// code. An error of three tenths of what results are like is allowed, ten times the mean one: there are millions of
    /// them, and rows with fewer weights have larger ones.
    mutating func attentionInEightBits() {
        guard !device.isAttentionExact else { return }
        var random = Values(21)
        var sizes = [
            (queries: 1, keys: 2048, heads: 3), (63, 2049, 2), (64, 2111, 1), (113, 2175, 2), (129, 2176, 1),
            (300, 4000, 2), (7, 32_760, 1), (5, 32_761, 1), (3, 75_600, 1), (2, 130_000, 1), (8193, 2050, 1),
        ]
        let hard = sizes.count
        sizes += [(queries: Int, keys: Int, heads: Int)](repeating: (65, 2100, 2), count: 6)
        for (index, size) in sizes.enumerated() {
            let (queries, keys, heads) = size
            let width = 128
            var q = random.floats(queries * heads * width, size: 3)
            var k = random.floats(keys * heads * width, size: 2)
            var v = random.floats(keys * heads * width)
            var name = ""
            switch index - hard {
            case 0:
                name = "equal keys"
                k = k.indices.map { k[$0 % (heads * width)] }
            case 1:
                name = "tiny logits"
                (q, k) = (q.map { $0 * 1e-20 }, k.map { $0 * 1e-20 })
            case 2:
                name = "large channels"
                for row in 0 ..< keys * heads {
                    k[row * width + 5] *= 8
                    k[row * width + 77] += 20
                }
                for row in 0 ..< queries * heads { q[row * width + 5] /= 8 }
            case 3:
                name = "a query of NaN"
                for channel in 0 ..< width { q[30 * heads * width + channel] = .nan }
            case 4:
                name = "equal values"
                v = v.indices.map { v[$0 % (heads * width)] }
            case 5:
                // One key for each query is far above all others.
                name = "huge logits"
                q = q.map { $0 * 1e17 }
                k = k.map { $0 * 1e-3 }
                for row in 0 ..< min(queries, keys) {
                    for channel in 0 ..< heads * width {
                        k[row * heads * width + channel] = q[row * heads * width + channel]
                    }
                }
            default: break
            }
            // Logits of deviation 2: as if e^4 times fewer keys had equal weights.
            let spread = name == "equal keys" || name == "tiny logits" ? 1.0 : 55
            let typical =
                name == "equal values" || name == "huge logits" ? 0.1 : (spread / 3 / Double(keys)).squareRoot()
            let roundoff = roundoff
            compare(
                "attention", "\(queries)x\(keys), \(heads) heads of \(width) in eight bits \(name)",
                .operations(4 * queries * keys * heads * width), bound: { 0.3 * typical + roundoff * abs($1) }
            ) { [q, k, v] (backend) throws(SwanError) in
                let a = try backend.put(q, [queries, heads, width])
                let b = try backend.put(k, [keys, heads, width])
                let c = try backend.put(v, [keys, heads, width])
                return { () throws(SwanError) in
                    try backend.attention(q: a, k: b, v: c, scale: 1 / Float(width).squareRoot(), bias: nil)
                }
            }
        }
    }

    /// Attention from before the norms of queries and keys: as far from the reference as rounding what is normalised, or, in
    /// kernels of fewer bits, as ``attentionInEightBits()`` allows.
    mutating func selfAttention() {
        var random = Values(23)
        let roundoff = roundoff
        var cases: [(tokens: Int, heads: Int, width: Int, name: String)] = [
            (50, 2, 128, ""), (33, 3, 64, ""), (41, 1, 20, ""), (33, 2, 128, "a query of NaN"),
        ]
        if device.fusesSelfAttention(tokens: 2048, heads: 2, width: 128) {
            cases += [
                (2048, 1, 128, ""), (2049, 3, 128, ""), (2175, 5, 128, ""), (2100, 9, 128, "large channels"),
                (2100, 2, 128, "a query of NaN"), (2050, 16, 128, ""),
            ]
        }
        for (tokens, heads, width, name) in cases {
            let (all, pairs) = (heads * width, width / 2)
            var q = random.floats(tokens * all, size: 3)
            var k = random.floats(tokens * all, size: 5)
            let v = random.floats(tokens * all)
            let angles = random.floats(tokens * pairs).map { 3.2 * $0 }
            let (cosines, sines) = (angles.map(cosf), angles.map(sinf))
            let (queryWeight, keyWeight) = (
                random.floats(all).map { 1.5 + $0 }, random.floats(all).map { 1 + $0 / 2 }
            )
            if name == "a query of NaN" { q[20 * all + 7] = .nan }
            if name == "large channels" {
                for row in 0 ..< tokens {
                    k[row * all + 5] *= 16
                    q[row * all + 5] /= 16
                }
            }
            // Normalised rows have values of about 1, so that a logit is a sum of width values of that size over its root,
            // each of which is rounded twice.
            let isEightBits = device.fusesSelfAttention(tokens: tokens, heads: heads, width: width)
            let logit = 2 * roundoff * Double(width).squareRoot()
            let bound =
                isEightBits ? 0.3 * (55 / 3 / Double(tokens)).squareRoot() : logit + 2 * growth(tokens) + 2 * roundoff
            let name = "\(tokens) tokens, \(heads) heads of \(width)\(isEightBits ? " in eight bits" : "") \(name)"
            let work = Work.operations(4 * tokens * tokens * all)
            func place(_ backend: any Backend) throws(SwanError) -> SelfAttentionInput {
                let shape: Shape = [tokens, heads, width]
                return SelfAttentionInput(
                    q: try backend.put(q, shape), k: try backend.put(k, shape), v: try backend.put(v, shape),
                    queryNorm: RowNorm(weight: try backend.put(queryWeight, [all], as: .float32), eps: 1e-6),
                    keyNorm: RowNorm(weight: try backend.put(keyWeight, [all], as: .float32), eps: 1e-6),
                    rope: RotaryTable(
                        cosines: try backend.put(cosines, [tokens, pairs], as: .float32),
                        sines: try backend.put(sines, [tokens, pairs], as: .float32)))
            }
            let scale = 1 / Float(width).squareRoot()
            compare("selfAttention", name, work, bound: { bound + roundoff * abs($1) }) {
                (backend) throws(SwanError) in
                let x = try place(backend)
                return { () throws(SwanError) in
                    try backend.selfAttention(
                        q: x.q, k: x.k, v: x.v, queryNorm: x.queryNorm, keyNorm: x.keyNorm, rope: x.rope, scale: scale)
                }
            }
            guard isEightBits else { continue }
            // Three bits behind the first one; no value is above 1, nor is what the scale has room for.
            compareValues(
                "selfAttention", name + (name.hasSuffix(" ") ? "" : " ") + "to fp8", work,
                bound: { bound + max(abs($1) / 16, 0x1p-10 / 448) * 1.01 }
            ) { (backend) throws(SwanError) in
                let x = try place(backend)
                func run() throws(SwanError) -> QuantizedRows {
                    try backend.selfAttention(
                        q: x.q, k: x.k, v: x.v, queryNorm: x.queryNorm, keyNorm: x.keyNorm, rope: x.rope, scale: scale,
                        to: .fp8)
                }
                return Prepared(run: { () throws(SwanError) in _ = try run() }) { () throws(SwanError) in
                    guard backend.activationType == .float32 else {
                        let rows = try run()
                        let (values, scales) = (try backend.download(rows.values), try backend.download(rows.scales))
                        return Result(
                            extents: [tokens, all], values: values.indices.map { values[$0] * scales[$0 / all] })
                    }
                    let exact = try backend.selfAttention(
                        q: x.q, k: x.k, v: x.v, queryNorm: x.queryNorm, keyNorm: x.keyNorm, rope: x.rope, scale: scale)
                    return Result(extents: [tokens, all], values: try backend.download(exact))
                }
            }
        }
    }

    /// The bias by distance of the text encoder.
    mutating func distanceBias() {
        var random = Values(7)
        for (tokens, heads, rows) in [(1, 3, 4), (40, 6, 32), (133, 2, 32)] {
            let table = random.floats(rows * heads)
            var buckets = (0 ..< 2 * tokens - 1).map { Float($0 * 7 % rows) }
            // No row of the table.
            buckets[tokens / 2] = Float(rows)
            compare(
                "distanceBias", "\(tokens) tokens, \(heads) heads", .elements(2 * heads * tokens * tokens),
                bound: { _, _ in 0 }
            ) { (backend) throws(SwanError) in
                let a = try backend.put(table, [rows, heads], as: .float32)
                let b = try backend.put(buckets, [buckets.count], as: .float32)
                return { () throws(SwanError) in try backend.distanceBias(a, buckets: b) }
            }
        }
    }

    /// Patches and sums of latents.
    mutating func latents() {
        var random = Values(5)
        let roundoff = roundoff
        for (shape, patch) in [
            ([16, 3, 30, 52] as Shape, PatchSize(frames: 1, height: 2, width: 2)),
            ([3, 4, 6, 9] as Shape, PatchSize(frames: 2, height: 2, width: 3)),
        ] {
            let x = random.floats(shape.count)
            compare("patchify", "\(shape)", .elements(2 * x.count), bound: { roundoff * abs($1) }) {
                (backend) throws(SwanError) in
                let latent = try backend.put(x, shape, as: .float32)
                return { () throws(SwanError) in try backend.patchify(latent, patch: patch) }
            }
            let tokens = shape.count / (shape[0] * patch.volume)
            for isFloat in [false, true] {
                compare(
                    "unpatchify", "\(shape)\(isFloat ? " of float32" : "")", .elements(2 * x.count),
                    bound: { _, _ in 0 }
                ) { (backend) throws(SwanError) in
                    let y = try backend.put(x, [tokens, shape[0] * patch.volume], as: isFloat ? .float32 : nil)
                    return { () throws(SwanError) in try backend.unpatchify(y, patch: patch, shape: shape) }
                }
            }
        }
        for (count, terms) in [(1023, 1), (16 * 21 * 60, 3), (1000, 5), (203, 11)] {
            let coefficients = random.floats(terms, size: 2)
            let values = (0 ..< terms).map { _ in random.floats(count) }
            compare(
                "linearCombination", "\(terms) of [\(count)]", .elements((terms + 1) * count),
                bound: { _, _ in Double(4 * terms * terms) * Self.float32Roundoff }
            ) { (backend) throws(SwanError) in
                var all: [(coefficient: Float, tensor: Tensor)] = []
                for (coefficient, value) in zip(coefficients, values) {
                    all.append((coefficient, try backend.put(value, [count], as: .float32)))
                }
                let terms = all
                return { () throws(SwanError) in try backend.linearCombination(terms) }
            }
        }
    }

    /// The autoencoder's operations.
    mutating func video() {
        var random = Values(6)
        let roundoff = roundoff
        let float32 = Self.float32Roundoff
        for (channels, frames, height, width) in [(16, 1, 60, 104), (35, 2, 7, 11)] {
            let count = channels * frames * height * width
            let x = random.floats(count)
            let (scale, shift) = (random.floats(channels), random.floats(channels))
            let outer: Shape = [channels, frames, height, width]
            let inner: Shape = [frames, height, width, channels]
            compare(
                "channelsLast", "\(outer)", .elements(2 * count), bound: { 4 * float32 + roundoff * abs($1) }
            ) { (backend) throws(SwanError) in
                let latent = try backend.put(x, outer, as: .float32)
                let (a, b) = (
                    try backend.put(scale, [channels], as: .float32), try backend.put(shift, [channels], as: .float32)
                )
                return { () throws(SwanError) in try backend.channelsLast(latent, scale: a, shift: b) }
            }
            let taken = channels / 2 + 1
            compare("channelsFirst", "\(taken) of \(inner)", .elements(2 * count), bound: { _, _ in 4 * float32 }) {
                (backend) throws(SwanError) in
                let y = try backend.put(x, inner)
                let a = try backend.put(Array(scale.prefix(taken)), [taken], as: .float32)
                let b = try backend.put(Array(shift.prefix(taken)), [taken], as: .float32)
                return { () throws(SwanError) in try backend.channelsFirst(y, scale: a, shift: b) }
            }
        }
        convolutions(&random)
        for (channels, frames, positions) in [(96, 4, 400), (384, 1, 208), (203, 2, 33), (3, 2, 57)] {
            let shape: Shape = [frames, 1, positions, channels]
            var x = random.floats(shape.count)
            for i in 0 ..< channels { x[3 * channels + i] = 0 }
            x[7 * channels] = .nan
            let (gamma, history) = (random.floats(channels), random.floats(positions * channels))
            let bound = { (_: Int, exact: Double) in 32 * float32 * (1 + abs(exact)) + roundoff * abs(exact) }
            let name = "\(shape), a zero and a NaN"
            compare("channelNorm", name, .elements(2 * x.count), bound: bound) { (backend) throws(SwanError) in
                let (a, g) = (try backend.put(x, shape), try backend.put(gamma, [channels], as: .float32))
                return { () throws(SwanError) in try backend.channelNorm(a, gamma: g) }
            }
            compare("normSiLU", name + ", history", .elements(3 * x.count), bound: bound) {
                (backend) throws(SwanError) in
                let (a, g) = (try backend.put(x, shape), try backend.put(gamma, [channels], as: .float32))
                let h = try backend.put(history, [1, 1, positions, channels])
                return { () throws(SwanError) in try backend.normSiLU(a, gamma: g, history: h, historyFrames: 2) }
            }
            compare("withHistory", name, .elements(3 * x.count), bound: { _, _ in 0 }) { (backend) throws(SwanError) in
                let a = try backend.put(x, shape)
                let h = try backend.put(history, [1, 1, positions, channels])
                return { () throws(SwanError) in try backend.withHistory(a, history: h, historyFrames: 3) }
            }
        }
        for channels in [192, 5] {
            let shape: Shape = [3, 7, 11, 2 * channels]
            let x = random.floats(shape.count)
            compare("frameInterleave", "\(shape)", .elements(2 * x.count), bound: { _, _ in 0 }) {
                (backend) throws(SwanError) in
                let a = try backend.put(x, shape)
                return { () throws(SwanError) in try backend.frameInterleave(a) }
            }
        }
        for width in [416, 13] {
            let shape: Shape = [1, 7, width, 3]
            var x = random.floats(shape.count, size: 1.25)
            for (place, value) in [Float.nan, .infinity, -.infinity, 1, -1, 0].enumerated() { x[place] = value }
            let pixels = x
            compareValues("framesToRGB8", "\(shape), special values", .elements(2 * x.count), bound: { _, _ in 0 }) {
                (backend) throws(SwanError) in
                let a = try backend.put(pixels, shape)
                return Prepared(run: { () throws(SwanError) in _ = try backend.framesToRGB8(a) }) {
                    () throws(SwanError) in
                    let bytes = try backend.framesToRGB8(a)
                    return Result(extents: [bytes.count], values: bytes.map(Float.init))
                }
            }
        }
    }

    /// Convolutions as the autoencoder has them, at small extents.
    private mutating func convolutions(_ random: inout Values) {
        let roundoff = roundoff
        let cases: [(name: String, geometry: ConvolutionShape, input: Shape, hasResidual: Bool)] = [
            ("3x3x3", ConvolutionShape(inputs: 96, outputs: 96, kernel: (3, 3, 3)), [4, 12, 10, 96], true),
            ("1x3x3", ConvolutionShape(inputs: 64, outputs: 32, kernel: (1, 3, 3)), [2, 9, 13, 64], false),
            ("1x1x1", ConvolutionShape(inputs: 48, outputs: 203, kernel: (1, 1, 1)), [1, 7, 5, 48], false),
            ("3x1x1", ConvolutionShape(inputs: 40, outputs: 80, kernel: (3, 1, 1)), [5, 6, 7, 40], false),
            ("3x3x3 to pixels", ConvolutionShape(inputs: 96, outputs: 3, kernel: (3, 3, 3)), [3, 9, 8, 96], false),
            ("3x3x3 of pixels", ConvolutionShape(inputs: 3, outputs: 32, kernel: (3, 3, 3)), [3, 9, 8, 3], false),
            (
                "halving",
                ConvolutionShape(
                    inputs: 32, outputs: 32, kernel: (1, 3, 3), stride: 2, top: 0, bottom: 1, left: 0, right: 1),
                [2, 10, 14, 32], false
            ),
            (
                "halving time", ConvolutionShape(inputs: 24, outputs: 24, kernel: (3, 1, 1), frameStride: 2),
                [5, 6, 7, 24], false
            ),
        ]
        for (name, geometry, input, hasResidual) in cases {
            guard let output = geometry.output(of: input) else { continue }
            let kernel = geometry.kernel
            let terms = geometry.inputs * kernel.frames * kernel.height * kernel.width
            let shape: Shape = [geometry.outputs, geometry.inputs, kernel.frames, kernel.height, kernel.width]
            let x = random.floats(input.count)
            let w = random.floats(shape.count, size: 1 / Float(terms).squareRoot())
            let (bias, residual) = (random.floats(geometry.outputs), random.floats(output.count))
            // A device without a fused end rounds the sum before the bias is added, and again after it.
            let unit = 3 * growth(terms)
            compare(
                "convolution", "\(name) \(input)\(hasResidual ? " residual" : "")",
                .operations(2 * output.count * terms),
                bound: { unit + 2 * roundoff * (abs($1) + 2) }
            ) { (backend) throws(SwanError) in
                let weights = try backend.makeConvolution(
                    geometry, weight: HostTensor(shape, w), bias: HostTensor([geometry.outputs], bias))
                let a = try backend.put(x, input)
                let b: Tensor? = hasResidual ? try backend.put(residual, output) : nil
                return { () throws(SwanError) in try backend.convolution(a, weights, residual: b) }
            }
        }
        for (inputs, outputs, height, width) in [(96, 48, 6, 10), (5, 7, 3, 1)] {
            let x = random.floats(2 * height * width * inputs)
            let w = random.floats(outputs * inputs * 9, size: 1 / Float(9 * inputs).squareRoot())
            let bias = random.floats(outputs)
            // Sums of up to four taps are rounded to the activation type before they are multiplied.
            let unit = 3 * growth(9 * inputs)
            compare(
                "upsample", "[2, \(height), \(width), \(inputs)] to \(outputs)",
                .operations(2 * 8 * height * width * outputs * inputs * 4),
                bound: { unit + 2 * roundoff * (abs($1) + 2) }
            ) { (backend) throws(SwanError) in
                let weights = try backend.makeUpsample(
                    weight: HostTensor([outputs, inputs, 3, 3], w), bias: HostTensor([outputs], bias))
                let a = try backend.put(x, [2, height, width, inputs])
                return { () throws(SwanError) in try backend.upsample(a, weights) }
            }
        }
    }
}

/// What attention among tokens takes, on a device.
private struct SelfAttentionInput {
    let q, k, v: Tensor
    let queryNorm, keyNorm: RowNorm
    let rope: RotaryTable
}
