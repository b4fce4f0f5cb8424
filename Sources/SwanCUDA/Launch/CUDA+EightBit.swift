public import SwanDiagnostics
public import SwanTensor

/// Weights in eight bits, the bias in float32 and in bfloat16.
private final class CUDAEightBit: EightBitWeights {
    let inputs, outputs: Int
    let weight: QuantizedRows
    let bias: Tensor?
    /// What cuBLASLt adds: it wants the result's type.
    let narrowBias: Tensor?
    var coding: EightBitCoding { weight.coding }

    init(_ shapes: LinearWeightShapes, _ weight: QuantizedRows, bias: Tensor?, narrowBias: Tensor?) {
        (inputs, outputs) = (shapes.inputs, shapes.outputs)
        (self.weight, self.bias, self.narrowBias) = (weight, bias, narrowBias)
    }
}

extension CUDABackend {
    // Weights -------------------------------------------------------------------------------------

    /// See `EightBitOps.makeLinear(weight:bias:as:)`. Weights cross the bus as they are stored and are rounded on the
    /// device.
    public func makeLinear(
        weight: HostTensor, bias: HostTensor?, as coding: EightBitCoding
    ) throws(SwanError) -> any EightBitWeights {
        let shapes = try LinearWeightShapes(eightBit: weight, bias: bias)
        return try eightBitLinear(shapes, bias: bias) { () throws(SwanError) in try bring(weight, to: coding) }
    }

    /// See `EightBitOps.makeLinear(weight:bias:)`.
    public func makeLinear(weight: EightBitWeight, bias: HostTensor?) throws(SwanError) -> any EightBitWeights {
        let shapes = try LinearWeightShapes(weight, bias: bias)
        return try eightBitLinear(shapes, bias: bias) { () throws(SwanError) in
            try QuantizedRows(
                values: bringStored(weight.values), scales: bring(weight.scales, as: .float32), as: weight.coding)
        }
    }

    private func eightBitLinear(
        _ shapes: LinearWeightShapes, bias: HostTensor?, _ weight: () throws(SwanError) -> QuantizedRows
    ) throws(SwanError) -> CUDAEightBit {
        let rows = try weight()
        let wideBias: Tensor? = if let bias { try bring(bias, as: .float32) } else { nil }
        return CUDAEightBit(
            shapes, rows, bias: wideBias,
            narrowBias: try wideBias.map { (bias) throws(SwanError) in try derived(bias, as: .bfloat16) })
    }

    /// Weights rounded to eight bits: in new memory, or, while they are read again, where they belong; see
    /// ``bring(_:as:)``.
    private func bring(_ host: HostTensor, to coding: EightBitCoding) throws(SwanError) -> QuantizedRows {
        let (queue, base) = (weightQueue, host.lowRank?.base ?? host)
        let factors = try host.lowRank.map { (parts) throws(SwanError) in try stage(parts.changes, on: queue) }
        let source = try scratch(.values, host.shape, crossingType(base), on: queue)
        let sums = factors == nil ? nil : try sumsOfRows(of: source, on: queue)
        let rows: QuantizedRows
        if let refilling {
            rows = try QuantizedRows(
                values: refilling.next(host.shape, coding.format.dtype),
                scales: refilling.next([host.shape[0]], .float32), as: coding)
        } else {
            rows = try newRows(host.shape, coding)
            recording?.append(rows.values)
            recording?.append(rows.scales)
        }
        try transfer(base, to: source, on: queue)
        guard let factors, let sums else {
            try quantize(source, .identity, into: rows, on: queue)
            return rows
        }
        // Some rows at a time: the next take their sums' place.
        let length = sums.shape[0]
        for first in stride(from: 0, to: host.shape[0], by: length) {
            let range = first ..< min(first + length, host.shape[0])
            let part = try sums.rows(0 ..< range.count)
            try addLowRank(factors, of: range, to: source.rows(range), into: part, on: queue)
            try quantize(part, .identity, into: rows.rows(range), on: queue)
        }
        return rows
    }

