public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// A model's weights with LoRAs merged in: `W + strength * (alpha / rank) * up * down`, summed in
/// float32 when a tensor is read.
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
                try Self.check(term, of: module, in: file, base)
            }
        }
    }

    /// See ``WeightSource/info(_:)``.
    public func info(_ name: String) -> TensorInfo? {
        guard let info = base.info(name) else { return nil }
        return changes(name) ? TensorInfo(info.shape, .float32) : info
    }

    /// See ``WeightSource/unsupported(_:)``.
    public func unsupported(_ name: String) -> UnsupportedTensor? { base.unsupported(name) }

    /// See ``WeightSource/tensor(_:)``.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        let tensor = try base.tensor(name)
        guard changes(name) else { return tensor }
        var values = try tensor.floats()
        for (file, strength) in layers {
            guard let (term, part) = Self.term(for: name, in: file) else { continue }
            if let difference = try term[part]?.floats() {
                for i in values.indices { values[i] += strength * difference[i] }
            }
            if part == .difference, let up = term[.up], let down = term[.down] {
                let rank = down.shape[0]
                var scale = strength
                if let alpha = term[.alpha] { scale *= try alpha.floats()[0] / Float(rank) }
                try Self.addProduct(up.floats(), down.floats(), rank: rank, scale: scale, to: &values)
            }
        }
        return HostTensor(tensor.shape, values)
    }

    private func changes(_ name: String) -> Bool { layers.contains { Self.term(for: name, in: $0.file) != nil } }

    /// The terms that change a tensor, and which of their differences is the tensor's own.
    private static func term(for name: String, in file: LoRAFile) -> ([LoRAPart: HostTensor], LoRAPart)? {
        for (suffix, part) in Self.tensors where name.hasSuffix(suffix) {
            guard let term = file.terms[String(name.dropLast(suffix.count))] else { continue }
            if term[part] != nil || (part == .difference && term[.up] != nil) { return (term, part) }
        }
        return nil
    }

    /// The tensors of a module that a difference changes.
    private static let tensors: [(suffix: String, part: LoRAPart)] = [
        (".weight", .difference), (".bias", .biasDifference), (".modulation", .modulationDifference),
    ]

    private static func check(
        _ term: [LoRAPart: HostTensor], of module: String, in file: LoRAFile, _ base: any WeightSource
    )
        throws(SwanError)
    {
        func refuse(_ found: String, _ expected: String) -> SwanError {
            SwanError(
                .loraMismatch, "\(file.origin): layer '\(module)' has \(found), expected \(expected).",
                advice: "The LoRA was made for another model (another width or variant).")
        }
        if let down = term[.down], let up = term[.up] {
            guard let weight = base.info(module + ".weight")?.shape, weight.rank >= 2 else {
                throw refuse("a low-rank pair", "none: the model has no such weight")
            }
            let rank = down.shape.rank == 0 ? 0 : down.shape[0]
            guard rank > 0, down.shape.rank >= 2, up.shape.rank >= 2, up.shape[0] == weight[0],
                up.shape.rowCount == rank,
                down.shape.rowCount == weight.rowCount
            else {
                throw refuse(
                    "factors \(up.shape) and \(down.shape)", "[\(weight[0]), rank] and [rank, \(weight.rowCount)]")
            }
            if let alpha = term[.alpha], alpha.shape.count != 1 {
                throw refuse("alpha of shape \(alpha.shape)", "one number")
            }
        }
        for (tensor, part) in tensors {
            guard let difference = term[part] else { continue }
            guard let shape = base.info(module + tensor)?.shape, shape.count == difference.shape.count,
                shape.count == 0 || shape[0] == difference.shape[0]
            else {
                throw refuse(
                    "a difference of shape \(difference.shape)",
                    "\(base.info(module + tensor)?.shape.description ?? "none")")
            }
        }
    }

    /// `target += scale * up * down`, for `up` `[rows, rank]`, `down` `[rank, columns]`.
    private static func addProduct(_ up: [Float], _ down: [Float], rank: Int, scale: Float, to target: inout [Float]) {
        let columns = down.count / rank
        target.withUnsafeMutableBufferPointer { target in
            down.withUnsafeBufferPointer { down in
                for row in 0 ..< up.count / rank {
                    let out = UnsafeMutableBufferPointer(rebasing: target[row * columns ..< (row + 1) * columns])
                    for k in 0 ..< rank {
                        let factor = scale * up[row * rank + k]
                        let source = UnsafeBufferPointer(rebasing: down[k * columns ..< (k + 1) * columns])
                        for i in 0 ..< columns { out[i] += factor * source[i] }
                    }
                }
            }
        }
    }
}
