public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// A source from which one tensor is missing.
public struct Without: WeightSource {
    private let base: any WeightSource
    private let name: String
    /// Where the weights come from, for messages.
    public var origin: String { base.origin }
    /// The names of all tensors, sorted.
    public var names: [String] { base.names.filter { $0 != name } }

    /// Hides a tensor of `base`.
    public init(_ base: any WeightSource, _ name: String) {
        self.base = base
        self.name = name
    }

    /// See `WeightSource.info(_:)`.
    public func info(_ name: String) -> TensorInfo? { name == self.name ? nil : base.info(name) }

    /// See `WeightSource.tensor(_:)`.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard name != self.name else { throw .tensorMissing(name, in: self) }
        return try base.tensor(name)
    }
}
