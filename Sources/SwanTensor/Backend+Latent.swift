public import SwanDiagnostics

/// The extents of a transformer's patch: frames, rows, columns.
public struct PatchSize: Sendable, Hashable {
    /// Latent frames per token.
    public let frames: Int
    /// Latent rows per token.
    public let height: Int
    /// Latent columns per token.
    public let width: Int

    /// Makes a patch size; each extent is at least 1.
    public init(frames: Int, height: Int, width: Int) {
        self.frames = frames
        self.height = height
        self.width = width
    }

    /// Latent positions per token.
    public var volume: Int { frames * height * width }
}

/// Arithmetic on latents, in float32.
public protocol LatentOps {
    /// Cuts a latent into tokens.
    ///
    /// Token `(i, j, k)` of the grid is row `(i * h + j) * w + k`; its features are ordered
    /// `(channel, frame, row, column)`, channel slowest: the order of a patch embedding's weights.
    ///
    /// - Parameters:
    ///   - latent: float32 `[channels, frames, height, width]`, each a multiple of the patch.
    ///   - patch: extents of a token.
    /// - Returns: activations `[tokens, channels * patch.volume]`.
    func patchify(_ latent: Tensor, patch: PatchSize) throws(SwanError) -> Tensor

    /// Puts tokens together to a latent.
    ///
    /// The features of a token are ordered `(frame, row, column, channel)`, channel **fastest**: not
    /// the order of ``patchify(_:patch:)``.
    ///
    /// - Parameters:
    ///   - x: activations or float32 `[tokens, patch.volume * channels]`.
    ///   - patch: extents of a token.
    ///   - shape: `[channels, frames, height, width]` of the result, each a multiple of the patch.
    /// - Returns: float32 `[channels, frames, height, width]`.
    ///
    /// Source: Wan2.2 `wan/modules/model.py`, `WanModel.unpatchify`.
    func unpatchify(_ x: Tensor, patch: PatchSize, shape: Shape) throws(SwanError) -> Tensor

    /// `sum of coefficient * tensor`, from left to right, in float32.
    ///
    /// - Parameter terms: at least one; float32 tensors of one shape.
    func linearCombination(_ terms: [(coefficient: Float, tensor: Tensor)]) throws(SwanError) -> Tensor
}

/// The sizes of a latent and of its grid of tokens, checked.
package struct PatchShapes {
    /// Channels of the latent.
    package let channels: Int
    /// The latent's extents: frames, rows, columns.
    package let frames, height, width: Int
    /// The extents of a token.
    package let patch: PatchSize

    /// Tokens along each axis: frames, rows, columns.
    package var grid: (frames: Int, height: Int, width: Int) {
        (frames / patch.frames, height / patch.height, width / patch.width)
    }
    /// Tokens of the latent.
    package var tokens: Int { grid.frames * grid.height * grid.width }
    /// Features of a token.
    package var features: Int { channels * patch.volume }

    /// Checks the arguments of ``LatentOps/patchify(_:patch:)``.
    package init(latent: Tensor, patch: PatchSize) throws(SwanError) {
        let contract = Contract("patchify")
        try contract.type(latent, of: "latent", .float32)
        try self.init(latent.shape, named: "latent", patch, contract)
    }

    /// Checks the arguments of ``LatentOps/unpatchify(_:patch:shape:)``.
    package init(x: Tensor, patch: PatchSize, shape: Shape, activation: DType) throws(SwanError) {
        let contract = Contract("unpatchify")
        try contract.type(x, of: "x", activation, .float32)
        try self.init(shape, named: "shape", patch, contract)
        try contract.shape(x.shape, of: "x", is: [tokens, features])
    }

    private init(_ shape: Shape, named name: String, _ patch: PatchSize, _ contract: Contract) throws(SwanError) {
        try contract.rank(shape, of: name, "channels", "frames", "height", "width")
        try contract.filled(shape, of: name)
        try contract.require(
            patch.frames > 0 && patch.height > 0 && patch.width > 0 && shape[1] % patch.frames == 0
                && shape[2] % patch.height == 0 && shape[3] % patch.width == 0,
            "\(name) \(shape) is no multiple of the patch \(patch.frames)×\(patch.height)×\(patch.width)")
        (channels, frames, height, width) = (shape[0], shape[1], shape[2], shape[3])
        self.patch = patch
    }
}

/// The terms of a linear combination, checked.
package struct CombinationShapes {
    /// The shape of every term and of the result.
    package let shape: Shape

    /// Checks the arguments of ``LatentOps/linearCombination(_:)``.
    package init(_ terms: [(coefficient: Float, tensor: Tensor)]) throws(SwanError) {
        let contract = Contract("linearCombination")
        guard let first = terms.first else {
            throw SwanError(.shapeMismatch, "linearCombination: there is no term, expected at least one.")
        }
        shape = first.tensor.shape
        for (index, term) in terms.enumerated() {
            try contract.type(term.tensor, of: "term \(index)", .float32)
            try contract.shape(term.tensor.shape, of: "term \(index)", is: shape)
        }
    }
}
