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

/// The four 2×2 convolutions that a doubling and a 3×3 convolution amount to, by the parity of the
/// result's row and column.
final class PackedUpsample: UpsampleWeights {
    let inputs: Int
    let outputs: Int
    /// Phases: even and odd rows, in each even and odd columns.
    let phases: [PackedConvolution]

    init(inputs: Int, outputs: Int, phases: [PackedConvolution]) {
        self.inputs = inputs
        self.outputs = outputs
        self.phases = phases
    }
}

/// A convolution over single positions: a matrix product.
final class PointwiseConvolution: ConvolutionWeights {
    let geometry: ConvolutionShape
    let linear: PackedLinear

    init(_ geometry: ConvolutionShape, _ linear: PackedLinear) {
        self.geometry = geometry
        self.linear = linear
    }
}

extension CPUBackend {
    /// See ``VideoOps/makeConvolution(_:weight:bias:)``.
    public func makeConvolution(
        _ geometry: ConvolutionShape, weight: HostTensor, bias: HostTensor
    ) throws(SwanError) -> any ConvolutionWeights {
        try ConvolutionWeightShapes(geometry, weight: weight, bias: bias)
        let kernel = geometry.kernel
        if kernel == (1, 1, 1), geometry.stride == 1, geometry.frameStride == 1 {
            let linear = try packLinear(weight, bias: bias, inputs: geometry.inputs, outputs: geometry.outputs)
            return PointwiseConvolution(geometry, linear)
        }
        return try packedConvolution(geometry, try weight.floats(), bias: bias)
    }

    private func packedConvolution(
        _ geometry: ConvolutionShape, _ weight: [Float], bias: HostTensor
    ) throws(SwanError) -> PackedConvolution {
        let weights = try HostStorage(floats: weight.count, pool)
        weights.floats.update(from: weight, count: weight.count)
        let biases = try HostStorage(floats: geometry.outputs, pool)
        try write(bias, to: biases.floats)
        return PackedConvolution(geometry, weights: weights, bias: biases, library)
    }

    /// See ``VideoOps/convolution(_:_:residual:)``.
    public func convolution(
        _ x: Tensor, _ weights: any ConvolutionWeights, residual: Tensor?
    ) throws(SwanError) -> Tensor {
        let shapes = try ConvolutionShapes(x: x, weights: weights, residual: residual, activation: activationType)
        let source = try floats(x)
        let added: Floats? = if let residual { try floats(residual) } else { nil }
        if let pointwise = weights as? PointwiseConvolution {
            let (result, target) = try result(shapes.output)
            let positions = shapes.input.frames * shapes.input.positions
            multiply(source, rows: positions, pointwise.linear, into: target, .identity, residual: added)
            return result
        }
        let packed = try own(weights, as: PackedConvolution.self)
        let (result, target) = try result(shapes.output)
        if let added { copyFloats(added, to: target, count: shapes.output.count) }
        try packed.run(
            source, x.shape, output: shapes.output, into: target, accumulates: added != nil, on: self)
        return result
    }

    /// See ``VideoOps/makeUpsample(weight:bias:)``.
    public func makeUpsample(weight: HostTensor, bias: HostTensor) throws(SwanError) -> any UpsampleWeights {
        _ = try ConvolutionWeightShapes(upsample: weight, bias: bias)
        let (outputs, inputs) = (weight.shape[0], weight.shape[1])
        let taps = try weight.floats()
        // The taps that fall on the first and on the second of the two rows (or columns) that a phase sees.
        let parts = [[[0], [1, 2]], [[0, 1], [2]]]
        var phases: [PackedConvolution] = []
        for (rowPhase, rows) in parts.enumerated() {
            for (columnPhase, columns) in parts.enumerated() {
                let summed = (0 ..< outputs * inputs * 4).map { index in
                    let (filter, y, x) = (index / 4, index / 2 % 2, index % 2)
                    return rows[y].reduce(0) { sum, row in
                        sum + columns[x].reduce(Float(0)) { $0 + taps[filter * 9 + row * 3 + $1] }
                    }
                }
                let geometry = ConvolutionShape(
                    inputs: inputs, outputs: outputs, kernel: (1, 2, 2), top: 1 - rowPhase, bottom: rowPhase,
                    left: 1 - columnPhase, right: columnPhase)
                phases.append(try packedConvolution(geometry, summed, bias: bias))
            }
        }
        return PackedUpsample(inputs: inputs, outputs: outputs, phases: phases)
    }

    /// See ``VideoOps/upsample(_:_:)``.
    ///
    /// One frame at a time, so that the four small results are still in the cache when they are put
    /// together.
    public func upsample(_ x: Tensor, _ weights: any UpsampleWeights) throws(SwanError) -> Tensor {
        let shapes = try FrameShapes(x: x, weights: weights, activation: activationType)
        let weights = try own(weights, as: PackedUpsample.self)
        let (height, width, channels) = (shapes.height, shapes.width, weights.outputs)
        let source = try floats(x)
        let (result, target) = try result([shapes.frames, 2 * height, 2 * width, channels])
        let small: Shape = [1, height, width, channels]
        let parts = try HostStorage(floats: 4 * small.count, pool)
        let partFloats = parts.floats
        for frame in 0 ..< shapes.frames {
            for (index, phase) in weights.phases.enumerated() {
                try phase.run(
                    source + frame * shapes.frameCount, [1, height, width, shapes.channels], output: small,
                    into: partFloats + index * small.count, accumulates: false, on: self)
            }
            let frameTarget = target + frame * 4 * small.count
            forEachRange(of: 2 * height, size: 4 * width * channels) { rows in
                for row in rows {
                    let line = partFloats + row % 2 * 2 * small.count + row / 2 * width * channels
                    for column in 0 ..< 2 * width {
                        (frameTarget + (row * 2 * width + column) * channels).update(
                            from: line + column % 2 * small.count + column / 2 * channels, count: channels)
                    }
                }
            }
        }
        return result
    }
}
