public import SwanDiagnostics

/// A backend that has everything done by another, and notes what each operation took and what it had to do.
///
/// Tensors and weights are the other's, so that models may be loaded on either and run on both.
public final class MeasuredBackend: Backend {
    private let base: any Backend
    private let clock: any OperationClock
    private var pending: [(kind: OperationProfile.Kind, form: String, cost: OperationCost)] = []

    /// The device's name.
    public var name: String { base.name }
    /// What computes.
    public var summary: String { base.summary }
    /// What is computed on.
    public var hardware: String { base.hardware }
    /// The element type of activations.
    public var activationType: DType { base.activationType }

    /// Measures `base`: by its own clock if it has one, else by that on the wall.
    public convenience init(_ base: any Backend) throws(SwanError) {
        if let timing = base as? any OperationTiming {
            self.init(base, timedBy: try timing.makeOperationClock())
        } else {
            self.init(base, timedBy: WallClock(base))
        }
    }

    package init(_ base: any Backend, timedBy clock: any OperationClock) {
        (self.base, self.clock) = (base, clock)
    }

    /// Waits for the operations and returns what was measured since the last call.
    public func takeProfile() throws(SwanError) -> OperationProfile {
        let seconds = try clock.collect()
        guard seconds.count == pending.count else {
            throw SwanError(.fault, "\(pending.count) operations were asked for, and \(seconds.count) were timed.")
        }
        var profile = OperationProfile()
        for (operation, seconds) in zip(pending, seconds) {
            profile.note(operation.kind, operation.form, operation.cost, seconds: seconds)
        }
        pending = []
        return profile
    }

    private func measured<Result>(
        _ kind: OperationProfile.Kind, _ form: String, _ cost: (Result) -> OperationCost,
        _ run: () throws(SwanError) -> Result
    ) throws(SwanError) -> Result {
        try clock.begin()
        let result = try run()
        try clock.end()
        pending.append((kind, form, cost(result)))
        return result
    }

    /// An operation that reads some tensors, wholly, and writes its result. One that is changed in place is named
    /// twice.
    private func moving(
        _ kind: OperationProfile.Kind, _ tensors: Tensor?..., run: () throws(SwanError) -> Tensor
    ) throws(SwanError) -> Tensor {
        let moved = tensors.compactMap(\.self)
        let cost = { (result: Tensor) in Self.moving(moved + [result]) }
        return try measured(kind, moved.first.map { $0.shape.times } ?? "", cost, run)
    }

    /// An operation that reads some tensors, and reads and writes `x`.
    private func updating(
        _ kind: OperationProfile.Kind, _ x: Tensor, _ tensors: Tensor..., run: () throws(SwanError) -> Void
    ) throws(SwanError) {
        let cost = Self.moving([x, x] + tensors)
        try measured(kind, x.shape.times, { _ in cost }, run)
    }

    private static func moving(_ tensors: [Tensor]) -> OperationCost {
        .moving(tensors.map { (shape: $0.shape, dtype: $0.dtype) })
    }

    // Memory --------------------------------------------------------------------------------------

    /// See ``MemoryOps/allocate(_:_:)``; not timed.
    public func allocate(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        try base.allocate(shape, dtype)
    }

