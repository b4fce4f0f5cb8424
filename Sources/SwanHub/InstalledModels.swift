import FoundationEssentials
public import SwanDiagnostics

/// The models that are on this machine: beside the program, and in the cache of the Hugging Face tools.
///
/// Nothing is fetched, and nothing but names and the small file `refs/main` is read.
public struct InstalledModels: Sendable {
    private let catalogue: Catalogue
    /// Folders beside or above the program, nearest first.
    private let programFolders: [String]
    /// The folder of repositories; nil where the environment names neither it nor a home.
    private let hubCache: String?

    /// Says where to look.
    ///
    /// - Parameters:
    ///   - executable: the running program's path, links resolved.
    ///   - environment: the process' environment; `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME`,
    ///     `XDG_CACHE_HOME` and `HOME` are looked at, in this order.
    ///   - catalogue: the models that can be asked for.
    public init(executable: String, environment: [String: String], catalogue: Catalogue = .standard) {
        self.catalogue = catalogue
        programFolders = Self.parents(of: executable)
        hubCache = Self.hubCache(environment)
    }

    /// The folder of a model.
    ///
    /// - Parameter name: a catalogue's name, an alias or a repository's id, in any case.
    /// - Throws: `hub.model-unknown`, naming the nearest; `hub.model-closed`, naming the nearest open model;
    ///   `hub.model-unsupported` with the reason; `hub.model-not-installed`, saying where it was looked for
    ///   and what to fetch.
    public func path(of name: String) throws(SwanError) -> String {
        let model = try catalogue.model(named: name)
        if let nearest = model.nearestOpen {
            throw SwanError(
                .modelClosed, "\(model.title) cannot be had: \(model.whyNot ?? "its weights are not published").",
                advice: "The nearest open model is \(nearest): `swan models \(nearest)`.")
        }
        if let whyNot = model.whyNot {
            throw SwanError(
                .modelUnsupported, "This version of Swan does not run \(model.title): \(whyNot).",
                advice: "`swan models` lists what it runs.")
        }
        if let path = find(model) { return path }
        throw SwanError(
            .modelNotInstalled, "\(model.name) is not on this machine; \(placesLookedAt(model)).",
            advice: howToGet(model))
    }

    /// Whether a model's folder is there. Whether all its files are, shows when it is opened.
    public func isInstalled(_ model: CatalogueModel) -> Bool { find(model) != nil }

    /// The folder of a catalogue's model, or nil when it is not on this machine.
    public func find(_ model: CatalogueModel) -> String? { besideProgram(model.name) ?? inHubCache(model) }

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

    // MARK: In the cache of the Hugging Face tools

    private static func hubCache(_ environment: [String: String]) -> String? {
        func value(_ name: String) -> String? {
            guard let value = environment[name], !value.isEmpty else { return nil }
            guard value == "~" || value.hasPrefix("~/") else { return value }
            return environment["HOME"].map { $0 + value.dropFirst() }
        }
        if let cache = value("HF_HUB_CACHE") ?? value("HUGGINGFACE_HUB_CACHE") { return cache }
        if let home = value("HF_HOME") { return home + "/hub" }
        if let caches = value("XDG_CACHE_HOME") { return caches + "/huggingface/hub" }
        return value("HOME").map { $0 + "/.cache/huggingface/hub" }
    }

    private func inHubCache(_ model: CatalogueModel) -> String? {
        guard let hubCache else { return nil }
        for repository in model.repositories where repository.hub == .huggingFace {
            let folder = "\(hubCache)/models--\(repository.id.split(separator: "/").joined(separator: "--"))"
            if let snapshot = snapshot(folder) { return snapshot }
        }
        return nil
    }

    /// The snapshot that `refs/main` names, or the only one; nil when it is not there or empty.
    private func snapshot(_ folder: String) -> String? {
        let snapshots = names("\(folder)/snapshots")
        let main = (try? String(contentsOfFile: "\(folder)/refs/main", encoding: .utf8))?
            .split(whereSeparator: \.isWhitespace).first.map(String.init)
        // Only the name of a folder that was listed: what a file says does not lead out of the cache.
        let name = snapshots.first { $0 == main } ?? (snapshots.count == 1 ? snapshots.first : nil)
        guard let name, !names("\(folder)/snapshots/\(name)").isEmpty else { return nil }
        return "\(folder)/snapshots/\(name)"
    }

    // MARK: What to say

    private func placesLookedAt(_ model: CatalogueModel) -> String {
        var places: [String] = []
        if let folder = programFolders.first { places.append("the folders above \(folder)") }
        if model.repositories.contains(where: { $0.hub == .huggingFace }), let hubCache { places.append(hubCache) }
        return places.isEmpty ? "there is no place to look for it" : "looked in " + places.joined(separator: " and ")
    }

    private func howToGet(_ model: CatalogueModel) -> String {
        guard let repository = model.repositories.first else {
            return "It is part of Swan's source: run the program where it was built, or name the folder with --model."
        }
        let size = model.downloadBytes.map { " (\(formatted(bytes: $0)))" } ?? ""
        return "This version does not download: fetch \(repository.id)\(size) from \(repository.hub.rawValue) with"
            + " its own tool, or name a folder that has it with --model."
    }

    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    private func names(_ folder: String) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return names.filter { !$0.hasPrefix(".") }.sorted()
    }
}
