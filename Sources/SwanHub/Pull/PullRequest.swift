import FoundationEssentials
import Glibc
public import SwanDiagnostics

/// What is to be fetched, from where.
public struct PullRequest: Sendable {
    /// A place that was named in place of the usual ones.
    public enum Source: Sendable, Hashable {
        /// One of the hubs, wherever the environment says that it is.
        case hub(Hub)
        /// A server that speaks the protocol of one of them.
        case address(String)

        /// Reads `huggingface`, `modelscope`, or an address; nil for anything else.
        public init?(_ text: String) {
            switch text.lowercased() {
            case "huggingface", "hf": self = .hub(.huggingFace)
            case "modelscope", "ms": self = .hub(.modelScope)
            case let lower where lower.hasPrefix("https://") || lower.hasPrefix("http://"): self = .address(text)
            default: return nil
            }
        }
    }

    /// How results and messages name it.
    var name: String
    /// The model; nil for a repository that was named itself.
    var model: CatalogueModel?
    /// What is fetched of which repositories.
    var variant: ModelVariant
    /// The hubs to ask, the first that answers is taken; never empty.
    var hubs: [HubAddress]
    /// The revision that was asked for.
    var revision: String?
    /// Whether the files that are here are hashed again.
    public var verifies = false
    /// Connections, sizes of pieces.
    package var download = DownloadSettings()

    /// Connections at the same time.
    public var connections: Int {
        get { download.connections }
        set { download.connections = newValue }
    }

    /// Understands what a person names.
    ///
    /// - Parameters:
    ///   - name: a model of the catalogue, a model and its variant as `wan2.2-t2v-a14b-fp8`, or a repository as
    ///     `owner/name`, with `hf:` or `ms:` before it and `@revision` behind it if wanted.
    ///   - variant: a variant of the model; nil for the first.
    ///   - source: a hub or a mirror; nil for both hubs, one after the other.
    ///   - revision: a branch, a tag or a commit; nil for the hub's own branch.
    ///   - include: patterns of the files that are wanted; empty for those that a run needs.
    ///   - catalogue: the models that can be asked for.
    ///   - settings: what the environment says; tells where the hubs are.
    /// - Throws: `hub.model-unknown`, `hub.model-closed`, `hub.model-unsupported`, `hub.variant-unknown`,
    ///   `hub.bad-request`.
    public init(
        _ name: String, variant: String? = nil, from source: Source? = nil, revision: String? = nil,
        include: [String] = [], catalogue: Catalogue = .standard, _ settings: HubSettings
    ) throws(SwanError) {
        var text = name
        var source = source
        for (prefix, hub) in [("hf:", Hub.huggingFace), ("ms:", Hub.modelScope)] where text.hasPrefix(prefix) {
            text = String(text.dropFirst(prefix.count))
            if case .hub(let other)? = source, other != hub {
                throw SwanError(
                    .badRequest, "'\(name.printable())' names one hub and --from the other.",
                    advice: "Name one of them.")
            }
            source = source ?? .hub(hub)
        }
        var revision = revision
        if let at = text.lastIndex(of: "@") {
            guard revision == nil else {
                throw SwanError(
                    .badRequest, "'\(name.printable())' names one revision and --revision another.",
                    advice: "Name one of them.")
            }
            revision = String(text[text.index(after: at)...])
            text = String(text[..<at])
        }
        if let revision, revision.isEmpty || revision.utf8.contains(where: { $0 < 33 || $0 == 127 }) {
            throw SwanError(
                .badRequest, "'\(revision.printable())' is no revision.", advice: "Name a branch, a tag or a commit.")
        }
        self.revision = revision

        if text.contains("/") {
            if variant != nil {
                throw SwanError(
                    .badRequest, "A repository has no variants.",
                    advice: "Name its files with --include, or a model of `swan models` and its --variant.")
            }
            (model, self.name) = (nil, text)
            self.variant = .repository(
                [.init(hub: .huggingFace, id: text), .init(hub: .modelScope, id: text)], revision: nil,
                include: include)
        } else {
            let (model, found) = try catalogue.choice(named: text, variant: variant)
            self.model = model
            self.name = model.fullName(found)
            self.variant = found
            if !include.isEmpty {
                throw SwanError(
                    .badRequest, "--include was given, and \(model.name) says itself what it needs.",
                    advice:
                        "Name the repository to choose files: swan pull \(model.repositories.first?.id ?? "owner/name")."
                )
            }
        }

        let order: [HubAddress]
        switch source {
        case .hub(let hub)?: order = [settings.address(hub)]
        case .address(var base)?:
            while base.hasSuffix("/") { base.removeLast() }
            // The address does not say which protocol is spoken there.
            order = [Hub.huggingFace, .modelScope].map { hub in
                let token = base == settings.address(hub).base ? settings.address(hub).token : nil
                return HubAddress(hub: hub, base: base, token: token)
            }
        case nil:
            // A revision means something on one hub only.
            order =
                revision == nil
                ? [settings.address(.huggingFace), settings.address(.modelScope)] : [settings.address(.huggingFace)]
        }
        let parts = self.variant.parts
        hubs = order.filter { address in
            parts.contains { $0.repositories.contains { $0.hub == address.hub } }
        }
        guard !hubs.isEmpty else {
            throw SwanError(
                .badRequest, "\(self.name) is not on \(order[0].hub.rawValue).",
                advice: "Leave --from and --revision out, or name the other hub.")
        }
    }

