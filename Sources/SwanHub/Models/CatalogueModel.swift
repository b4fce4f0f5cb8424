/// What is known of one text-to-video model, whether or not Swan runs it.
///
/// Facts of a survey of publishers' repositories, pages and code; absent where nothing reliable was found.
public struct CatalogueModel: Sendable, Hashable, Codable {
    /// A repository on a model hub.
    public struct Repository: Sendable, Hashable, Codable {
        /// Where repositories are kept.
        public enum Hub: String, Sendable, Hashable, Codable {
            case huggingFace = "Hugging Face"
            case modelScope = "ModelScope"
        }

        /// The hub.
        public var hub: Hub
        /// `owner/name`.
        public var id: String
    }

    /// What users type.
    public var name: String
    /// Other names that mean this model.
    public var aliases: [String] = []
    /// What its publisher calls it.
    public var title: String
    /// Who made it.
    public var publisher: String
    /// What goes in and what comes out.
    public var task: String
    /// Parameters of the video transformer, all experts together, as the publisher counts them.
    public var parameters: Int?
    /// Parameters that work in one step, as the publisher counts them.
    public var activeParameters: Int?
    /// Sizes that it was made for.
    public var resolution: String
    /// Frames per second that it was made for: one number or a range.
    public var fps: String?
    /// The licence's short name; `closed` where the weights are not published.
    public var licence: String
    /// Whom or what the licence shuts out or makes pay; nil where it does not.
    public var licenceLimits: String?
    /// Bytes of the files that a run needs, about; of the whole repository where only that is known.
    public var downloadBytes: Int?
    /// Where the weights are, the preferred repository of each hub first.
    public var repositories: [Repository] = []
    /// The forms in which it can be fetched, the usual one first; empty where Swan does not run the model.
    public var variants: [ModelVariant] = []
    /// Why this version does not run it, as one sentence; nil where it does.
    public var whyNot: String?
    /// For a model without published weights: the open one that comes nearest.
    public var nearestOpen: String?

    /// Whether this version runs it.
    public var runs: Bool { whyNot == nil }
    /// Whether its weights are published.
    public var isOpen: Bool { nearestOpen == nil }
}