    /// See ``MemoryOps/zeros(_:_:)``.
    public func zeros(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor {
        try measured(.zeros, shape.times, { _ in .moving((shape, dtype)) }) { () throws(SwanError) in
            try base.zeros(shape, dtype)
        }
    }

    /// See ``MemoryOps/upload(_:as:)``; the bytes are those of the host.
    public func upload(_ host: HostTensor, as dtype: DType) throws(SwanError) -> Tensor {
        try measured(.upload, host.shape.times, { _ in .moving((host.shape, host.dtype)) }) { () throws(SwanError) in
            try base.upload(host, as: dtype)
        }
    }

    /// See ``MemoryOps/download(_:)``.
    public func download(_ tensor: Tensor) throws(SwanError) -> [Float] {
        try measured(.download, tensor.shape.times, { _ in .moving((tensor.shape, tensor.dtype)) }) {
            () throws(SwanError) in try base.download(tensor)
        }
    }

    /// See ``MemoryOps/copy(_:into:)``.
    public func copy(_ source: Tensor, into target: Tensor) throws(SwanError) {
        let form = (shape: source.shape, dtype: source.dtype)
        try measured(.copy, source.shape.times, { _ in .moving(form, form) }) { () throws(SwanError) in
            try base.copy(source, into: target)
        }
    }

    /// See ``MemoryOps/synchronize()``; not timed.
    public func synchronize() throws(SwanError) { try base.synchronize() }

    /// See ``PlanningOps/isRehearsal``.
    public var isRehearsal: Bool { base.isRehearsal }
    /// See ``PlanningOps/expect(_:)``.
    public func expect(_ rehearsal: any Backend) { base.expect(rehearsal) }
    /// See ``PlanningOps/useIdleTime()``.
    public func useIdleTime() throws(SwanError) { try base.useIdleTime() }
    /// See ``PlanningOps/pinnedBytes``.
    public var pinnedBytes: Int { base.pinnedBytes }
    /// See ``PlanningOps/deviceMemory()``.
    public func deviceMemory() throws(SwanError) -> DeviceMemory? { try base.deviceMemory() }
    /// See ``PlanningOps/rehearsal()``; nothing of it is noted.
    public func rehearsal() -> (any Backend)? { base.rehearsal() }
    /// See ``PlanningOps/reserve(_:)``.
    public func reserve(_ bytes: Int) throws(SwanError) { try base.reserve(bytes) }

    // Weights that take turns: copies beside the operations, whose time is what the operations wait for ----------

    /// See ``StreamingOps/canStreamWeights``.
    public var canStreamWeights: Bool { base.canStreamWeights }
    /// See ``StreamingOps/group(_:)``.
    public func group<Layer>(
        _ bind: () throws(SwanError) -> Layer
    ) throws(SwanError) -> (layer: Layer, group: any WeightGroup) { try base.group(bind) }
    /// See ``StreamingOps/image(of:)``.
    public func image(of group: any WeightGroup) throws(SwanError) -> any WeightImage { try base.image(of: group) }
    /// See ``StreamingOps/load(_:into:)``.
    public func load(_ image: any WeightImage, into group: any WeightGroup) throws(SwanError) {
        try base.load(image, into: group)
    }
    /// See ``StreamingOps/reload(_:_:)``.
    public func reload(_ group: any WeightGroup, _ bind: () throws(SwanError) -> Void) throws(SwanError) {
        try base.reload(group, bind)
    }
    /// See ``StreamingOps/begin(_:)``.
    public func begin(_ group: any WeightGroup) throws(SwanError) { try base.begin(group) }
    /// See ``StreamingOps/end(_:)``.
    public func end(_ group: any WeightGroup) throws(SwanError) { try base.end(group) }

    // Products ------------------------------------------------------------------------------------

    private func weights<Weights>(
        _ weight: HostTensor, _ make: () throws(SwanError) -> Weights
    ) throws(SwanError) -> Weights {
        try measured(.weights, weight.shape.times, { _ in .moving((weight.shape, weight.dtype)) }, make)
    }

    /// See ``LinearOps/makeLinear(weight:bias:)``.
    public func makeLinear(weight: HostTensor, bias: HostTensor?) throws(SwanError) -> any LinearWeights {
        try weights(weight) { () throws(SwanError) in try base.makeLinear(weight: weight, bias: bias) }
    }

    /// See ``LinearOps/linear(_:_:activation:result:)``.
    public func linear(
        _ x: Tensor, _ weights: any LinearWeights, activation: Activation, result: DType
    ) throws(SwanError) -> Tensor {
        let (rows, inputs, outputs) = (x.shape.extents.first ?? 0, weights.inputs, weights.outputs)
        let cost = OperationCost.linear(
            rows: rows, inputs: inputs, outputs: outputs, input: x.dtype, weight: activationType, result: result)
        let end = activation == .identity ? "" : ", \(activation.rawValue)"
        return try measured(.linear, "\(rows)x\(inputs) to \(outputs)\(end)", { _ in cost }) { () throws(SwanError) in
            try base.linear(x, weights, activation: activation, result: result)
        }
    }

    /// See ``LinearOps/activate(_:_:)``.
    public func activate(_ x: Tensor, _ activation: Activation) throws(SwanError) -> Tensor {
        try moving(.activate, x) { () throws(SwanError) in try base.activate(x, activation) }
    }

    /// See ``LinearOps/geluGate(_:_:)``.
    public func geluGate(_ gate: Tensor, _ up: Tensor) throws(SwanError) -> Tensor {
        try moving(.geluGate, gate, up) { () throws(SwanError) in try base.geluGate(gate, up) }
    }

    // Eight bits ----------------------------------------------------------------------------------

    /// See ``EightBitOps/makeLinear(weight:bias:as:)``.
    public func makeLinear(
        weight: HostTensor, bias: HostTensor?, as coding: EightBitCoding
    ) throws(SwanError) -> any EightBitWeights {
        try weights(weight) { () throws(SwanError) in
            try base.makeLinear(weight: weight, bias: bias, as: coding)
        }
    }

    /// See ``EightBitOps/makeLinear(weight:bias:)``.
    public func makeLinear(weight: EightBitWeight, bias: HostTensor?) throws(SwanError) -> any EightBitWeights {
        try weights(weight.values) { () throws(SwanError) in try base.makeLinear(weight: weight, bias: bias) }
    }

    /// An operation with an eight-bit result, whose scales are left out.
    private func moving(
        _ kind: OperationProfile.Kind, _ tensors: Tensor?..., to coding: EightBitCoding,
        run: () throws(SwanError) -> QuantizedRows
    ) throws(SwanError) -> QuantizedRows {
        let moved = tensors.compactMap(\.self)
        let cost = { (result: QuantizedRows) in Self.moving(moved + [result.values]) }
        return try measured(kind, (moved.first.map { $0.shape.times } ?? "") + ", to \(coding.rawValue)", cost, run)
    }

    /// See ``EightBitOps/quantizeRows(_:to:)``.
    public func quantizeRows(_ x: Tensor, to coding: EightBitCoding) throws(SwanError) -> QuantizedRows {
        try moving(.quantizeRows, x, to: coding) { () throws(SwanError) in try base.quantizeRows(x, to: coding) }
    }

    private func linear<Result>(
        _ x: QuantizedRows, _ weights: any EightBitWeights, result: DType, _ end: String,
        _ run: () throws(SwanError) -> Result
    ) throws(SwanError) -> Result {
        let (rows, inputs, outputs) = (x.values.shape[0], weights.inputs, weights.outputs)
        let type = weights.coding.format.dtype
        let cost = OperationCost.linear(
            rows: rows, inputs: inputs, outputs: outputs, input: type, weight: type, result: result)
        let form = "\(rows)x\(inputs) to \(outputs), \(weights.coding.rawValue)\(end)"
        return try measured(.linear, form, { _ in cost }, run)
    }

    /// See ``EightBitOps/linear(_:_:result:)``.
    public func linear(_ x: QuantizedRows, _ weights: any EightBitWeights, result: DType) throws(SwanError) -> Tensor {
        try linear(x, weights, result: result, "") { () throws(SwanError) in
            try base.linear(x, weights, result: result)
        }
    }

    /// See ``EightBitOps/linear(_:_:activation:to:)``.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, activation: Activation, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        let end = (activation == .identity ? "" : ", \(activation.rawValue)") + ", to \(coding.rawValue)"
        return try linear(x, weights, result: coding.format.dtype, end) { () throws(SwanError) in
            try base.linear(x, weights, activation: activation, to: coding)
        }
    }

