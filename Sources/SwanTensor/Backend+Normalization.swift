public import SwanDiagnostics

/// Rotation angles of the tokens of a video, for one head.
public struct RotaryTable {
    /// Cosines, float32 `[tokens, headWidth / 2]`.
    public let cosines: Tensor
    /// Sines, float32 `[tokens, headWidth / 2]`.
    public let sines: Tensor

    /// Pairs two tables of one shape.
    public init(cosines: Tensor, sines: Tensor) {
        self.cosines = cosines
        self.sines = sines
    }
}

/// A root-mean-square normalisation over the whole width of rows; see ``NormalizationOps/rmsNorm(_:weight:eps:)``.
public struct RowNorm {
    /// Float32 `[width]`.
    public let weight: Tensor
    /// Added to the mean square.
    public let eps: Float

    /// Notes both.
    public init(weight: Tensor, eps: Float) { (self.weight, self.eps) = (weight, eps) }
}

/// Normalisations of rows, the timestep's modulation, and residual sums.
///
/// In all of them a NaN or infinity in a row spoils its own row and no other.
public protocol NormalizationOps {
    /// Layer normalisation with affine weights:
    /// `(x - mean) / sqrt(variance + eps) * weight + bias`, per row.
    ///
    /// - Parameters:
    ///   - x: float32 `[rows, width]`.
    ///   - weight: float32 `[width]`.
    ///   - bias: float32 `[width]`.
    ///   - eps: added to the (biased) variance.
    /// - Returns: activations `[rows, width]`.
    func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, eps: Float) throws(SwanError) -> Tensor

    /// Layer normalisation without affine weights, then the timestep's shift and scale:
    /// `(x - mean) / sqrt(variance + eps) * (1 + scale[g]) + shift[g]`, per row.
    ///
    /// The tokens form equal, consecutive groups that share a timestep (one group per latent frame,
    /// or one for the whole clip): row `r` uses group `g = r / (tokens / groups)`.
    ///
    /// - Parameters:
    ///   - x: residual stream, float32 `[tokens, width]`.
    ///   - shift: float32 `[groups, width]`; `groups` divides `tokens`.
    ///   - scale: float32 `[groups, width]`; used as `1 + scale`.
    ///   - eps: added to the (biased) variance; 1e-6 in Wan.
    /// - Returns: activations `[tokens, width]`.
    ///
    /// Source: Wan2.2 `wan/modules/model.py`, `WanAttentionBlock.forward`, `norm1` and `norm2`.
    func layerNormModulate(_ x: Tensor, shift: Tensor, scale: Tensor, eps: Float) throws(SwanError) -> Tensor

    /// Root-mean-square normalisation: `x / sqrt(mean(x^2) + eps) * weight`, per row.
    ///
    /// - Parameters:
    ///   - x: activations or float32 `[rows, width]`.
    ///   - weight: float32 `[width]`.
    ///   - eps: added to the mean square; 1e-6 in Wan and UMT5.
    /// - Returns: activations `[rows, width]`.
    func rmsNorm(_ x: Tensor, weight: Tensor, eps: Float) throws(SwanError) -> Tensor

    /// Root-mean-square normalisation over the whole width, then the rotary position embedding of
    /// each head: pair `j` of a head is its channels `(2j, 2j + 1)`, turned by the angle of the
    /// token, `(a cos - b sin, a sin + b cos)`.
    ///
    /// - Parameters:
    ///   - x: activations `[tokens, width]`.
    ///   - weight: float32 `[width]`.
    ///   - eps: added to the mean square.
    ///   - rope: tables of `tokens` rows; `width` is a multiple of twice their columns.
    /// - Returns: activations `[tokens, width]`.
    ///
    /// Source: Wan2.2 `wan/modules/model.py`, `WanSelfAttention.forward` and `rope_apply`.
    func rmsNormRope(_ x: Tensor, weight: Tensor, eps: Float, rope: RotaryTable) throws(SwanError) -> Tensor

    /// `x += y`, element by element, in place: every tensor that shares the memory of `x` sees the sum.
    ///
    /// - Parameters:
    ///   - y: activations or float32, shaped like `x`; its memory does not overlap that of `x`.
    ///   - x: float32, any shape; may be rows of a larger tensor.
    func add(_ y: Tensor, to x: Tensor) throws(SwanError)

    /// `x += y * gate[g]`, in place as in ``add(_:to:)``, with groups as in
    /// ``layerNormModulate(_:shift:scale:eps:)``.
    ///
    /// - Parameters:
    ///   - y: activations `[tokens, width]`; its memory does not overlap that of `x`.
    ///   - gate: float32 `[groups, width]`; `groups` divides `tokens`. Does not overlap `x` either.
    ///   - x: residual stream, float32 `[tokens, width]`; may be rows of a larger tensor.
    func addGated(_ y: Tensor, gate: Tensor, to x: Tensor) throws(SwanError)

    /// ``addGated(_:gate:to:)``, then ``layerNorm(_:weight:bias:eps:)`` of the sum: what stands between a block's
    /// self-attention and its cross-attention, in one pass over the rows where the device has a kernel for it.
    ///
    /// - Parameters:
    ///   - y: activations `[tokens, width]`.
    ///   - gate: float32 `[groups, width]`; `groups` divides `tokens`.
    ///   - x: residual stream, float32 `[tokens, width]`, changed in place; may be rows of a larger tensor, and overlaps
    ///     no other argument.
    ///   - weight: float32 `[width]`.
    ///   - bias: float32 `[width]`.
    ///   - eps: added to the (biased) variance.
    /// - Returns: activations `[tokens, width]`.
    func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float
    ) throws(SwanError) -> Tensor

    /// ``add(_:to:)`` or ``addGated(_:gate:to:)``, then ``layerNormModulate(_:shift:scale:eps:)`` of the sum: what stands
    /// between a block's cross-attention and its feed-forward, and with a gate between that and the next block, in one
    /// pass over the rows where the device has a kernel for it.
    ///
    /// - Parameters:
    ///   - y: activations `[tokens, width]`.
    ///   - gate: float32 `[groups, width]`, as many groups as of `shift`; nil for a branch that is always open.
    ///   - x: residual stream, float32 `[tokens, width]`, changed in place; may be rows of a larger tensor, and overlaps
    ///     no other argument.
    ///   - shift: float32 `[groups, width]`; `groups` divides `tokens`.
    ///   - scale: float32 `[groups, width]`; used as `1 + scale`.
    ///   - eps: added to the (biased) variance.
    /// - Returns: activations `[tokens, width]`.
    func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float
    ) throws(SwanError) -> Tensor

    /// The modulation of a block: its own table plus what the timestep says.
    ///
    /// `result[p, g] = table[p] + timestep[g, p]`, or `table[p] + timestep[g]` when the timestep has
    /// one part only.
    ///
    /// - Parameters:
    ///   - timestep: float32 `[groups, parts * width]` or `[groups, width]`.
    ///   - table: float32 `[parts, width]`.
    /// - Returns: float32 `[parts, groups, width]`, so that each part is a contiguous
    ///   `[groups, width]`.
    func modulation(_ timestep: Tensor, table: Tensor) throws(SwanError) -> Tensor
}

