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