    /// Whether a file of a repository is wanted.
    static func isWanted(_ path: String, _ patterns: [String]) -> Bool {
        guard patterns.isEmpty else { return patterns.contains { fnmatch($0, path, 0) == 0 } }
        // What a repository's page shows, and what only its hub reads.
        let ignored = [
            ".git*", "*/.git*", ".msc", ".mdl", ".mv", ".modelscope*", "assets/*", "examples/*", "*.md", "*.png",
            "*.jpg",
            "*.jpeg", "*.gif", "*.webp", "*.mp4",
        ]
        return !ignored.contains { fnmatch($0, path, 0) == 0 }
    }
}

extension Catalogue {
    /// A model and one of its variants, by one name or two.
    ///
    /// - Throws: `hub.model-unknown`; `hub.model-closed`, naming the nearest open model; `hub.model-unsupported` for one
    ///   that this version does not run; `hub.variant-unknown`, naming those that there are.
    public func choice(
        named name: String, variant: String?
    ) throws(SwanError) -> (model: CatalogueModel, variant: ModelVariant) {
        let model: CatalogueModel
        var variant = variant
        do throws(SwanError) {
            model = try self.model(named: name)
        } catch {
            let wanted = name.lowercased()
            let spelled = models.lazy.compactMap { model -> (CatalogueModel, String)? in
                for spelling in [model.name] + model.aliases where wanted.hasPrefix(spelling + "-") {
                    let rest = String(wanted.dropFirst(spelling.count + 1))
                    if model.variant(named: rest) != nil { return (model, rest) }
                }
                return nil
            }.first
            guard variant == nil, let spelled else { throw error }
            (model, variant) = (spelled.0, spelled.1)
        }
        try model.checkRuns()
        guard let found = model.variant(named: variant) else {
            let names = model.variants.map(\.name).joined(separator: ", ")
            throw SwanError(
                .variantUnknown,
                model.variants.isEmpty
                    ? "\(model.name) comes with Swan and is not fetched."
                    : "\(model.name) has no variant '\(variant?.printable() ?? "")'.",
                advice: names.isEmpty ? "`swan generate --model \(model.name)` uses it." : "There are \(names).")
        }
        return (model, found)
    }
}

extension CatalogueModel {
    /// - Throws: `hub.model-closed`, naming the nearest open model; `hub.model-unsupported` with the reason.
    func checkRuns() throws(SwanError) {
        if let nearestOpen {
            throw SwanError(
                .modelClosed, "\(title) cannot be had: \(whyNot ?? "its weights are not published").",
                advice: "The nearest open model is \(nearestOpen): `swan models \(nearestOpen)`.")
        }
        if let whyNot {
            throw SwanError(
                .modelUnsupported, "This version of Swan does not run \(title): \(whyNot).",
                advice: repositories.first.map {
                    "`swan models` lists what it runs. For another program: `swan pull \($0.id)`."
                } ?? "`swan models` lists what it runs.")
        }
    }
}