extension NormalizationOps where Self: MemoryOps {
    /// One after the other.
    public func addGatedLayerNorm(
        _ y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, eps: Float
    ) throws(SwanError) -> Tensor {
        _ = try ModulateShapes(adding: y, gate: gate, to: x, weight: weight, bias: bias, activation: activationType)
        try addGated(y, gate: gate, to: x)
        return try layerNorm(x, weight: weight, bias: bias, eps: eps)
    }

    /// One after the other.
    public func addLayerNormModulate(
        _ y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, eps: Float
    ) throws(SwanError) -> Tensor {
        _ = try ModulateShapes(adding: y, gate: gate, to: x, shift: shift, scale: scale, activation: activationType)
        if let gate { try addGated(y, gate: gate, to: x) } else { try add(y, to: x) }
        return try layerNormModulate(x, shift: shift, scale: scale, eps: eps)
    }
}

/// The sizes of a row normalisation, checked.
package struct NormShapes {
    /// Rows of `x`.
    package let rows: Int
    /// Values per row.
    package let width: Int

    /// Checks the arguments of ``NormalizationOps/layerNorm(_:weight:bias:eps:)``.
    package init(x: Tensor, weight: Tensor, bias: Tensor) throws(SwanError) {
        let contract = Contract("layerNorm")
        try contract.type(x, of: "x", .float32)
        try self.init(x, weight, contract)
        try contract.vector(bias, of: "bias", width)
    }

    /// Checks the arguments of ``NormalizationOps/rmsNorm(_:weight:eps:)``.
    package init(x: Tensor, weight: Tensor, activation: DType) throws(SwanError) {
        let contract = Contract("rmsNorm")
        try contract.type(x, of: "x", activation, .float32)
        try self.init(x, weight, contract)
    }

    fileprivate init(_ x: Tensor, _ weight: Tensor, _ contract: Contract) throws(SwanError) {
        try contract.rank(x.shape, of: "x", "rows", "width")
        try contract.filled(x.shape, of: "x")
        (rows, width) = (x.shape[0], x.shape[1])
        try contract.vector(weight, of: "weight", width)
    }
}

