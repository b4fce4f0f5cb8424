public import SwanCheckpoint
public import SwanDiagnostics
public import SwanTensor

/// How a checkpoint's headers differ from what a model needs. Told before any weight is read.
public struct TensorCheck: Sendable, Hashable, Codable {
    /// Names that the model needs and the checkpoint lacks, sorted.
    public var missing: [String] = []
    /// Names that the checkpoint has and the model has no place for, sorted.
    public var leftOver: [String] = []
    /// Names of tensors in another shape, or of values that are no weights, each with what was found and
    /// expected.
    public var misshapen: [String] = []

    /// Whether the checkpoint is just what the model needs.
    public var isFine: Bool { missing.isEmpty && leftOver.isEmpty && misshapen.isEmpty }

    /// Compares headers.
    ///
    /// - Parameters:
    ///   - source: the checkpoint, in official names.
    ///   - expected: the model's tensors.
    ///   - tolerated: names that may be there besides.
    public init(_ source: any WeightSource, expected: [String: Shape], tolerated: Set<String> = []) {
        for (name, shape) in expected.sorted(by: { $0.key < $1.key }) {
            if let info = source.info(name) {
                if info.shape != shape {
                    misshapen.append("\(name) \(info.shape), expected \(shape)")
                } else if !info.dtype.isFloatingPoint {
                    misshapen.append("\(name) of type \(info.dtype), expected real numbers")
                }
            } else if let unsupported = source.unsupported(name) {
                misshapen.append("\(name) of type \(unsupported.type), which this version does not read")
            } else {
                missing.append(name)
            }
        }
        leftOver = source.names.filter { expected[$0] == nil && !tolerated.contains($0) }
    }

    /// - Throws: `checkpoint.tensor-missing`, `checkpoint.tensor-misshapen` or
    ///   `checkpoint.tensors-left-over`, naming the first five.
    public func requireFine(of origin: String) throws(SwanError) {
        let advice = "`swan inspect` shows what the file holds."
        if !misshapen.isEmpty {
            throw SwanError(
                .tensorMisshapen,
                "\(origin): \(misshapen.count) tensors do not fit the model: \(Self.some(misshapen)).",
                advice: "The file belongs to another model. " + advice)
        }
        if !missing.isEmpty {
            throw SwanError(
                .tensorMissing, "\(origin) lacks \(missing.count) tensors of the model: \(Self.some(missing)).",
                advice: "Check that every file of the model is there. " + advice)
        }
        if !leftOver.isEmpty {
            throw SwanError(
                .tensorsLeftOver,
                "\(origin) holds \(leftOver.count) tensors that the model has no place for: \(Self.some(leftOver)).",
                advice: "The file belongs to another model or variant. " + advice)
        }
    }

    private static func some(_ names: [String]) -> String {
        names.prefix(5).map { $0.printable() }.joined(separator: "; ") + (names.count > 5 ? "; …" : "")
    }
}
