import SwanDiagnostics
import SwanTensor

/// A backend that is wrong in one operation: the middle element of its result is a little off.
final class Perturbed: Backend {
    private let base: any Backend
    private let broken: String
    let name = "perturbed"
    var summary: String { base.summary }
    var activationType: DType { base.activationType }

    init(_ base: any Backend, in operation: String) { (self.base, broken) = (base, operation) }

    /// What an operation did to a tensor, changed when it is the broken one.
    private func change(_ operation: String, _ tensor: Tensor) throws(SwanError) {
        guard operation == broken else { return }
        try base.copy(result(operation, tensor), into: tensor)
    }

    /// The result, changed when it is the broken operation's.
    private func result(_ operation: String, _ tensor: Tensor) throws(SwanError) -> Tensor {
        guard operation == broken else { return tensor }
        var values = try base.download(tensor)
        // A thousandth of what the values are like: less than a look at the sum would show.
        let place = values.count / 2
        let size = values.reduce(Float(0)) { $1.isFinite ? max($0, abs($1)) : $0 }
        values[place] = values[place].isNaN ? 0 : values[place] + max(size, 1e-3) / 1024
        return try base.upload(HostTensor(tensor.shape, values), as: tensor.dtype)
    }

    func allocate(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor { try base.allocate(shape, dtype) }
    func zeros(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor { try base.zeros(shape, dtype) }
    func upload(_ host: HostTensor, as dtype: DType) throws(SwanError) -> Tensor { try base.upload(host, as: dtype) }
    func download(_ tensor: Tensor) throws(SwanError) -> [Float] { try base.download(tensor) }
    func synchronize() throws(SwanError) { try base.synchronize() }
    func copy(_ source: Tensor, into target: Tensor) throws(SwanError) {
        guard broken == "copy" else { return try base.copy(source, into: target) }
        let last = source.shape[0] - 1
        try base.copy(source.rows(0 ..< last), into: target.rows(0 ..< last))
    }

    func makeLinear(weight: HostTensor, bias: HostTensor?) throws(SwanError) -> any LinearWeights {
        try base.makeLinear(weight: weight, bias: bias)
    }
    func linear(
        _ x: Tensor, _ weights: any LinearWeights, activation: Activation, result type: DType
    ) throws(SwanError) -> Tensor {
        try result("linear", base.linear(x, weights, activation: activation, result: type))
    }
    func activate(_ x: Tensor, _ activation: Activation) throws(SwanError) -> Tensor {
        try result("activate", base.activate(x, activation))
    }
    func geluGate(_ gate: Tensor, _ up: Tensor) throws(SwanError) -> Tensor {
        try result("geluGate", base.geluGate(gate, up))
    }

    func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, eps: Float) throws(SwanError) -> Tensor {
        try result("layerNorm", base.layerNorm(x, weight: weight, bias: bias, eps: eps))
    }
    func layerNormModulate(_ x: Tensor, shift: Tensor, scale: Tensor, eps: Float) throws(SwanError) -> Tensor {
        try result("layerNormModulate", base.layerNormModulate(x, shift: shift, scale: scale, eps: eps))
    }
    func rmsNorm(_ x: Tensor, weight: Tensor, eps: Float) throws(SwanError) -> Tensor {
        try result("rmsNorm", base.rmsNorm(x, weight: weight, eps: eps))
    }
    func rmsNormRope(_ x: Tensor, weight: Tensor, eps: Float, rope: RotaryTable) throws(SwanError) -> Tensor {
        try result("rmsNormRope", base.rmsNormRope(x, weight: weight, eps: eps, rope: rope))
    }
    func add(_ y: Tensor, to x: Tensor) throws(SwanError) {
        try base.add(y, to: x)
        try change("add", x)
    }
    func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) throws(SwanError) {
        try base.addGated(y, gate: gate, to: x)
        try change("addGated", x)
    }
    func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float
    ) throws(SwanError) -> Tensor {
        try result(
            "addGatedLayerNorm", base.addGatedLayerNorm(y, gate: gate, to: x, weight: weight, bias: bias, eps: eps))
    }
    func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float
    ) throws(SwanError) -> Tensor {
        try result(
            "addLayerNormModulate",
            base.addLayerNormModulate(y, gate: gate, to: x, shift: shift, scale: scale, eps: eps))
    }
    func modulation(_ timestep: Tensor, table: Tensor) throws(SwanError) -> Tensor {
        try result("modulation", base.modulation(timestep, table: table))
    }

    /// The rows, one scale of which is changed when the operation is the broken one.
    private func result(_ operation: String, _ rows: QuantizedRows) throws(SwanError) -> QuantizedRows {
        try QuantizedRows(values: rows.values, scales: result(operation, rows.scales), as: rows.coding)
    }
    func makeLinear(
        weight: HostTensor, bias: HostTensor?, as coding: EightBitCoding
    ) throws(SwanError) -> any EightBitWeights {
        try base.makeLinear(weight: weight, bias: bias, as: coding)
    }
    func makeLinear(weight: EightBitWeight, bias: HostTensor?) throws(SwanError) -> any EightBitWeights {
        try base.makeLinear(weight: weight, bias: bias)
    }
    func quantizeRows(_ x: Tensor, to coding: EightBitCoding) throws(SwanError) -> QuantizedRows {
        try result("quantizeRows", base.quantizeRows(x, to: coding))
    }
    func linear(_ x: QuantizedRows, _ weights: any EightBitWeights, result type: DType) throws(SwanError) -> Tensor {
        try result("linear", base.linear(x, weights, result: type))
    }
    func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, activation: Activation, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try result("linear", base.linear(x, weights, activation: activation, to: coding))
    }
    func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, gate: Tensor?, onto residual: Tensor
    ) throws(SwanError) -> Tensor? {
        let y = try base.linear(x, weights, gate: gate, onto: residual)
        try change("linear", residual)
        return y
    }
    func layerNorm(
        _ x: Tensor, weight: Tensor, bias: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try result("layerNorm", base.layerNorm(x, weight: weight, bias: bias, eps: eps, to: coding))
    }
    func layerNormModulate(
        _ x: Tensor, shift: Tensor, scale: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try result("layerNormModulate", base.layerNormModulate(x, shift: shift, scale: scale, eps: eps, to: coding))
    }
    func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try result(
            "addGatedLayerNorm",
            base.addGatedLayerNorm(y, gate: gate, to: x, weight: weight, bias: bias, eps: eps, as: coding))
    }
    func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try result(
            "addLayerNormModulate",
            base.addLayerNormModulate(y, gate: gate, to: x, shift: shift, scale: scale, eps: eps, as: coding))
    }

    func distanceBias(_ table: Tensor, buckets: Tensor) throws(SwanError) -> Tensor {
        try result("distanceBias", base.distanceBias(table, buckets: buckets))
    }
    var attentionKernel: String { base.attentionKernel }
    func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?) throws(SwanError) -> Tensor {
        try result("attention", base.attention(q: q, k: k, v: v, scale: scale, bias: bias))
    }
    func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float
    ) throws(SwanError) -> Tensor {
        try result(
            "selfAttention",
            base.selfAttention(q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale))
    }

    func patchify(_ latent: Tensor, patch: PatchSize) throws(SwanError) -> Tensor {
        try result("patchify", base.patchify(latent, patch: patch))
    }
    func unpatchify(_ x: Tensor, patch: PatchSize, shape: Shape) throws(SwanError) -> Tensor {
        try result("unpatchify", base.unpatchify(x, patch: patch, shape: shape))
    }
    func linearCombination(_ terms: [(coefficient: Float, tensor: Tensor)]) throws(SwanError) -> Tensor {
        try result("linearCombination", base.linearCombination(terms))
    }

    func channelsLast(_ latent: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        try result("channelsLast", base.channelsLast(latent, scale: scale, shift: shift))
    }
    func channelsFirst(_ frames: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        try result("channelsFirst", base.channelsFirst(frames, scale: scale, shift: shift))
    }
    func makeConvolution(
        _ geometry: ConvolutionShape, weight: HostTensor, bias: HostTensor
    ) throws(SwanError) -> any ConvolutionWeights {
        try base.makeConvolution(geometry, weight: weight, bias: bias)
    }
    func convolution(
        _ x: Tensor, _ weights: any ConvolutionWeights, residual: Tensor?
    ) throws(SwanError) -> Tensor {
        try result("convolution", base.convolution(x, weights, residual: residual))
    }
    func makeUpsample(weight: HostTensor, bias: HostTensor) throws(SwanError) -> any UpsampleWeights {
        try base.makeUpsample(weight: weight, bias: bias)
    }
    func upsample(_ x: Tensor, _ weights: any UpsampleWeights) throws(SwanError) -> Tensor {
        try result("upsample", base.upsample(x, weights))
    }
    func channelNorm(_ x: Tensor, gamma: Tensor) throws(SwanError) -> Tensor {
        try result("channelNorm", base.channelNorm(x, gamma: gamma))
    }
    func normSiLU(_ x: Tensor, gamma: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor {
        try result("normSiLU", base.normSiLU(x, gamma: gamma, history: history, historyFrames: historyFrames))
    }
    func withHistory(_ x: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor {
        try result("withHistory", base.withHistory(x, history: history, historyFrames: historyFrames))
    }
    func frameInterleave(_ x: Tensor) throws(SwanError) -> Tensor {
        try result("frameInterleave", base.frameInterleave(x))
    }
    func framesToRGB8(_ x: Tensor) throws(SwanError) -> [UInt8] {
        var bytes = try base.framesToRGB8(x)
        if broken == "framesToRGB8" { bytes[bytes.count / 2] ^= 1 }
        return bytes
    }
}
