/// What a model is made of, in numbers.
public struct ModelArchitecture: Sendable, Hashable, Codable {
    /// A transformer's sizes.
    public struct Network: Sendable, Hashable, Codable {
        /// Channels of the residual stream.
        public var width: Int
        /// Hidden channels of the feed-forward.
        public var feedForward: Int
        /// Attention heads.
        public var heads: Int
        /// Blocks.
        public var layers: Int
        /// Numbers in its weights.
        public var parameters: Int
    }

    /// One expert, or the only transformer.
    public var transformer: Network
    /// How many experts there are; 1 for a model with one transformer.
    public var experts: Int
    /// The text encoder.
    public var textEncoder: Network
    /// Numbers in the video autoencoder's weights.
    public var autoencoderParameters: Int
    /// Channels of the latent.
    public var latentChannels: Int

    /// Numbers in the weights of all parts.
    public var parameters: Int { experts * transformer.parameters + textEncoder.parameters + autoencoderParameters }
    /// Numbers in the weights that one step uses: those of one expert.
    public var activeParameters: Int { transformer.parameters }
}
