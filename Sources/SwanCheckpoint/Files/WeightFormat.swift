import SwanDiagnostics
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
    ///   - source: the file.
    ///   - tensors: the file's own.
    ///   - shares: their element types, largest first.
    init(_ source: any WeightSource, _ tensors: [CheckpointReport.Tensor], _ shares: [CheckpointReport.Share]) {
        let isGGUF = source is GGUFFile
        var (weights, isKnown) = (source, true)
        do throws(SwanError) { weights = try ScaledWeights.resolving(source) } catch { isKnown = false }
        let scaled = weights as? ScaledWeights
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
        case _ where !isKnown: name = "\(first), scaled in a way that is not read"
        case (let scales?, _): name = "\(first), \(scales)"
        case (nil, false) where !isGGUF: name = "\(first) without scales"
        default: name = (isGGUF ? "GGUF " : "") + first + mixture
        }
        // Tokenizers, counters, masks and markers are no weights, whatever bits they take.
        let names = Set(weights.names)
        func isWeight(_ tensor: CheckpointReport.Tensor) -> Bool {
            guard isKnown else { return true }
            guard names.contains(tensor.name) else { return false }
            if scaled?.isScaled(tensor.name) == true { return true }
            return DType(rawValue: tensor.dtype)?.isFloatingPoint ?? true
        }
        let counted = tensors.filter(isWeight)
        quantized =
            counted.filter { tensor in
                tensor.shape.count >= 2 && (isSmall(tensor.dtype) || scaled?.isScaled(tensor.name) == true)
            }.count
        let values = counted.reduce(0) { $0 + $1.count }
        let scaleBytes = tensors.filter { !names.contains($0.name) }.reduce(0) { $0 + $1.bytes }
        let bytes = counted.reduce(scaleBytes) { $0 + $1.bytes }
        bitsPerWeight = values == 0 ? 0 : 8 * Double(bytes) / Double(values)
    }
}