    /// See ``EightBitOps/linear(_:_:gate:onto:)``.
    public func linear(
        _ x: QuantizedRows, _ weights: any EightBitWeights, gate: Tensor?, onto residual: Tensor
    ) throws(SwanError) -> Tensor? {
        try linear(x, weights, result: residual.dtype, ", onto the residual") { () throws(SwanError) in
            try base.linear(x, weights, gate: gate, onto: residual)
        }
    }

    /// See ``EightBitOps/layerNorm(_:weight:bias:eps:to:)``.
    public func layerNorm(
        _ x: Tensor, weight: Tensor, bias: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try moving(.layerNorm, x, weight, bias, to: coding) { () throws(SwanError) in
            try base.layerNorm(x, weight: weight, bias: bias, eps: eps, to: coding)
        }
    }

    /// See ``EightBitOps/layerNormModulate(_:shift:scale:eps:to:)``.
    public func layerNormModulate(
        _ x: Tensor, shift: Tensor, scale: Tensor, eps: Float, to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try moving(.layerNormModulate, x, shift, scale, to: coding) { () throws(SwanError) in
            try base.layerNormModulate(x, shift: shift, scale: scale, eps: eps, to: coding)
        }
    }

    /// See ``EightBitOps/addGatedLayerNorm(_:gate:to:weight:bias:eps:as:)``.
    public func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try moving(.addGatedLayerNorm, x, x, y, gate, weight, bias, to: coding) { () throws(SwanError) in
            try base.addGatedLayerNorm(y, gate: gate, to: x, weight: weight, bias: bias, eps: eps, as: coding)
        }
    }

    /// See ``EightBitOps/addLayerNormModulate(_:gate:to:shift:scale:eps:as:)``.
    public func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float, as coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try moving(.addLayerNormModulate, x, x, y, gate, shift, scale, to: coding) { () throws(SwanError) in
            try base.addLayerNormModulate(y, gate: gate, to: x, shift: shift, scale: scale, eps: eps, as: coding)
        }
    }

    // Rows ----------------------------------------------------------------------------------------

    /// See ``NormalizationOps/layerNorm(_:weight:bias:eps:)``.
    public func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, eps: Float) throws(SwanError) -> Tensor {
        try moving(.layerNorm, x, weight, bias) { () throws(SwanError) in
            try base.layerNorm(x, weight: weight, bias: bias, eps: eps)
        }
    }

    /// See ``NormalizationOps/layerNormModulate(_:shift:scale:eps:)``.
    public func layerNormModulate(_ x: Tensor, shift: Tensor, scale: Tensor, eps: Float) throws(SwanError) -> Tensor {
        try moving(.layerNormModulate, x, shift, scale) { () throws(SwanError) in
            try base.layerNormModulate(x, shift: shift, scale: scale, eps: eps)
        }
    }

    /// See ``NormalizationOps/rmsNorm(_:weight:eps:)``.
    public func rmsNorm(_ x: Tensor, weight: Tensor, eps: Float) throws(SwanError) -> Tensor {
        try moving(.rmsNorm, x, weight) { () throws(SwanError) in try base.rmsNorm(x, weight: weight, eps: eps) }
    }

    /// See ``NormalizationOps/rmsNormRope(_:weight:eps:rope:)``.
    public func rmsNormRope(_ x: Tensor, weight: Tensor, eps: Float, rope: RotaryTable) throws(SwanError) -> Tensor {
        try moving(.rmsNormRope, x, weight, rope.cosines, rope.sines) { () throws(SwanError) in
            try base.rmsNormRope(x, weight: weight, eps: eps, rope: rope)
        }
    }

    /// See ``NormalizationOps/add(_:to:)``.
    public func add(_ y: Tensor, to x: Tensor) throws(SwanError) {
        try updating(.add, x, y) { () throws(SwanError) in try base.add(y, to: x) }
    }

    /// See ``NormalizationOps/addGated(_:gate:to:)``.
    public func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) throws(SwanError) {
        try updating(.addGated, x, y, gate) { () throws(SwanError) in try base.addGated(y, gate: gate, to: x) }
    }

    /// See ``NormalizationOps/addGatedLayerNorm(_:gate:to:weight:bias:eps:)``.
    public func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float
    ) throws(SwanError) -> Tensor {
        try moving(.addGatedLayerNorm, x, x, y, gate, weight, bias) { () throws(SwanError) in
            try base.addGatedLayerNorm(y, gate: gate, to: x, weight: weight, bias: bias, eps: eps)
        }
    }

    /// See ``NormalizationOps/addLayerNormModulate(_:gate:to:shift:scale:eps:)``.
    public func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float
    ) throws(SwanError) -> Tensor {
        try moving(.addLayerNormModulate, x, x, y, gate, shift, scale) { () throws(SwanError) in
            try base.addLayerNormModulate(y, gate: gate, to: x, shift: shift, scale: scale, eps: eps)
        }
    }

    /// See ``NormalizationOps/modulation(_:table:)``.
    public func modulation(_ timestep: Tensor, table: Tensor) throws(SwanError) -> Tensor {
        try moving(.modulation, timestep, table) { () throws(SwanError) in
            try base.modulation(timestep, table: table)
        }
    }

    // Attention -----------------------------------------------------------------------------------

    /// See ``AttentionOps/attentionKernel``.
    public var attentionKernel: String { base.attentionKernel }

    /// See ``AttentionOps/isAttentionExact``.
    public var isAttentionExact: Bool { base.isAttentionExact }

    /// See ``AttentionOps/attention(q:k:v:scale:bias:)``.
    public func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?) throws(SwanError) -> Tensor {
        try attention(q, k, v, biases: bias?.shape.count ?? 0, bias == nil ? "" : ", bias") { () throws(SwanError) in
            try base.attention(q: q, k: k, v: v, scale: scale, bias: bias)
        }
    }

    /// See ``AttentionOps/selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:)``.
    public func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float
    ) throws(SwanError) -> Tensor {
        try attention(q, k, v, ", norms") { () throws(SwanError) in
            try base.selfAttention(
                q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale)
        }
    }

    /// See ``EightBitOps/selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:to:)``.
    public func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float,
        to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        try attention(q, k, v, ", norms, to \(coding.rawValue)") { () throws(SwanError) in
            try base.selfAttention(
                q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale, to: coding)
        }
    }

    /// See ``AttentionOps/fusesSelfAttention(tokens:heads:width:)``.
    public func fusesSelfAttention(tokens: Int, heads: Int, width: Int) -> Bool {
        base.fusesSelfAttention(tokens: tokens, heads: heads, width: width)
    }

    private func attention<Result>(
        _ q: Tensor, _ k: Tensor, _ v: Tensor, biases: Int = 0, _ end: String, _ run: () throws(SwanError) -> Result
    ) throws(SwanError) -> Result {
        let shapes = try AttentionShapes(q: q, k: k, v: v, bias: nil, activation: activationType)
        let cost = OperationCost.attention(
            queries: shapes.queries, keys: shapes.keys, heads: shapes.heads, width: shapes.width, dtype: q.dtype,
            biases: biases)
        let form = "\(shapes.queries)x\(shapes.keys), \(shapes.heads) heads of \(shapes.width)"
        return try measured(.attention, form + end, { _ in cost }, run)
    }

    /// See ``AttentionOps/distanceBias(_:buckets:)``.
    public func distanceBias(_ table: Tensor, buckets: Tensor) throws(SwanError) -> Tensor {
        try moving(.distanceBias, table, buckets) { () throws(SwanError) in
            try base.distanceBias(table, buckets: buckets)
        }
    }

    // Latents -------------------------------------------------------------------------------------

    /// See ``LatentOps/patchify(_:patch:)``.
    public func patchify(_ latent: Tensor, patch: PatchSize) throws(SwanError) -> Tensor {
        try moving(.patchify, latent) { () throws(SwanError) in try base.patchify(latent, patch: patch) }
    }

    /// See ``LatentOps/unpatchify(_:patch:shape:)``.
    public func unpatchify(_ x: Tensor, patch: PatchSize, shape: Shape) throws(SwanError) -> Tensor {
        try moving(.unpatchify, x) { () throws(SwanError) in try base.unpatchify(x, patch: patch, shape: shape) }
    }

    /// See ``LatentOps/linearCombination(_:)``.
    public func linearCombination(_ terms: [(coefficient: Float, tensor: Tensor)]) throws(SwanError) -> Tensor {
        let form = "\(terms.count) of \(terms.first?.tensor.shape.times ?? "")"
        let cost = { (result: Tensor) in Self.moving(terms.map(\.tensor) + [result]) }
        return try measured(.linearCombination, form, cost) { () throws(SwanError) in
            try base.linearCombination(terms)
        }
    }

    // Frames --------------------------------------------------------------------------------------

    /// See ``VideoOps/channelsLast(_:scale:shift:)``.
    public func channelsLast(_ latent: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        try moving(.channelsLast, latent, scale, shift) { () throws(SwanError) in
            try base.channelsLast(latent, scale: scale, shift: shift)
        }
    }

    /// See ``VideoOps/channelsFirst(_:scale:shift:)``.
    public func channelsFirst(_ frames: Tensor, scale: Tensor, shift: Tensor) throws(SwanError) -> Tensor {
        try moving(.channelsFirst, frames, scale, shift) { () throws(SwanError) in
            try base.channelsFirst(frames, scale: scale, shift: shift)
        }
    }

    /// See ``VideoOps/makeConvolution(_:weight:bias:)``.
    public func makeConvolution(
        _ geometry: ConvolutionShape, weight: HostTensor, bias: HostTensor
    ) throws(SwanError) -> any ConvolutionWeights {
        try weights(weight) { () throws(SwanError) in
            try base.makeConvolution(geometry, weight: weight, bias: bias)
        }
    }

    /// See ``VideoOps/convolution(_:_:residual:)``.
    public func convolution(
        _ x: Tensor, _ weights: any ConvolutionWeights, residual: Tensor?
    ) throws(SwanError) -> Tensor {
        let (geometry, kernel) = (weights.geometry, weights.geometry.kernel)
        let cost = OperationCost.convolution(geometry, input: x.shape, dtype: x.dtype, hasResidual: residual != nil)
        let form = "\(kernel.frames)x\(kernel.height)x\(kernel.width), \(x.shape.times) to \(geometry.outputs)"
        return try measured(.convolution, form, { _ in cost }) { () throws(SwanError) in
            try base.convolution(x, weights, residual: residual)
        }
    }

    /// See ``VideoOps/makeUpsample(weight:bias:)``.
    public func makeUpsample(weight: HostTensor, bias: HostTensor) throws(SwanError) -> any UpsampleWeights {
        try weights(weight) { () throws(SwanError) in try base.makeUpsample(weight: weight, bias: bias) }
    }

    /// See ``VideoOps/upsample(_:_:)``.
    public func upsample(_ x: Tensor, _ weights: any UpsampleWeights) throws(SwanError) -> Tensor {
        let outputs = weights.outputs
        return try measured(
            .upsample, "\(x.shape.times) to \(outputs)",
            { _ in .upsample(input: x.shape, outputs: outputs, dtype: x.dtype) }
        ) { () throws(SwanError) in try base.upsample(x, weights) }
    }

    /// See ``VideoOps/channelNorm(_:gamma:)``.
    public func channelNorm(_ x: Tensor, gamma: Tensor) throws(SwanError) -> Tensor {
        try moving(.channelNorm, x, gamma) { () throws(SwanError) in try base.channelNorm(x, gamma: gamma) }
    }

    /// See ``VideoOps/normSiLU(_:gamma:history:historyFrames:)``.
    public func normSiLU(_ x: Tensor, gamma: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor {
        try moving(.normSiLU, x, gamma, history) { () throws(SwanError) in
            try base.normSiLU(x, gamma: gamma, history: history, historyFrames: historyFrames)
        }
    }

    /// See ``VideoOps/withHistory(_:history:historyFrames:)``.
    public func withHistory(_ x: Tensor, history: Tensor?, historyFrames: Int) throws(SwanError) -> Tensor {
        try moving(.withHistory, x, history) { () throws(SwanError) in
            try base.withHistory(x, history: history, historyFrames: historyFrames)
        }
    }

    /// See ``VideoOps/frameInterleave(_:)``.
    public func frameInterleave(_ x: Tensor) throws(SwanError) -> Tensor {
        try moving(.frameInterleave, x) { () throws(SwanError) in try base.frameInterleave(x) }
    }

    /// See ``VideoOps/framesToRGB8(_:)``.
    public func framesToRGB8(_ x: Tensor) throws(SwanError) -> [UInt8] {
        let cost = OperationCost.moving((x.shape, x.dtype), (x.shape, .uint8))
        return try measured(.framesToRGB8, x.shape.times, { _ in cost }) { () throws(SwanError) in
            try base.framesToRGB8(x)
        }
    }
}

extension Shape {
    /// The extents as `4x60x104`.
    fileprivate var times: String { extents.map(String.init).joined(separator: "x") }
}