    /// Memory for float32 sums of some rows of a matrix, whole tiles of the kernel that makes them.
    private func sumsOfRows(of x: Tensor, on queue: Queue) throws(SwanError) -> Tensor {
        let (tile, bytes) = (KernelPlan.lowRankTile.rows, 32 << 20)
        let rows = min(x.shape[0], max(1, bytes / (4 * x.shape[1] * tile)) * tile)
        return try scratch(.sums, [rows, x.shape[1]], .float32, on: queue)
    }

    /// Eight-bit numbers as they are stored.
    func bringStored(_ host: HostTensor) throws(SwanError) -> Tensor {
        if let refilling {
            let target = try refilling.next(host.shape, host.dtype)
            try send(host, to: target, on: .copies)
            return target
        }
        let target = try allocate(host.shape, host.dtype)
        try send(host, to: target, on: .compute)
        recording?.append(target)
        return target
    }

    // Rows ----------------------------------------------------------------------------------------

    /// Memory for rows in eight bits.
    func newRows(_ shape: Shape, _ coding: EightBitCoding) throws(SwanError) -> QuantizedRows {
        try QuantizedRows(
            values: allocate(shape, coding.format.dtype), scales: allocate([shape[0]], .float32), as: coding)
    }

    private func quantize(
        _ x: Tensor, _ activation: Activation, into rows: QuantizedRows, on queue: Queue = .compute
    ) throws(SwanError) {
        try launch(
            .quantizeRows(
                rows: x.shape[0], width: x.shape[1], input: x.dtype, rows.coding, activation,
                isAligned: isAligned(x, rows.values)),
            [address(x), address(rows.values), address(rows.scales)], [], on: queue)
    }

    /// See `EightBitOps.quantizeRows(_:to:)`.
    public func quantizeRows(_ x: Tensor, to coding: EightBitCoding) throws(SwanError) -> QuantizedRows {
        _ = try QuantizeShapes(x: x, activation: activationType)
        let rows = try newRows(x.shape, coding)
        try quantize(x, .identity, into: rows)
        return rows
    }

    /// See `EightBitOps.layerNorm(_:weight:bias:eps:to:)`.
    public func layerNorm(
        _ x: Tensor, weight: Tensor, bias: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        let shapes = try NormShapes(x: x, weight: weight, bias: bias)
        let y = try newRows(x.shape, coding)
        try launch(
            .layerNorm(rows: shapes.rows, width: shapes.width, coding, isAligned: isAligned(x, weight, bias)),
            [address(x), address(weight), address(bias), address(y.values), address(y.scales)], [.float(eps)])
        return y
    }

    /// See `EightBitOps.layerNormModulate(_:shift:scale:eps:to:)`.
    public func layerNormModulate(
        _ x: Tensor, shift: Tensor, scale: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        let shapes = try ModulateShapes(x: x, shift: shift, scale: scale)
        let y = try newRows(x.shape, coding)
        try launch(
            .layerNormModulate(
                tokens: shapes.tokens, width: shapes.width, coding, isAligned: isAligned(x, shift, scale)),
            [address(x), address(shift), address(scale), address(y.values), address(y.scales)],
            [.count(shapes.tokensPerGroup), .float(eps)])
        return y
    }

