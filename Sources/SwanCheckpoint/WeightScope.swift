public import SwanDiagnostics
public import SwanTensor

/// A place in a checkpoint's tree of names, from which a model binds its weights.
///
/// `weights["blocks"][3]["ffn"]` walks like `cd`; ``tensor(_:_:)`` fetches with the expected shape;
/// ``finish()`` on the root throws for whatever nobody asked for, so that a missing, extra or misshapen
/// tensor becomes an error with a name.
public struct WeightScope {
    /// The tensors that were asked for, shared by all scopes of one walk.
    private final class Ledger {
        var used: Set<String> = []
    }

    private let source: any WeightSource
    private let path: String
    private let ledger: Ledger

    /// The root of a source's names.
    public init(_ source: any WeightSource) {
        self.source = source
        path = ""
        ledger = Ledger()
    }

    private init(_ source: any WeightSource, path: String, ledger: Ledger) {
        self.source = source
        self.path = path
        self.ledger = ledger
    }

    /// The scope one component further down.
    public subscript(_ component: String) -> WeightScope {
        WeightScope(source, path: full(component), ledger: ledger)
    }

    /// The scope of a numbered component.
    public subscript(_ index: Int) -> WeightScope { self[String(index)] }

    /// Fetches a tensor.
    ///
    /// - Throws: `checkpoint.tensor-missing`; `checkpoint.tensor-misshapen` with both shapes;
    ///   `checkpoint.unsupported` when the tensor does not hold weights of a type that is read.
    public func tensor(_ name: String, _ shape: Shape) throws(SwanError) -> HostTensor {
        let name = full(name)
        guard let info = source.info(name) else { throw .unavailable(name, in: source, expected: shape) }
        guard info.shape == shape else {
            throw SwanError(
                .tensorMisshapen,
                "\(source.origin): tensor '\(name.printable())' has shape \(info.shape), expected \(shape).",
                advice: "The file belongs to another model: `swan inspect` shows which.")
        }
        guard info.dtype.isFloatingPoint else {
            throw SwanError(
                .unsupported,
                "\(source.origin): tensor '\(name.printable())' holds \(info.dtype) values, expected weights.",
                advice: "Use a file in float32, float16 or bfloat16.")
        }
        ledger.used.insert(name)
        return try source.tensor(name)
    }

    /// Whether there is a tensor of this name.
    public func has(_ name: String) -> Bool { source.info(full(name)) != nil }

    /// Marks a tensor as seen without reading it: for parts of a checkpoint that a model knows and
    /// does not use.
    public func ignore(_ name: String) { ledger.used.insert(full(name)) }

    /// Marks every tensor below this scope as seen.
    public func ignoreAll() {
        for name in source.names where path.isEmpty || name.hasPrefix(path + ".") { ledger.used.insert(name) }
    }

    /// Checks that every tensor was asked for.
    ///
    /// - Throws: `checkpoint.tensors-left-over`, naming the first few.
    public func finish() throws(SwanError) {
        let left = source.names.filter { !ledger.used.contains($0) }
        guard !left.isEmpty else { return }
        let shown = left.prefix(5).map { "'\($0.printable())'" }.joined(separator: ", ")
        throw SwanError(
            .tensorsLeftOver,
            "\(source.origin) holds \(left.count) tensors that the model has no place for: \(shown)\(left.count > 5 ? ", …" : "").",
            advice: "The file belongs to another model or variant: `swan inspect` shows which.")
    }

    private func full(_ component: String) -> String { path.isEmpty ? component : "\(path).\(component)" }
}
