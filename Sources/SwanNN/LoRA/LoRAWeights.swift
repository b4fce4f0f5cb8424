public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// A model's weights with LoRAs merged in, summed in float32: `W + strength * change` of each.
///
/// Products of two factors stay with the tensor that is read (`HostTensor.lowRank`), for a device that merges by itself
/// what crosses the bus as it is stored. Changes of other kinds are merged when a tensor is read.
///
/// What is above does not know that its weights were changed, so there is no second copy of any
/// model. Tensors that no LoRA touches pass as they are.
public struct LoRAWeights: WeightSource {
    private let base: any WeightSource
    private let layers: [(file: LoRAFile, strength: Float)]
    /// The names of all tensors, sorted.
    public var names: [String] { base.names }
    /// Where the weights come from, for messages.
    public var origin: String { base.origin }
    /// What the base's writer noted beside the tensors.
    public var annotations: [String: String] { base.annotations }

    /// Joins weights and LoRAs; factors' shapes are checked against the weights, which are not read.
    ///
    /// - Throws: `lora.mismatch` with both shapes where they do not fit.
    public init(_ base: any WeightSource, adding layers: [(file: LoRAFile, strength: Float)]) throws(SwanError) {
        self.base = base
        self.layers = layers
        for (file, _) in layers {
            for (module, term) in file.terms.sorted(by: { $0.key < $1.key }) {
                for target in LoRATerm.Target.allCases {
                    guard let (found, expected) = term.misfit(target, base.info(module + target.suffix)?.shape) else {
                        continue
                    }
                    throw SwanError(
                        .loraMismatch, "\(file.origin): layer '\(module)' has \(found), expected \(expected).",
                        advice: "The LoRA was made for another model (another width or variant).")
                }
            }
        }
    }

    /// See `WeightSource.info(_:)`.
    public func info(_ name: String) -> TensorInfo? {
        guard let info = base.info(name) else { return nil }
        return terms(for: name).isEmpty ? info : TensorInfo(info.shape, .float32, storedBytes: info.storedBytes)
    }

    /// See `WeightSource.unsupported(_:)`.
    public func unsupported(_ name: String) -> UnsupportedTensor? { base.unsupported(name) }

    /// See `WeightSource.tensor(_:)`.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        var tensor = try base.tensor(name)
        for (term, target, strength) in terms(for: name) {
            if let change = try term.lowRank(target, strength: strength) {
                tensor = try tensor.adding(change)
                continue
            }
            var values = try tensor.floats()
            try term.add(to: &values, target, tensor.shape, strength: strength)
            tensor = HostTensor(tensor.shape, values)
        }
        return tensor
    }

    /// Whether reading a tensor of some modules again is as little work for the CPU as without LoRAs, but for vectors: false where matrices
    /// are changed by more than products of two factors. Matrices that are stored in fewer than 16 bits are widened first.
    ///
    /// - Parameter prefix: of the modules' names; all of them for an empty one.
    public func canReadAgain(under prefix: String = "") -> Bool {
        layers.allSatisfy { file, _ in
            file.terms.allSatisfy { module, term in
                let target = LoRATerm.Target.weight
                return !module.hasPrefix(prefix) || !term.changes(target) || term.isLowRank(target)
                    || (base.info(module + target.suffix)?.shape.rank ?? 0) < 2
            }
        }
    }

    /// What changes a tensor, in the order of the files.
    private func terms(for name: String) -> [(term: LoRATerm, target: LoRATerm.Target, strength: Float)] {
        for target in LoRATerm.Target.allCases where name.hasSuffix(target.suffix) {
            let module = String(name.dropLast(target.suffix.count))
            return layers.compactMap { file, strength in
                guard let term = file.terms[module], term.changes(target) else { return nil }
                return (term, target, strength)
            }
        }
        return []
    }
}
