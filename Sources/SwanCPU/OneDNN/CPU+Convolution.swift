import CSwanOneDNN
public import SwanDiagnostics
public import SwanTensor

/// A convolution's weights and the code that was generated for the shapes it has met.
final class PackedConvolution: ConvolutionWeights {
    let geometry: ConvolutionShape
    private let library: OneDNN
    private let bias: HostStorage
    /// The weights: as in the checkpoint until the first shape is known, then as oneDNN wants them.
    private var weights: HostStorage
    /// The code whose layout the weights have.
    private var layout: Code?
    private var codes: [Key: Code] = [:]

    private struct Key: Hashable {
        let shape: Shape
        let accumulates: Bool
    }

    /// Code for one shape.
    private final class Code {
        let pointer: OpaquePointer
        private let library: OneDNN

        init(_ pointer: OpaquePointer, _ library: OneDNN) {
            self.pointer = pointer
            self.library = library
        }

        deinit { swan_convolution_destroy(library.table, pointer) }
    }

    init(_ geometry: ConvolutionShape, weights: HostStorage, bias: HostStorage, _ library: OneDNN) {
        self.geometry = geometry
        self.weights = weights
        self.bias = bias
        self.library = library
    }

    /// `target = convolution(x) + bias`, or `target +=` it.
    func run(_ x: Floats, _ shape: Shape, output: Shape, into target: Floats, accumulates: Bool, on backend: CPUBackend)
        throws(SwanError)
    {
        let code = try code(Key(shape: shape, accumulates: accumulates), output: output, on: backend)
        let scratchBytes = swan_convolution_scratch_bytes(library.table, code.pointer)
        let scratch = try backend.scratchFloats(scratchBytes / MemoryLayout<Float>.size + 1)
        try library.check(
            swan_convolution_run(library.table, code.pointer, x, weights.floats, bias.floats, target, scratch),
            "dnnl_primitive_execute (convolution)")
        backend.convolutionCount += 1
    }

    private func code(_ key: Key, output: Shape, on backend: CPUBackend) throws(SwanError) -> Code {
        if let code = codes[key] { return code }
        var description = SwanConvolutionShape(
            frames: Int64(key.shape[0]), height: Int64(key.shape[1]), width: Int64(key.shape[2]),
            inputs: Int64(geometry.inputs), outFrames: Int64(output[0]), outHeight: Int64(output[1]),
            outWidth: Int64(output[2]), outputs: Int64(geometry.outputs), kernelFrames: Int64(geometry.kernel.frames),
            kernelHeight: Int64(geometry.kernel.height), kernelWidth: Int64(geometry.kernel.width),
            frameStride: Int64(geometry.frameStride), stride: Int64(geometry.stride), top: 0, bottom: 0, left: 0,
            right: 0, accumulates: key.accumulates)
        (description.top, description.left) = (Int64(geometry.top), Int64(geometry.left))
        // oneDNN wants the padding that the result uses up: with a stride, the last rows may be left over.
        description.bottom = used(output[1], geometry.kernel.height) - description.height - description.top
        description.right = used(output[2], geometry.kernel.width) - description.width - description.left

        var pointer: OpaquePointer?
        var status = layout.map { swan_convolution_create(library.table, &description, $0.pointer, &pointer) } ?? 3
        if status == 3 {
            // No code for the weights' layout, or none yet: take the layout that oneDNN likes best.
            status = swan_convolution_create(library.table, &description, nil, &pointer)
        }
        try library.check(status, "dnnl_primitive_create (convolution of \(key.shape))")
        guard let pointer else { throw SwanError(.libraryFailed, "oneDNN made no convolution.") }
        let code = Code(pointer, library)
        try adopt(code, on: backend)
        codes[key] = code
        return code
    }

    /// Rows that `count` results see.
    private func used(_ count: Int, _ kernel: Int) -> Int64 { Int64((count - 1) * geometry.stride + kernel) }

    /// Brings the weights into the layout of `code`, where they are not.
    private func adopt(_ code: Code, on backend: CPUBackend) throws(SwanError) {
        if let layout, swan_convolution_same_weights(library.table, layout.pointer, code.pointer) { return }
        let bytes = swan_convolution_weight_bytes(library.table, code.pointer)
        let packed = try HostStorage(backend.pool, bytes: Int(bytes))
        try library.check(
            swan_convolution_pack(library.table, code.pointer, layout?.pointer, weights.floats, packed.floats),
            "dnnl_primitive_execute (reorder)")
        weights = packed
        // Code for the old layout cannot read these weights any more.
        codes = [:]
        layout = code
    }
}

/// A convolution that the matrix kernels compute.
final class TapConvolution: ConvolutionWeights {
    let geometry: ConvolutionShape
    let taps: PackedTaps

    init(_ geometry: ConvolutionShape, _ taps: PackedTaps) {
        self.geometry = geometry
        self.taps = taps
    }
}