/// The sizes of a normalisation followed by a rotary embedding, checked.
package struct NormRopeShapes {
    /// Rows of `x`.
    package let tokens: Int
    /// Values per row.
    package let width: Int
    /// Pairs of a head.
    package let pairs: Int
    /// Heads of a row.
    package var heads: Int { width / (2 * pairs) }

    /// Checks the arguments of ``NormalizationOps/rmsNormRope(_:weight:eps:rope:)``.
    package init(x: Tensor, weight: Tensor, rope: RotaryTable, activation: DType) throws(SwanError) {
        let contract = Contract("rmsNormRope")
        try contract.type(x, of: "x", activation)
        let norm = try NormShapes(x, weight, contract)
        (tokens, width) = (norm.rows, norm.width)
        try contract.type(rope.cosines, of: "rope.cosines", .float32)
        try contract.type(rope.sines, of: "rope.sines", .float32)
        try contract.rank(rope.cosines.shape, of: "rope.cosines", "tokens", "pairs")
        pairs = rope.cosines.shape[1]
        try contract.shape(rope.cosines.shape, of: "rope.cosines", is: [tokens, pairs])
        try contract.shape(rope.sines.shape, of: "rope.sines", is: [tokens, pairs])
        try contract.require(
            pairs > 0 && width % (2 * pairs) == 0,
            "x has rows of \(width) values, expected a multiple of a head's \(2 * pairs)")
    }
}

