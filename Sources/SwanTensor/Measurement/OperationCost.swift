/// What an operation has to do at least: its arithmetic, and the bytes of its arguments and results, each moved once.
///
/// Functions of shapes alone. Arithmetic is counted where products are, two for a multiplication and an addition;
/// operations that go element by element are bound by their bytes, and theirs is counted as none.
public struct OperationCost: Sendable, Hashable, Codable {
    /// Operations of products.
    public var operations: Double
    /// Those among them whose factors have eight bits.
    public var eightBitOperations: Double
    /// Bytes read and written.
    public var bytes: Double

    /// Notes all.
    public init(operations: Double = 0, eightBitOperations: Double = 0, bytes: Double) {
        (self.operations, self.eightBitOperations, self.bytes) = (operations, eightBitOperations, bytes)
    }

    /// Both one after the other.
    public static func + (a: Self, b: Self) -> Self {
        Self(
            operations: a.operations + b.operations,
            eightBitOperations: a.eightBitOperations + b.eightBitOperations, bytes: a.bytes + b.bytes)
    }

    /// Seconds on a device of these rates: the larger of both, since arithmetic and memory work at the same time.
    ///
    /// - Parameters:
    ///   - operationsPerSecond: of products.
    ///   - eightBitOperationsPerSecond: of products of eight-bit factors; nil where they are no faster.
    ///   - bytesPerSecond: read and written.
    public func seconds(
        operationsPerSecond: Double, eightBitOperationsPerSecond: Double? = nil, bytesPerSecond: Double
    ) -> Double {
        let arithmetic =
            (operations - eightBitOperations) / operationsPerSecond
            + eightBitOperations / (eightBitOperationsPerSecond ?? operationsPerSecond)
        return max(arithmetic, bytes / bytesPerSecond)
    }
}

extension OperationCost {
    /// What only reads and writes tensors: everything that is not one of the others.
    public static func moving(_ tensors: (shape: Shape, dtype: DType)...) -> Self { moving(tensors) }

    /// See ``moving(_:)-swift.type.method``.
    public static func moving(_ tensors: [(shape: Shape, dtype: DType)]) -> Self {
        Self(bytes: tensors.reduce(0) { $0 + size($1.shape.count, $1.dtype) })
    }

    /// ``LinearOps/linear(_:_:activation:result:)`` and ``EightBitOps/linear(_:_:result:)``; bias and scales are left
    /// out.
    ///
    /// - Parameters:
    ///   - rows: of `x`.
    ///   - inputs: values in a row of `x`.
    ///   - outputs: values in a row of the result.
    ///   - input: the type of `x`.
    ///   - weight: the type that the device keeps weights in.
    ///   - result: the type of the result.
    public static func linear(
        rows: Int, inputs: Int, outputs: Int, input: DType, weight: DType, result: DType
    ) -> Self {
        let operations = 2 * Double(rows) * Double(inputs) * Double(outputs)
        return Self(
            operations: operations, eightBitOperations: EightBitFormat(input) == nil ? 0 : operations,
            bytes: size(rows * inputs, input) + size(outputs * inputs, weight) + size(rows * outputs, result))
    }

    /// ``AttentionOps/attention(q:k:v:scale:bias:)``: both products.
    ///
    /// - Parameters:
    ///   - queries: rows of queries.
    ///   - keys: rows of keys, and of values.
    ///   - heads: the number of heads.
    ///   - width: of a head.
    ///   - dtype: the type of queries, keys, values and result.
    ///   - biases: values of the bias.
    public static func attention(
        queries: Int, keys: Int, heads: Int, width: Int, dtype: DType, biases: Int = 0
    ) -> Self {
        Self(
            operations: 4 * Double(queries) * Double(keys) * Double(heads * width),
            bytes: size(2 * (queries + keys) * heads * width, dtype) + size(biases, .float32))
    }

    /// ``VideoOps/convolution(_:_:residual:)``; the bias is left out, and nothing where the input is too small.
    ///
    /// - Parameters:
    ///   - geometry: of the kernel.
    ///   - input: `[frames, height, width, inputs]`.
    ///   - dtype: the type of frames and weights.
    ///   - hasResidual: whether a tensor shaped like the result is added, which is read for that.
    public static func convolution(
        _ geometry: ConvolutionShape, input: Shape, dtype: DType, hasResidual: Bool = false
    ) -> Self {
        guard let output = geometry.output(of: input) else { return Self(bytes: 0) }
        let kernel = geometry.kernel
        let terms = geometry.inputs * kernel.frames * kernel.height * kernel.width
        return Self(
            operations: 2 * Double(output.count) * Double(terms),
            bytes: size(input.count + (hasResidual ? 2 : 1) * output.count + geometry.outputs * terms, dtype))
    }

    /// ``VideoOps/upsample(_:_:)``: four convolutions of 2×2.
    ///
    /// - Parameters:
    ///   - input: `[frames, height, width, inputs]`.
    ///   - outputs: channels of the result.
    ///   - dtype: the type of frames and weights.
    public static func upsample(input: Shape, outputs: Int, dtype: DType) -> Self {
        let (positions, inputs) = (input[0] * input[1] * input[2], input[3])
        return Self(
            operations: 2 * 4 * Double(positions * outputs) * Double(4 * inputs),
            bytes: size(positions * (inputs + 4 * outputs) + 16 * inputs * outputs, dtype))
    }

    private static func size(_ elements: Int, _ dtype: DType) -> Double {
        Double(elements) * Double(dtype.blockBytes) / Double(dtype.blockElements)
    }
}
