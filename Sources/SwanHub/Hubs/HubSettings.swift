import FoundationEssentials
public import SwanDiagnostics

/// What the environment says about hubs, tokens and folders: the variables that the hubs' own tools read.
public struct HubSettings: Sendable {
    /// The folder of repositories in the layout of the Hugging Face tools; nil where neither it nor a home is named.
    public var cacheFolder: String?
    /// Swan's own folder for what is kept; nil where neither it nor a home is named.
    public var dataFolder: String?
    /// Folders where ModelScope's tools keep models, to be looked at.
    var modelScopeFolders: [String]
    /// Whether the network may not be used.
    public var isOffline: Bool
    /// How the network is reached.
    public var web: WebSettings
    private var endpoints: [Hub: String] = [:]
    private var tokens: [Hub: String] = [:]

    /// Reads the environment, and the saved token of Hugging Face's tools.
    ///
    /// - Throws: `hub.bad-request` for a proxy that is no address.
    public init(environment: [String: String]) throws(SwanError) {
        web = try WebSettings(environment: environment)
        cacheFolder = Self.cacheFolder(environment)
        dataFolder = Self.dataFolder(environment)
        let set = Environment(environment)
        isOffline = set.isOn("HF_HUB_OFFLINE") || set.isOn("TRANSFORMERS_OFFLINE")
        modelScopeFolders = Self.modelScopeFolders(environment)

        endpoints[.huggingFace] = set["HF_ENDPOINT"]
        if let domain = set["MODELSCOPE_ENDPOINT"] ?? set["MODELSCOPE_DOMAIN"] {
            endpoints[.modelScope] = domain.contains("://") ? domain : "https://" + domain
        }
        tokens[.huggingFace] = set["HF_TOKEN"] ?? set["HUGGING_FACE_HUB_TOKEN"]
        if tokens[.huggingFace] == nil, !set.isOn("HF_HUB_DISABLE_IMPLICIT_TOKEN"),
            let file = set.path("HF_TOKEN_PATH") ?? Self.home(set).map({ $0 + "/token" })
        {
            tokens[.huggingFace] = (try? String(contentsOfFile: file, encoding: .utf8))?
                .split(whereSeparator: \.isWhitespace).first.map(String.init)
        }
        tokens[.modelScope] = set["MODELSCOPE_API_TOKEN"]
        // A line break in a token would end the header that it is sent in.
        for (hub, token) in tokens where !token.utf8.allSatisfy({ (33 ... 126).contains($0) }) {
            throw SwanError(
                .badRequest, "The token for \(hub.rawValue) holds characters that no token has.",
                advice: "Correct HF_TOKEN or MODELSCOPE_API_TOKEN.")
        }
    }

    /// Where a hub is.
    func address(_ hub: Hub) -> HubAddress {
        var base = endpoints[hub] ?? HubAddress.publicBase(hub)
        while base.hasSuffix("/") { base.removeLast() }
        return HubAddress(hub: hub, base: base, token: tokens[hub])
    }

    /// The folder of repositories: `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `hub` in `HF_HOME`, in
    /// `XDG_CACHE_HOME/huggingface` or in `~/.cache/huggingface`.
    static func cacheFolder(_ environment: [String: String]) -> String? {
        let set = Environment(environment)
        return set.path("HF_HUB_CACHE") ?? set.path("HUGGINGFACE_HUB_CACHE") ?? home(set).map { $0 + "/hub" }
    }

    private static func home(_ set: Environment) -> String? {
        set.path("HF_HOME") ?? set.path("XDG_CACHE_HOME").map { $0 + "/huggingface" }
            ?? set["HOME"].map { $0 + "/.cache/huggingface" }
    }

    /// `swan` in `XDG_DATA_HOME`, else in `~/.local/share`.
    public static func dataFolder(_ environment: [String: String]) -> String? {
        let set = Environment(environment)
        return (set.path("XDG_DATA_HOME") ?? set["HOME"].map { $0 + "/.local/share" }).map { $0 + "/swan" }
    }

    /// The layouts of ModelScope's tools, whose model folders hold plain files: of versions 1.26 and later, and of
    /// older ones.
    static func modelScopeFolders(_ environment: [String: String]) -> [String] {
        let set = Environment(environment)
        if let cache = set.path("MODELSCOPE_CACHE") { return [cache + "/models", cache + "/hub"] }
        return set["HOME"].map { ["\($0)/.cache/modelscope/hub/models", "\($0)/.cache/modelscope/hub"] } ?? []
    }

    /// A model's folder in those: they write a point in a name as three underscores.
    static func modelScopeFolder(_ id: String) -> String {
        id.split(separator: "/").enumerated().map { index, part in
            index == 0
                ? String(part) : part.split(separator: ".", omittingEmptySubsequences: false).joined(separator: "___")
        }.joined(separator: "/")
    }

    /// Variables as the hubs' tools read them.
    private struct Environment {
        let variables: [String: String]

        init(_ variables: [String: String]) { self.variables = variables }

        /// A variable that is set to something.
        subscript(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }

        func isOn(_ name: String) -> Bool { ["1", "ON", "YES", "TRUE"].contains(self[name]?.uppercased()) }

        /// A path, with `~` and `$NAME` replaced.
        func path(_ name: String) -> String? {
            guard var path = self[name] else { return nil }
            if path == "~" || path.hasPrefix("~/"), let home = self["HOME"] { path = home + path.dropFirst() }
            var expanded = ""
            var rest = path[...]
            while let dollar = rest.firstIndex(of: "$") {
                expanded += rest[..<dollar]
                rest = rest[rest.index(after: dollar)...]
                let isBraced = rest.first == "{"
                let body = isBraced ? rest.dropFirst() : rest
                let word = body.prefix { $0 == "_" || ($0.isASCII && ($0.isLetter || $0.isNumber)) }
                let end = body[word.endIndex...]
                if let value = variables[String(word)], !word.isEmpty, !isBraced || end.first == "}" {
                    expanded += value
                    rest = isBraced ? end.dropFirst() : end
                } else {
                    expanded += "$"
                }
            }
            return expanded + rest
        }
    }
}
