import FoundationEssentials
public import SwanDiagnostics

/// The models that are on this machine: beside the program, in the caches of the hubs' tools, and where `swan pull` puts
/// variants together.
///
/// Nothing is fetched, and nothing but names and the small files in `refs` is read.
public struct InstalledModels: Sendable {
    private let catalogue: Catalogue
    /// Folders beside or above the program, nearest first.
    private let programFolders: [String]
    /// The folder of repositories; nil where the environment names neither it nor a home.
    private let hubCache: String?
    /// Swan's own folder; nil where the environment names neither it nor a home.
    private let dataFolder: String?
    /// Folders of ModelScope's tools.
    private let modelScopeFolders: [String]

    /// Says where to look.
    ///
    /// - Parameters:
    ///   - executable: the running program's path, links resolved.
    ///   - environment: the process' environment: the variables of ``HubSettings``.
    ///   - catalogue: the models that can be asked for.
    public init(executable: String, environment: [String: String], catalogue: Catalogue = .standard) {
        self.catalogue = catalogue
        programFolders = Self.parents(of: executable)
        hubCache = HubSettings.cacheFolder(environment)
        dataFolder = HubSettings.dataFolder(environment)
        modelScopeFolders = HubSettings.modelScopeFolders(environment)
    }

    /// The folder of a model.
    ///
    /// - Parameter name: a catalogue's name, an alias or a repository's id, in any case; a variant behind it, as in
    ///   `wan2.2-t2v-a14b-fp8`.
    /// - Throws: `hub.model-unknown`, naming the nearest; `hub.model-closed`, naming the nearest open model;
    ///   `hub.model-unsupported` with the reason; `hub.model-not-installed`, saying where it was looked for
    ///   and what to fetch.
    public func path(of name: String) throws(SwanError) -> String {
        if let model = try? catalogue.model(named: name) {
            try model.checkRuns()
            if let path = find(model) { return path }
            throw missing(model, model.variants.first)
        }
        let (model, variant) = try catalogue.choice(named: name, variant: nil)
        if let path = find(model, variant) { return path }
        throw missing(model, variant)
    }

    /// Whether a model's folder is there. Whether all its files are, shows when it is opened.
    public func isInstalled(_ model: CatalogueModel) -> Bool { find(model) != nil }

    /// The folder of a catalogue's model, or nil when it is not on this machine.
    public func find(_ model: CatalogueModel) -> String? {
        besideProgram(model.name) ?? inHubCache(model) ?? inModelScopeCache(model)
    }

    /// The folder of a variant, or nil when it is not on this machine.
    public func find(_ model: CatalogueModel, _ variant: ModelVariant) -> String? {
        if variant == model.variants.first { return find(model) }
        guard let dataFolder else { return nil }
        let path = ModelView(model.fullName(variant), in: dataFolder).path
        return exists(path) ? path : nil
    }

    /// The names of variants that are on this machine.
    public func variants(of model: CatalogueModel) -> [String] {
        model.variants.filter { find(model, $0) != nil }.map(\.name)
    }

    // MARK: Beside the program

    /// `Models/NAME` in a checkout, where the program is somewhere below `.build`; `share/swan/models/NAME`
    /// where `bin/swan` was installed.
    private func besideProgram(_ name: String) -> String? {
        for folder in programFolders {
            for place in ["Models/\(name)", "share/swan/models/\(name)"] {
                let path = folder == "/" ? "/\(place)" : "\(folder)/\(place)"
                if ["model_index.json", "swan.json"].contains(where: { exists("\(path)/\($0)") }) { return path }
            }
        }
        return nil
    }

    private static func parents(of path: String) -> [String] {
        var folders: [String] = []
        var rest = Substring(path)
        while let slash = rest.lastIndex(of: "/") {
            rest = rest[..<slash]
            folders.append(rest.isEmpty ? "/" : String(rest))
        }
        return folders
    }

    // MARK: In the caches of the hubs' tools

    private func inHubCache(_ model: CatalogueModel) -> String? {
        guard let hubCache else { return nil }
        for repository in model.repositories where repository.hub == .huggingFace {
            let folder = "\(hubCache)/models--\(repository.id.split(separator: "/").joined(separator: "--"))"
            if let snapshot = snapshot(folder, needed(model, of: repository)) { return snapshot }
        }
        return nil
    }

    /// The snapshot that `refs/main` names, or that which came from ModelScope, or the only one; nil when it is not
    /// there or lacks what is needed.
    private func snapshot(_ folder: String, _ needed: [String]) -> String? {
        let snapshots = names("\(folder)/snapshots").filter { isWhole("\(folder)/snapshots/\($0)", needed) }
        for reference in ["main", "modelscope/master"] {
            let commit = (try? String(contentsOfFile: "\(folder)/refs/\(reference)", encoding: .utf8))?
                .split(whereSeparator: \.isWhitespace).first.map(String.init)
            // Only the name of a folder that was listed: what a file says does not lead out of the cache.
            if let name = snapshots.first(where: { $0 == commit }) { return "\(folder)/snapshots/\(name)" }
        }
        return snapshots.count == 1 ? "\(folder)/snapshots/\(snapshots[0])" : nil
    }

    private func inModelScopeCache(_ model: CatalogueModel) -> String? {
        for repository in model.repositories where repository.hub == .modelScope {
            let needed = needed(model, of: repository)
            for root in modelScopeFolders {
                let path = "\(root)/\(HubSettings.modelScopeFolder(repository.id))"
                if isWhole(path, needed) { return path }
            }
        }
        return nil
    }

    /// Paths that the folder of a repository has to hold to be the model: other variants fetch a few files of the
    /// same repository, as its tokenizer.
    private func needed(_ model: CatalogueModel, of repository: CatalogueModel.Repository) -> [String] {
        let part = model.variants.lazy.compactMap(\.parts.first).first { $0.repositories.contains(repository) }
        return part?.plainNames ?? []
    }

    private func isWhole(_ folder: String, _ needed: [String]) -> Bool {
        !names(folder).isEmpty && needed.allSatisfy { exists("\(folder)/\($0)") }
    }

    // MARK: What to say

    private func missing(_ model: CatalogueModel, _ variant: ModelVariant?) -> SwanError {
        let name = variant.map(model.fullName) ?? model.name
        return SwanError(
            .modelNotInstalled, "\(name) is not on this machine; \(placesLookedAt(model)).",
            advice: howToGet(model, variant))
    }

    private func placesLookedAt(_ model: CatalogueModel) -> String {
        var places: [String] = []
        if let folder = programFolders.first { places.append("the folders above \(folder)") }
        if model.repositories.contains(where: { $0.hub == .huggingFace }), let hubCache { places.append(hubCache) }
        return places.isEmpty ? "there is no place to look for it" : "looked in " + places.joined(separator: " and ")
    }

    private func howToGet(_ model: CatalogueModel, _ variant: ModelVariant?) -> String {
        guard let variant else {
            return "It is part of Swan's source: run the program where it was built, or name the folder with --model."
        }
        let size = variant.bytes.map { " (\(formatted(bytes: $0)))" } ?? ""
        let others = variants(of: model).map { "\(model.name)-\($0)" }
        return "`swan pull \(model.fullName(variant))` fetches it\(size); or name a folder that has it with --model."
            + (others.isEmpty ? "" : " Here is \(others.joined(separator: ", ")).")
    }

    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    private func names(_ folder: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { !$0.hasPrefix(".") }.sorted()
    }
}
