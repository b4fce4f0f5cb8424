public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// Weights whose values follow from their names: the goldens' scripts fill theirs by the same rule, so
/// that no file of weights is needed.
public struct FilledWeights: WeightSource {
    private let shapes: [String: Shape]
    private let inputs: Set<String>
    public let names: [String]
    public let origin = "filled weights"

    /// - Parameters:
    ///   - shapes: every tensor.
    ///   - inputs: tensors that are filled as inputs, with the bare uniform value.
    public init(_ shapes: [String: Shape], inputs: Set<String> = []) {
        self.shapes = shapes
        self.inputs = inputs
        names = shapes.keys.sorted()
    }

    public func info(_ name: String) -> TensorInfo? { shapes[name].map { TensorInfo($0, .float32) } }

    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let shape = shapes[name] else { throw .tensorMissing(name, in: self) }
        let uniform = uniformFill(name, count: shape.count)
        let values: [Double]
        if inputs.contains(name) {
            values = uniform
        } else if name.hasSuffix("modulation") || name.hasSuffix("bias") {
            values = uniform.map { 0.1 * $0 }
        } else if name.hasSuffix("gamma") || shape.rank == 1 {
            values = uniform.map { 1 + 0.1 * $0 }
        } else {
            let bound = (3 / Double(shape.rowCount)).squareRoot()
            values = uniform.map { $0 * bound }
        }
        return HostTensor(shape, values.map(Float.init))
    }
}

/// An input tensor by the same rule.
public func filledInput(_ name: String, _ shape: Shape) -> HostTensor {
    HostTensor(shape, uniformFill(name, count: shape.count).map(Float.init))
}

/// Values in −1 … 1 from a name and the flat index: FNV-1a of the name, then the finaliser of MurmurHash3.
public func uniformFill(_ name: String, count: Int) -> [Double] {
    var key: UInt32 = 2_166_136_261
    for byte in name.utf8 { key = (key ^ UInt32(byte)) &* 16_777_619 }
    return (0 ..< count).map { index in
        var z = key &+ UInt32(truncatingIfNeeded: index) &* 0x9E37_79B9
        z ^= z >> 16
        z = z &* 0x85EB_CA6B
        z ^= z >> 13
        z = z &* 0xC2B2_AE35
        z ^= z >> 16
        return 2 * Double(z) / 0x1p32 - 1
    }
}