/// A convolution to few channels, whose columns of taps are computed side by side and added up after.
///
/// To three channels, a product fills 3 of the kernels' 16 columns; with the three taps of a row as
/// columns of their own it fills 9, on a third of the segments: 96 → 3 channels take half of oneDNN's time.
final class SideBySideConvolution: ConvolutionWeights {
    let geometry: ConvolutionShape
    /// Results `[kernel columns, outputs]` of the taps of each column, without bias, in one panel.
    let taps: PackedTaps
    let bias: HostStorage

    init(_ geometry: ConvolutionShape, _ taps: PackedTaps, bias: HostStorage) {
        self.geometry = geometry
        self.taps = taps
        self.bias = bias
    }
}

/// The four 2×2 convolutions that a doubling and a 3×3 convolution amount to, by the parity of the
/// result's row and column.
final class PackedUpsample: UpsampleWeights {
    let inputs: Int
    let outputs: Int
    /// Even and odd rows, in each even and odd columns.
    let phases: [PackedTaps]

    init(inputs: Int, outputs: Int, phases: [PackedTaps]) {
        self.inputs = inputs
        self.outputs = outputs
        self.phases = phases
    }
}

extension CPUBackend {
    /// See `VideoOps.makeConvolution(_:weight:bias:)`.
    public func makeConvolution(
        _ geometry: ConvolutionShape, weight: HostTensor, bias: HostTensor
    ) throws(SwanError) -> any ConvolutionWeights {
        try ConvolutionWeightShapes(geometry, weight: weight, bias: bias)
        let kernel = geometry.kernel
        let volume = kernel.frames * kernel.height * kernel.width
        // What was measured (AVX2, channels last): oneDNN passes over the result once per eight inputs, which
        // costs more than the arithmetic where a kernel has few taps (1×3×3 at 96 channels: 113 against
        // 160 GFLOP/s, 3×1×1: 70 against 155) and a tenth where it has few inputs; at 27 taps of many
        // inputs it is a tenth faster. Below 16 channels the matrix kernels multiply zeros.
        let suitsTaps = geometry.inputs >= 16 && geometry.outputs >= 16 && (volume <= 9 || geometry.inputs < 96)
        if usesTaps ?? suitsTaps {
            let values = try weight.floats()
            let taps = (0 ..< volume).map { index in
                Tap(
                    frame: index / (kernel.height * kernel.width),
                    row: index / kernel.width % kernel.height - geometry.top,
                    column: index % kernel.width - geometry.left)
            }
            let packed = try packTaps(taps, inputs: geometry.inputs, outputs: geometry.outputs, bias: bias) {
                values[($0 * geometry.inputs + $2) * volume + $1]
            }
            return TapConvolution(geometry, packed)
        }
        let biases = try HostStorage(floats: geometry.outputs, pool)
        try write(bias, to: biases.floats)
        let columns = geometry.outputs * kernel.width
        let suitsSideBySide = geometry.inputs >= 16 && kernel.width > 1 && columns <= panelWidth && geometry.stride == 1
        if usesTaps == nil && suitsSideBySide {
            return try sideBySide(geometry, try weight.floats(), bias: biases)
        }
        let weights = try HostStorage(floats: weight.shape.count, pool)
        try write(weight, to: weights.floats)
        return PackedConvolution(geometry, weights: weights, bias: biases, library)
    }

    private func sideBySide(
        _ geometry: ConvolutionShape, _ values: [Float], bias: HostStorage
    ) throws(SwanError) -> SideBySideConvolution {
        let (kernel, inputs, outputs) = (geometry.kernel, geometry.inputs, geometry.outputs)
        let taps = (0 ..< kernel.frames * kernel.height).map {
            Tap(frame: $0 / kernel.height, row: $0 % kernel.height - geometry.top, column: 0)
        }
        // A whole panel, the last columns zero: parts of one are stored much slower.
        let noBias = HostTensor([panelWidth], [Float](repeating: 0, count: panelWidth))
        let packed = try packTaps(taps, inputs: inputs, outputs: panelWidth, bias: noBias) { column, tap, input in
            let (x, output) = (column / outputs, column % outputs)
            guard x < kernel.width else { return 0 }
            return values[((output * inputs + input) * taps.count + tap) * kernel.width + x]
        }
        return SideBySideConvolution(geometry, packed, bias: bias)
    }