/// The sizes of an operation whose rows share values by group, checked.
package struct ModulateShapes {
    /// Rows of `x`.
    package let tokens: Int
    /// Values per row.
    package let width: Int
    /// Rows of the shared values.
    package let groups: Int
    /// Consecutive rows of `x` that share a row.
    package var tokensPerGroup: Int { tokens / groups }

    /// Checks the arguments of ``NormalizationOps/layerNormModulate(_:shift:scale:eps:)``.
    package init(x: Tensor, shift: Tensor, scale: Tensor) throws(SwanError) {
        try self.init(x: x, shift: shift, scale: scale, Contract("layerNormModulate"))
    }

    private init(x: Tensor, shift: Tensor, scale: Tensor, _ contract: Contract) throws(SwanError) {
        try self.init(x, shift, named: "shift", contract)
        try contract.type(scale, of: "scale", .float32)
        try contract.shape(scale.shape, of: "scale", is: shift.shape)
    }

    /// Checks the arguments of ``NormalizationOps/addGated(_:gate:to:)``.
    package init(adding y: Tensor, gate: Tensor, to x: Tensor, activation: DType) throws(SwanError) {
        try self.init(adding: y, gate: gate, to: x, activation: activation, Contract("addGated"))
    }

    /// Checks the arguments of ``NormalizationOps/addGatedLayerNorm(_:gate:to:weight:bias:eps:)``.
    package init(
        adding y: Tensor, gate: Tensor, to x: Tensor, weight: Tensor, bias: Tensor, activation: DType
    ) throws(SwanError) {
        let contract = Contract("addGatedLayerNorm")
        try self.init(adding: y, gate: gate, to: x, activation: activation, contract)
        for (vector, name) in [(weight, "weight"), (bias, "bias")] {
            try contract.vector(vector, of: name, width)
            try contract.apart(vector, name, x, "x")
        }
    }

    /// Checks the arguments of ``NormalizationOps/addLayerNormModulate(_:gate:to:shift:scale:eps:)``.
    package init(
        adding y: Tensor, gate: Tensor?, to x: Tensor, shift: Tensor, scale: Tensor, activation: DType
    ) throws(SwanError) {
        let contract = Contract("addLayerNormModulate")
        try self.init(x: x, shift: shift, scale: scale, contract)
        try Self.check(adding: y, to: x, activation: activation, contract)
        if let gate {
            try contract.type(gate, of: "gate", .float32)
            try contract.shape(gate.shape, of: "gate", is: shift.shape)
            try contract.apart(gate, "gate", x, "x")
        }
        try contract.apart(shift, "shift", x, "x")
        try contract.apart(scale, "scale", x, "x")
    }

    private init(
        adding y: Tensor, gate: Tensor, to x: Tensor, activation: DType, _ contract: Contract
    ) throws(SwanError) {
        try self.init(x, gate, named: "gate", contract)
        try Self.check(adding: y, to: x, activation: activation, contract)
        try contract.apart(gate, "gate", x, "x")
    }

    private static func check(
        adding y: Tensor, to x: Tensor, activation: DType, _ contract: Contract
    ) throws(SwanError) {
        try contract.type(y, of: "y", activation)
        try contract.shape(y.shape, of: "y", is: x.shape)
        try contract.apart(y, "y", x, "x")
    }

    private init(_ x: Tensor, _ shared: Tensor, named name: String, _ contract: Contract) throws(SwanError) {
        try contract.type(x, of: "x", .float32)
        try contract.rank(x.shape, of: "x", "tokens", "width")
        try contract.filled(x.shape, of: "x")
        (tokens, width) = (x.shape[0], x.shape[1])
        try contract.type(shared, of: name, .float32)
        try contract.rank(shared.shape, of: name, "groups", "width")
        groups = shared.shape[0]
        try contract.shape(shared.shape, of: name, is: [groups, width])
        try contract.require(
            groups > 0 && tokens % groups == 0, "\(name) has \(groups) groups, which do not divide \(tokens) tokens")
    }
}

/// The sizes in ``NormalizationOps/modulation(_:table:)``.
package struct ModulationShapes {
    /// Rows of the table.
    package let parts: Int
    /// Rows of the timestep.
    package let groups: Int
    /// Values of a part.
    package let width: Int
    /// Whether the timestep says something else to each part.
    package let hasParts: Bool

    /// Checks the arguments.
    package init(timestep: Tensor, table: Tensor) throws(SwanError) {
        let contract = Contract("modulation")
        try contract.type(timestep, of: "timestep", .float32)
        try contract.type(table, of: "table", .float32)
        try contract.rank(table.shape, of: "table", "parts", "width")
        try contract.rank(timestep.shape, of: "timestep", "groups", "parts * width")
        try contract.filled(table.shape, of: "table")
        try contract.filled(timestep.shape, of: "timestep")
        (parts, width) = (table.shape[0], table.shape[1])
        groups = timestep.shape[0]
        hasParts = timestep.shape[1] == parts * width
        try contract.require(
            hasParts || timestep.shape[1] == width,
            "timestep has shape \(timestep.shape), expected [groups, \(parts * width)] or [groups, \(width)]")
    }
}
