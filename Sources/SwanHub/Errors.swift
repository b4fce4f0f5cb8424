public import SwanDiagnostics

extension SwanError.Code {
    /// No model has this name.
    public static let modelUnknown = Self("hub.model-unknown", .missing)
    /// The model is known and is not on this machine.
    public static let modelNotInstalled = Self("hub.model-not-installed", .missing)
    /// The model's weights are not published.
    public static let modelClosed = Self("hub.model-closed", .unavailable)
    /// The model is known and this version does not run it.
    public static let modelUnsupported = Self("hub.model-unsupported", .unavailable)
    /// The model has no such variant.
    public static let variantUnknown = Self("hub.variant-unknown", .missing)
    /// A request for a download contradicts itself, or a setting of the environment cannot be understood.
    public static let badRequest = Self("hub.bad-request", .usage)
    /// The hub cannot be reached, or gives up on every try.
    public static let unreachable = Self("hub.unreachable", .unavailable)
    /// The hub asks to wait for longer than is waited.
    public static let rateLimited = Self("hub.rate-limited", .unavailable)
    /// The hub refuses: a token is missing, wrong, or not allowed to; or a licence has to be accepted.
    public static let refused = Self("hub.refused", .unavailable)
    /// The hub has no such repository, revision or file.
    public static let notFound = Self("hub.not-found", .missing)
    /// The hub answers with something that is no answer.
    public static let badAnswer = Self("hub.bad-answer", .data)
    /// What is fetched is not what was listed: the repository changed meanwhile.
    public static let changed = Self("hub.changed", .data)
    /// A file arrived and is not the one that was published.
    public static let hashMismatch = Self("hub.hash-mismatch", .data)
    /// There is not enough room on the disk; nothing was begun.
    public static let noRoom = Self("hub.no-room", .resources)
    /// The cache cannot be written to, or the disk became full.
    public static let cacheUnwritable = Self("hub.cache-unwritable", .io)
    /// The network is not to be used, and something is not on this machine.
    public static let offline = Self("hub.offline", .missing)
}
