public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// Weights whose values follow from their names: the goldens' scripts fill theirs by the same rule, so
/// that no file of weights is needed.
public struct FilledWeights: WeightSource {
    private let shapes: [String: Shape]
    private let inputs: Set<String>
    /// The names of all tensors, sorted.
    public let names: [String]
    /// Where the weights come from, for messages.
    public let origin = "filled weights"

    /// - Parameters:
    ///   - shapes: every tensor.
    ///   - inputs: tensors that are filled as inputs, with the bare uniform value.
    public init(_ shapes: [String: Shape], inputs: Set<String> = []) {
        self.shapes = shapes
        self.inputs = inputs
        names = shapes.keys.sorted()
    }

    /// See `WeightSource.info(_:)`.
    public func info(_ name: String) -> TensorInfo? { shapes[name].map { TensorInfo($0, .float32) } }

    /// See `WeightSource.tensor(_:)`.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let shape = shapes[name] else { throw .tensorMissing(name, in: self) }
        let kind: FillKind =
            if inputs.contains(name) {
                .input
            } else if name.hasSuffix("modulation") || name.hasSuffix("bias") {
                .bias
            } else if name.hasSuffix("gamma") || shape.rank == 1 {
                .gain
            } else {
                .weight
            }
        return deterministicFill(name: name, shape: shape, kind: kind)
    }
}

/// An input tensor by the same rule.
public func filledInput(_ name: String, _ shape: Shape) -> HostTensor {
    deterministicFill(name: name, shape: shape, kind: .input)
}