    /// See `EightBitOps.addGatedLayerNorm(_:gate:to:weight:bias:eps:as:)`.
    public func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        let shapes = try ModulateShapes(
            adding: y, gate: gate, to: x, weight: weight, bias: bias, activation: activationType)
        let h = try newRows(x.shape, coding)
        try launch(
            .addGatedLayerNorm(
                tokens: shapes.tokens, width: shapes.width, coding,
                isAligned: isAligned(y, gate, x, weight, bias)),
            [
                address(y), address(gate), address(x), address(weight), address(bias), address(h.values),
                address(h.scales),
            ],
            [.count(shapes.tokensPerGroup), .float(eps)])
        return h
    }

    /// See `EightBitOps.addLayerNormModulate(_:gate:to:shift:scale:eps:as:)`.
    public func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        let shapes = try ModulateShapes(
            adding: y, gate: gate, to: x, shift: shift, scale: scale, activation: activationType)
        let h = try newRows(x.shape, coding)
        try launch(
            .addLayerNormModulate(
                tokens: shapes.tokens, width: shapes.width, isGated: gate != nil, coding,
                isAligned: isAligned(y, gate ?? x, x, shift, scale)),
            [
                address(y), address(gate ?? x), address(x), address(shift), address(scale), address(h.values),
                address(h.scales),
            ],
            [.count(shapes.tokensPerGroup), .float(eps)])
        return h
    }

    // Products ------------------------------------------------------------------------------------

    /// Rows of an int8 product whose whole numbers are in memory at a time: enough to keep a GPU busy.
    private static let wideRows = 8192

    /// See `EightBitOps.linear(_:_:result:)`.
    ///
    /// cuBLASLt where it is installed and has the product: fp8 with a scale for each row and column on Hopper, int8 on
    /// all; else Swan's kernel on the matrix units.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, result: DType
    ) throws(SwanError) -> Tensor {
        let rows = try LinearShapes(x: x, weights: weights, activation: activationType, result: result).rows
        let weights = try own(weights, as: CUDAEightBit.self)
        let y = try allocate([rows, weights.outputs], result)
        if try multiplyFloat8(x, weights, .identity, into: y) { return y }
        if try multiplyInt8(
            x, weights,
            each: { (part, rows, sums) throws(SwanError) in
                try rescale(sums, part, weights, .identity, into: y.rows(rows))
            })
        {
            return y
        }
        try launch(
            .eightBitLinear(
                rows: rows, outputs: weights.outputs, x.coding.format, output: result, hasBias: weights.bias != nil,
                sharedMemoryPerBlock: sharedMemoryPerBlock),
            [
                address(x.values), address(x.scales), address(weights.weight.values), address(weights.weight.scales),
                address(weights.bias ?? y), address(y),
            ], [.index(rows), .count(weights.inputs), .count(weights.outputs)])
        return y
    }

    /// See `EightBitOps.linear(_:_:activation:to:)`.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, activation: Activation, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        let rows = try LinearShapes(x: x, weights: weights, activation: activationType, result: activationType).rows
        let own = try own(weights, as: CUDAEightBit.self)
        let y = try newRows([rows, own.outputs], coding)
        if try multiplyInt8(
            x, own,
            each: { (part, rows, sums) throws(SwanError) in
                try rescale(
                    sums, part, own, activation, into: y.values.rows(rows), scales: y.scales.rows(rows), as: coding)
            })
        {
            return y
        }
        // What cuBLASLt does with the sums while it has them need not be done while they are read again.
        if x.coding == .fp8, activation == .geluTanh {
            let product = try allocate([rows, own.outputs], activationType)
            if try multiplyFloat8(x, own, activation, into: product) {
                try quantize(product, .identity, into: y)
                return y
            }
        }
        try quantize(linear(x, weights, result: activationType), activation, into: y)
        return y
    }

    /// See `EightBitOps.linear(_:_:gate:onto:)`: by cuBLASLt, in fp8, where all rows have one gate.
    ///
    /// An epilogue that reads and writes float32 hides behind the next tile's products, and the norm behind it has half of
    /// the bytes to move: product and norm of 32,760 x 5120 to 5120 take 1.56 ms instead of 1.75 (H200).
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, gate: Tensor?, onto residual: Tensor
    ) throws(SwanError) -> Tensor? {
        let shapes = try BranchShapes(
            x: x, weights: weights, gate: gate, residual: residual, activation: activationType)
        let own = try own(weights, as: CUDAEightBit.self)
        guard canMultiplyFloat8(x, own), shapes.groups == 1, try isAligned(residual) else {
            return try linear(x, weights, result: activationType)
        }
        var (columns, bias) = (own.weight.scales, own.narrowBias)
        if let gate {
            columns = try allocate([own.outputs], .float32)
            if bias != nil { bias = try allocate([own.outputs], .bfloat16) }
            try launch(
                .gateColumns(width: own.outputs, hasBias: bias != nil),
                [
                    address(own.weight.scales), address(own.bias ?? columns), address(gate), address(columns),
                    address(bias ?? columns),
                ], [.count(own.outputs)])
        }
        if try multiplyFloat8(x, own, scales: columns, bias: bias, into: residual, isAdded: true) { return nil }
        return try linear(x, weights, result: activationType)
    }

    /// Whether cuBLASLt may have the product.
    private func canMultiplyFloat8(_ x: QuantizedRows, _ weights: CUDAEightBit) -> Bool {
        // Scales for each row and column are Hopper's alone; rows are read 16 bytes at a time.
        x.coding == .fp8 && executor.hasRowScales && capability.major == 9 && weights.outputs % 16 == 0
    }

    /// A product of fp8 by cuBLASLt, through a function that it knows; false, with nothing enqueued, where it has none.
    private func multiplyFloat8(
        _ x: QuantizedRows, _ weights: CUDAEightBit, _ activation: Activation, into y: Tensor
    ) throws(SwanError) -> Bool {
        guard canMultiplyFloat8(x, weights), y.dtype == .bfloat16 else { return false }
        return try multiplyFloat8(
            x, weights, scales: weights.weight.scales, bias: weights.narrowBias, activation, into: y)
    }

    /// - Parameters:
    ///   - scales: of the columns.
    ///   - bias: bfloat16.
    ///   - y: bfloat16, or, where it is added to, float32.
    private func multiplyFloat8(
        _ x: QuantizedRows, _ weights: CUDAEightBit, scales: Tensor, bias: Tensor?,
        _ activation: Activation = .identity,
        into y: Tensor, isAdded: Bool = false
    ) throws(SwanError) -> Bool {
        try executor.multiply(
            x: address(x.values), w: address(weights.weight.values),
            bias: bias.map { (bias) throws(SwanError) in try address(bias) }, y: address(y),
            scales: (x: address(x.scales), w: address(scales)),
            ProductShape(
                rows: x.values.shape[0], inputs: weights.inputs, outputs: weights.outputs, factor: .float8E4M3,
                result: y.dtype, hasBias: bias != nil, hasGELU: activation == .geluTanh, isAdded: isAdded),
            workspace: workspace())
    }

    /// A product of int8 by cuBLASLt, in parts of its rows; false, with nothing of use done, where it has none.
    ///
    /// - Parameter finish: takes a part of the rows of `x`, which they are, and their sums, int32.
    private func multiplyInt8(
        _ x: QuantizedRows, _ weights: CUDAEightBit,
        each finish: (QuantizedRows, Range<Int>, Tensor) throws(SwanError) -> Void
    ) throws(SwanError) -> Bool {
        guard x.coding.format == .int8, executor.hasMatrixLibrary, weights.outputs % 4 == 0 else { return false }
        let rows = x.values.shape[0]
        let parts = divided(rows, by: Self.wideRows)
        // Every part begins at a multiple of 256 bytes, as cuBLASLt's algorithms expect of memory unless they are told
        // otherwise: 16 rows of a multiple of 16 bytes.
        let length = min(rows, divided(divided(rows, by: parts), by: 16) * 16)
        let sums = try allocate([length, weights.outputs], .int32)
        for first in stride(from: 0, to: rows, by: length) {
            let range = first ..< min(first + length, rows)
            let part = try x.rows(range)
            let isDone = try executor.multiply(
                x: address(part.values), w: address(weights.weight.values), bias: nil, y: address(sums), scales: nil,
                ProductShape(
                    rows: range.count, inputs: weights.inputs, outputs: weights.outputs, factor: .int8, result: .int32,
                    hasBias: false), workspace: workspace())
            // Whoever is asked instead computes all rows, those of earlier parts again.
            guard isDone else { return false }
            try finish(part, range, sums.rows(0 ..< range.count))
        }
        return true
    }

    /// Scales and bias of whole sums, and another type, or rows in eight bits.
    private func rescale(
        _ sums: Tensor, _ x: QuantizedRows, _ weights: CUDAEightBit, _ activation: Activation, into y: Tensor,
        scales: Tensor? = nil, as coding: EightBitCoding? = nil
    ) throws(SwanError) {
        try launch(
            .rescaleProduct(
                rows: sums.shape[0], width: sums.shape[1], output: y.dtype, coding, hasBias: weights.bias != nil,
                activation, isAligned: isAligned(sums, y)),
            [
                address(sums), address(x.scales), address(weights.weight.scales), address(weights.bias ?? y),
                address(y),
                address(scales ?? y),
            ], [])
    }
}
