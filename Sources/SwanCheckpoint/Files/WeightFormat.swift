import SwanTensor

/// In which form a checkpoint holds its weights, as its headers tell it.
public struct WeightFormat: Sendable, Hashable, Codable {
    /// The form: `bfloat16`, `float8E4M3 with scales per row`, `GGUF Q4_K, with Q6_K, float32`…
    public let name: String
    /// What says how eight bits are scaled, as ``ScaleConvention`` names it; nil where nothing is scaled.
    public let scales: String?
    /// Weights of fewer than 16 bits.
    public let quantized: Int
    /// Stored bits for each value of the model, scales among them.
    public let bitsPerWeight: Double

    /// - Parameters:
    ///   - source: the file's tensors as a model sees them.
    ///   - shares: the element types of the file's own tensors, largest first.
    ///   - bytes: of all tensors in the file.
    ///   - isGGUF: whether the file is one.
    init(_ source: any WeightSource, _ shares: [CheckpointReport.Share], bytes: Int, isGGUF: Bool) {
        let scaled = source as? ScaledWeights
        let isSmall: (String) -> Bool = { name in
            guard let type = DType(rawValue: name) else { return false }
            return type.blockElements > 1 || QuantizedWeight.types.contains(type)
        }
        let types = shares.filter { $0.bytes > 0 }.map(\.dtype)
        let (small, others) = (types.filter(isSmall), types.filter { !isSmall($0) })
        let first = (small.first ?? others.first) ?? "nothing"
        let rest = (small + others).filter { $0 != first }
        let mixture = isGGUF && !rest.isEmpty ? ", with \(rest.joined(separator: ", "))" : ""
        scales = scaled?.convention.rawValue
        switch (scales, small.isEmpty) {
        case (let scales?, _): name = "\(first), \(scales)"
        case (nil, false) where !isGGUF: name = "\(first) without scales"
        default: name = (isGGUF ? "GGUF " : "") + first + mixture
        }
        quantized = shares.filter { isSmall($0.dtype) }.reduce(0) { $0 + $1.tensors }
        let values = source.names.reduce(0) { sum, name in
            sum + (source.info(name)?.shape.count ?? source.unsupported(name)?.shape.count ?? 0)
        }
        bitsPerWeight = values == 0 ? 0 : 8 * Double(bytes) / Double(values)
    }
}
