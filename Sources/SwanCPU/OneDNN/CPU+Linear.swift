import CSwanCPUKernels
public import SwanDiagnostics
public import SwanTensor

/// A matrix packed in panels, with its bias.
final class PackedLinear: LinearWeights {
    let inputs: Int
    let outputs: Int
    let packed: HostStorage
    let bias: HostStorage?

    init(inputs: Int, outputs: Int, packed: HostStorage, bias: HostStorage?) {
        self.inputs = inputs
        self.outputs = outputs
        self.packed = packed
        self.bias = bias
    }
}

extension Activation {
    /// The kernels' name of the function.
    var kernel: SwanActivation {
        switch self {
        case .identity: SWAN_IDENTITY
        case .geluTanh: SWAN_GELU_TANH
        case .silu: SWAN_SILU
        }
    }
}

extension CPUBackend {
    /// See `LinearOps.makeLinear(weight:bias:)`.
    public func makeLinear(weight: HostTensor, bias: HostTensor?) throws(SwanError) -> any LinearWeights {
        let shapes = try LinearWeightShapes(weight: weight, bias: bias)
        return try packLinear(weight, bias: bias, inputs: shapes.inputs, outputs: shapes.outputs)
    }

    /// Packs weights whose elements are `[outputs, inputs]`, whatever the tensor's axes.
    func packLinear(_ weight: HostTensor, bias: HostTensor?, inputs: Int, outputs: Int) throws(SwanError)
        -> PackedLinear
    {
        guard inputs % weight.dtype.blockElements == 0 else {
            throw SwanError(
                .shapeMismatch,
                "makeLinear: weight has rows of \(inputs) values, expected whole blocks of \(weight.dtype).")
        }
        let weight = weight.merged
        let packed = try HostStorage(floats: panels(outputs) * panelWidth * inputs, pool)
        // One panel's rows per thread are converted at a time: there is never a second copy of the weights.
        let rows = try HostStorage(floats: library.threads * panelWidth * inputs, pool)
        let (target, source, kernels) = (packed.floats, rows.floats, kernels)
        library.parallel(panels(outputs)) { panel, thread in
            let first = panel * panelWidth
            let part = source + thread * panelWidth * inputs
            weight.copyFloats(first * inputs ..< min(first + panelWidth, outputs) * inputs, to: part)
            // The panel is the first of a matrix that starts at it.
            kernels.pack_transposed(
                target + panel * inputs * panelWidth, part, inputs, inputs, outputs - first, 0, 1)
        }
        var biasStorage: HostStorage?
        if let bias {
            let storage = try HostStorage(floats: outputs, pool)
            try write(bias, to: storage.floats)
            biasStorage = storage
        }
        return PackedLinear(inputs: inputs, outputs: outputs, packed: packed, bias: biasStorage)
    }

    /// See `LinearOps.linear(_:_:activation:result:)`.
    public func linear(
        _ x: Tensor, _ weights: any LinearWeights, activation: Activation, result type: DType
    ) throws(SwanError) -> Tensor {
        let shapes = try LinearShapes(x: x, weights: weights, activation: activationType, result: type)
        let weights = try own(weights, as: PackedLinear.self)
        let source = try floats(x)
        let (result, target) = try result([shapes.rows, weights.outputs])
        multiply(source, rows: shapes.rows, weights, into: target, activation, residual: nil)
        return result
    }

    /// `target = activation(source * weights + bias) + residual`, tile by tile, each finished while it
    /// is in the cache.
    func multiply(
        _ source: Floats, rows: Int, _ weights: PackedLinear, into target: Floats, _ activation: Activation,
        residual: Floats?
    ) {
        productCount += 1
        let columns = weights.outputs
        // A tile's results (120 × 256 floats) and its part of x stay in a core's second cache level while
        // the kernel walks along k.
        let columnBlock = 16
        let columnBlocks = (panels(columns) + columnBlock - 1) / columnBlock
        var rowBlock = 120
        // Fewer rows per tile where there would be too few tiles to share out.
        while rowBlock > 24, (rows + rowBlock - 1) / rowBlock * columnBlocks < 4 * library.threads { rowBlock /= 2 }
        rowBlock = (rowBlock + 11) / 12 * 12
        let rowBlocks = (rows + rowBlock - 1) / rowBlock

        let (inputs, packed) = (weights.inputs, weights.packed.floats)
        let (bias, kernels, kernel) = (weights.bias?.floats, kernels, activation.kernel)
        // Neighbouring tiles share a block of weights, which then comes from memory once.
        library.parallel(rowBlocks * columnBlocks) { index, _ in
            let row = index % rowBlocks * rowBlock
            let panel = index / rowBlocks * columnBlock
            let (rowEnd, panelEnd) = (min(row + rowBlock, rows), min(panel + columnBlock, panels(columns)))
            let column = panel * panelWidth
            product(
                source + row * inputs, stride: inputs, rows: rowEnd - row, packed, k: inputs, n: columns,
                panels: panel ..< panelEnd, into: target + row * columns, stride: columns)
            guard bias != nil || residual != nil || kernel != SWAN_IDENTITY else { return }
            kernels.finish(
                target + row * columns + column, bias.map { UnsafePointer($0 + column) },
                residual.map { UnsafePointer($0 + row * columns + column) }, columns, rowEnd - row,
                min(panelEnd * panelWidth, columns) - column, kernel)
        }
    }

    /// See `LinearOps.activate(_:_:)`.
    public func activate(_ x: Tensor, _ activation: Activation) throws(SwanError) -> Tensor {
        let shapes = try ElementwiseShapes(x: x, activation: activationType)
        let source = try floats(x)
        let (result, target) = try result(x.shape)
        let kernels = kernels
        forEachRange(of: shapes.count, size: 2) { range in
            kernels.activate(target + range.lowerBound, source + range.lowerBound, range.count, activation.kernel)
        }
        return result
    }

    /// See `LinearOps.geluGate(_:_:)`.
    public func geluGate(_ gate: Tensor, _ up: Tensor) throws(SwanError) -> Tensor {
        let shapes = try ElementwiseShapes(gate: gate, up: up, activation: activationType)
        let (gate, up) = (try floats(gate), try floats(up))
        let (result, target) = try result(shapes.shape)
        let kernels = kernels
        forEachRange(of: shapes.count, size: 3) { range in
            let first = range.lowerBound
            kernels.gelu_gate(target + first, gate + first, up + first, range.count)
        }
        return result
    }
}
