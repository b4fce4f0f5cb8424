import FoundationEssentials
public import SwanDiagnostics

/// Opens a checkpoint of any format.
///
/// - Parameter path: a file; an index of shards (`….safetensors.index.json`); or a folder that holds one
///   index, one file that is named as a model's main file (`diffusion_pytorch_model.safetensors`,
///   `model.safetensors`), or one checkpoint of any name. Kinds are judged by content.
/// - Throws: `checkpoint.file-missing` when there is nothing, or an index lists files that are not there;
///   `checkpoint.ambiguous` when a folder holds several; `checkpoint.lfs-pointer`;
///   `checkpoint.truncated`; and what the readers throw.
public func openWeights(at path: String) throws(SwanError) -> any WeightSource {
    try OpenCheckpoint(path).source
}

/// Opens a checkpoint as a model sees it: eight-bit weights multiplied by their scales, and without a prefix that all
/// names share.
///
/// - Throws: what ``openWeights(at:)`` and ``ScaledWeights/resolving(_:)`` throw.
public func openModelWeights(at path: String) throws(SwanError) -> any WeightSource {
    try strippingCommonPrefix(ScaledWeights.resolving(openWeights(at: path)))
}

/// A checkpoint and the files that it is made of.
struct OpenCheckpoint {
    let source: any WeightSource
    let files: [(path: String, kind: String)]

    init(_ path: String) throws(SwanError) {
        var isFolder = false
        guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { throw .fileMissing(path) }
        let file = isFolder ? try checkpoint(inFolder: path) : path
        if file.hasSuffix(".index.json") {
            let shards = try ShardedSafetensors(index: file)
            let folder = file.lastIndex(of: "/").map { String(file[...$0]) } ?? ""
            source = shards
            files = [(file, "index")] + shards.files.map { (folder + $0, FileKind.safetensors.name) }
        } else {
            let (opened, kind) = try Self.open(file: file)
            source = opened
            files = [(file, kind.name)]
        }
    }

    private static func open(file path: String) throws(SwanError) -> (any WeightSource, FileKind) {
        let file = try MappedFile(path: path)
        let kind = FileKind(file.bytes)
        let origin = path.printable(limit: 1024)
        do throws(SwanError) {
            switch kind {
            case .safetensors: return (try SafetensorsFile(file.bytes, origin: origin), kind)
            case .pytorch: return (try PyTorchFile(file.bytes, origin: origin), kind)
            case .gguf: return (try GGUFFile(file.bytes, origin: origin), kind)
            case .legacyPickle, .tar, .lfsPointer, .webPage, .unknown: throw kind.refusal(of: file)
            }
        } catch {
            guard error.code == .truncated else { throw error }
            var error = error
            error.advice += partialDownloadHint(beside: path)
            throw error
        }
    }
}

/// The one checkpoint that a folder holds.
private func checkpoint(inFolder folder: String) throws(SwanError) -> String {
    let entries: [String]
    do {
        entries = try FileManager.default.contentsOfDirectory(atPath: folder).filter { !$0.hasPrefix(".") }.sorted()
    } catch {
        throw SwanError(.unreadable, "The folder \(folder.printable(limit: 1024)) cannot be read.", cause: error)
    }
    let name = folder.printable(limit: 1024)
    let prefix = folder.hasSuffix("/") ? folder : folder + "/"
    let indexes = entries.filter { $0.hasSuffix(".safetensors.index.json") }
    let files = entries.filter { entry in [".safetensors", ".gguf", ".pth", ".pt"].contains(where: entry.hasSuffix) }
    let mainFiles = ["diffusion_pytorch_model.safetensors", "model.safetensors"].filter(files.contains)
    for candidates in [indexes, mainFiles, files] {
        if candidates.count == 1 { return prefix + candidates[0] }
        guard candidates.isEmpty else {
            throw SwanError(
                .ambiguous, "\(name) holds \(candidates.count) checkpoints: \(list(candidates)).",
                advice: candidates.contains { $0.contains("-of-0") }
                    ? "If they are shards, download their index (….safetensors.index.json); else name one of the files."
                    : "Name one of the files.")
        }
    }
    let partial = entries.filter { entry in partialSuffixes.contains(where: entry.hasSuffix) }
    guard partial.isEmpty else {
        throw SwanError(
            .fileMissing, "\(name) holds no checkpoint but unfinished downloads: \(list(partial)).",
            advice: "Let the downloads finish.")
    }
    let folders = entries.filter { entry in
        var isFolder = false
        return FileManager.default.fileExists(atPath: prefix + entry, isDirectory: &isFolder) && isFolder
    }
    throw SwanError(
        .fileMissing, "\(name) holds no checkpoint: neither safetensors nor GGUF, .pth or .pt.",
        advice: folders.isEmpty
            ? "Check the path, or download the files." : "Name one of the folders in it: \(list(folders)).")
}

private func list(_ names: [String]) -> String {
    names.prefix(8).map { $0.printable() }.joined(separator: ", ") + (names.count > 8 ? ", …" : "")
}

/// Prefixes that trainers and converters put before a model's own names; the longer of two first.
private let commonPrefixes = [
    "model.diffusion_model.", "diffusion_model.", "model.", "module.", "net.", "transformer.",
]

/// The tensors of `source` under their model's own names: without the prefix, if there is one that all
/// of them begin with.
///
/// - Throws: nothing that can happen: names that differ still differ without a prefix they share.
public func strippingCommonPrefix(_ source: any WeightSource) throws(SwanError) -> any WeightSource {
    guard let first = source.names.first,
        let prefix = commonPrefixes.first(where: { first.hasPrefix($0) && first.count > $0.count }),
        source.names.allSatisfy({ $0.hasPrefix(prefix) && $0.count > prefix.count })
    else { return source }
    return try RenamedWeights(source) { String($0.dropFirst(prefix.count)) }
}