    /// Convolves column by column of the kernel, then adds the columns up.
    private func convolve(
        _ source: Floats, _ input: FrameShapes, _ weights: SideBySideConvolution, output: Shape, into target: Floats,
        residual: Floats?
    ) throws(SwanError) {
        let (geometry, columns) = (weights.geometry, weights.taps.outputs)
        let (height, width, outputs) = (output[1], output[2], output[3])
        let parts = try HostStorage(floats: output[0] * height * input.width * columns, pool)
        let layout = FrameLayout(
            base: parts.floats, frameStride: height * input.width * columns, rowStride: input.width * columns,
            columnStride: columns)
        convolve(
            source, input, weights.taps, steps: (geometry.frameStride, 1), size: (output[0], height, input.width),
            into: layout, residual: nil)
        let (partFloats, bias) = (parts.floats, weights.bias.floats)
        forEachRange(of: output[0] * height, size: input.width * columns + width * outputs) { rows in
            for row in rows {
                let line = partFloats + row * input.width * columns
                for x in 0 ..< width {
                    let first = max(0, geometry.left - x)
                    let end = min(geometry.kernel.width, input.width + geometry.left - x)
                    for o in 0 ..< outputs {
                        let place = (row * width + x) * outputs + o
                        var sum = bias[o] + (residual.map { $0[place] } ?? 0)
                        for tap in first ..< end {
                            sum += line[(x + tap - geometry.left) * columns + tap * outputs + o]
                        }
                        target[place] = sum
                    }
                }
            }
        }
    }

    /// See `VideoOps.convolution(_:_:residual:)`.
    public func convolution(
        _ x: Tensor, _ weights: any ConvolutionWeights, residual: Tensor?
    ) throws(SwanError) -> Tensor {
        let shapes = try ConvolutionShapes(x: x, weights: weights, residual: residual, activation: activationType)
        let source = try floats(x)
        let added: Floats? = if let residual { try floats(residual) } else { nil }
        if let weights = weights as? TapConvolution {
            let (result, target) = try result(shapes.output)
            let geometry = weights.geometry
            var (input, size) = (shapes.input, (shapes.output[0], shapes.output[1], shapes.output[2]))
            if geometry.kernel.height == 1, geometry.kernel.width == 1, geometry.stride == 1 {
                // Rows do not matter to a kernel of one position: the whole frame is one long row.
                input = input.flattened
                size = (size.0, 1, size.1 * size.2)
            }
            let layout = FrameLayout(
                base: target, frameStride: size.1 * size.2 * geometry.outputs, rowStride: size.2 * geometry.outputs,
                columnStride: geometry.outputs)
            convolve(
                source, input, weights.taps, steps: (geometry.frameStride, geometry.stride), size: size, into: layout,
                residual: added)
            return result
        }
        if let weights = weights as? SideBySideConvolution {
            let (result, target) = try result(shapes.output)
            try convolve(source, shapes.input, weights, output: shapes.output, into: target, residual: added)
            return result
        }
        let packed = try own(weights, as: PackedConvolution.self)
        let (result, target) = try result(shapes.output)
        if let added { copyFloats(added, to: target, count: shapes.output.count) }
        try packed.run(
            source, x.shape, output: shapes.output, into: target, accumulates: added != nil, on: self)
        return result
    }

    /// See `VideoOps.makeUpsample(weight:bias:)`.
    public func makeUpsample(weight: HostTensor, bias: HostTensor) throws(SwanError) -> any UpsampleWeights {
        _ = try ConvolutionWeightShapes(upsample: weight, bias: bias)
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        let taps = try weight.floats()
        // The taps that fall on the first and on the second of the two rows (or columns) that a phase sees.
        let parts = [[[0], [1, 2]], [[0, 1], [2]]]
        var phases: [PackedTaps] = []
        for (rowPhase, rows) in parts.enumerated() {
            for (columnPhase, columns) in parts.enumerated() {
                let places = (0 ..< 4).map {
                    Tap(frame: 0, row: $0 / 2 + rowPhase - 1, column: $0 % 2 + columnPhase - 1)
                }
                let phase = try packTaps(places, inputs: inputs, outputs: outputs, bias: bias) { output, tap, input in
                    rows[tap / 2].reduce(0) { sum, row in
                        columns[tap % 2].reduce(sum) { $0 + taps[(output * inputs + input) * 9 + row * 3 + $1] }
                    }
                }
                phases.append(phase)
            }
        }
        return PackedUpsample(inputs: inputs, outputs: outputs, phases: phases)
    }

    /// See `VideoOps.upsample(_:_:)`.
    ///
    /// Each phase writes every other row and column of the result, so that nothing has to be put together.
    public func upsample(_ x: Tensor, _ weights: any UpsampleWeights) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(x: x, weights: weights, activation: activationType)
        let weights = try own(weights, as: PackedUpsample.self)
        let (height, width, channels) = (shapes.height, shapes.width, weights.outputs)
        let source = try floats(x)
        let (result, target) = try result([shapes.frames, 2 * height, 2 * width, channels])
        for (index, phase) in weights.phases.enumerated() {
            let (row, column) = (index / 2, index % 2)
            let layout = FrameLayout(
                base: target + (row * 2 * width + column) * channels, frameStride: 4 * height * width * channels,
                rowStride: 4 * width * channels, columnStride: 2 * channels)
            convolve(
                source, shapes, phase, steps: (1, 1), size: (shapes.frames, height, width), into: layout, residual: nil)
        }
        return result
    }
}
