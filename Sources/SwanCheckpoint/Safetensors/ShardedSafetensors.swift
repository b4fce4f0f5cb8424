public import SwanDiagnostics
public import SwanTensor

/// Several safetensors files, put together by an index.
///
/// The index (`….safetensors.index.json`) is a JSON object whose `weight_map` names the file of each
/// tensor. Every file it names must be there, beside it, and hold what the map says and nothing else.
public struct ShardedSafetensors: WeightSource {
    private let shards: [String: SafetensorsFile]
    private let fileOfTensor: [String: String]
    /// The names of all tensors, sorted.
    public let names: [String]
    /// Where the weights come from, for messages.
    public let origin: String

    /// The names of the shards' files, sorted.
    public var files: [String] { shards.keys.sorted() }

    /// Opens an index and all its shards.
    ///
    /// - Throws: `checkpoint.file-missing`, naming the shards that are not there;
    ///   `checkpoint.tensor-missing` when a shard lacks a tensor of the map; `checkpoint.tensors-left-over`
    ///   when it holds one that the map places elsewhere or does not know; `checkpoint.malformed` when
    ///   the index is none; and what ``SafetensorsFile/init(path:)`` throws.
    public init(index path: String) throws(SwanError) {
        let origin = path.printable(limit: 1024)
        let map = try Self.weightMap(path, origin: origin)
        let slash = path.lastIndex(of: "/")
        let folder = slash.map { String(path[...$0]) } ?? ""
        let files = Set(map.values)
        let missing = files.filter { !fileExists(folder + $0) }.sorted()
        guard missing.isEmpty else {
            let shown = missing.prefix(8).map { $0.printable() }.joined(separator: ", ")
            throw SwanError(
                .fileMissing,
                "\(origin) lists \(files.count) files, and \(missing.count) are not beside it: \(shown)\(missing.count > 8 ? ", …" : "").",
                advice: "Download the missing files into the folder of the index."
                    + partialDownloadHint(beside: folder + missing[0]))
        }
        var shards: [String: SafetensorsFile] = [:]
        for file in files.sorted() { shards[file] = try SafetensorsFile(path: folder + file) }
        for (name, file) in map.sorted(by: { $0.key < $1.key }) {
            if let shard = shards[file], !shard.has(name) { throw .tensorMissing(name, in: shard) }
        }
        for (file, shard) in shards.sorted(by: { $0.key < $1.key }) {
            if let extra = shard.names.first(where: { map[$0] != file }) {
                let place = map[extra].map { "places it in \($0.printable())" } ?? "does not list it"
                throw SwanError(
                    .tensorsLeftOver,
                    "\(shard.origin) holds the tensor '\(extra.printable())', but the index \(place).",
                    advice: "The index and the shards belong to different downloads: fetch them again.")
            }
        }
        self.shards = shards
        self.origin = origin
        fileOfTensor = map
        names = map.keys.sorted()
    }

    /// The shape and type of a tensor that can be read, or nil.
    public func info(_ name: String) -> TensorInfo? { shard(name)?.info(name) }

    /// What there is of this name when its type cannot be read, else nil.
    public func unsupported(_ name: String) -> UnsupportedTensor? { shard(name)?.unsupported(name) }

    /// The values of a tensor; see ``WeightSource/tensor(_:)`` for what is thrown.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let shard = shard(name) else { throw .tensorMissing(name, in: self) }
        return try shard.tensor(name)
    }

    /// What the shards' writer noted beside the tensors.
    public var annotations: [String: String] { metadata }
    /// What the writer noted in each shard; where shards disagree, the first of them counts.
    public var metadata: [String: String] {
        files.reduce(into: [:]) { all, file in
            all.merge(shards[file]?.metadata ?? [:]) { first, _ in first }
        }
    }

    private func shard(_ name: String) -> SafetensorsFile? { fileOfTensor[name].flatMap { shards[$0] } }

    private static func weightMap(_ path: String, origin: String) throws(SwanError) -> [String: String] {
        let file = try MappedFile(path: path)
        let kind = FileKind(file.bytes)
        if case .lfsPointer = kind { throw kind.refusal(of: file) }
        guard file.bytes.count <= SafetensorsFile.maximumHeader else {
            throw SwanError(.malformed, "\(origin): an index of \(formatted(bytes: file.bytes.count)) is too large.")
        }
        return try weightMap(file.bytes, origin: origin)
    }

    /// The map of an index, its file names checked not to leave the folder.
    package static func weightMap(_ bytes: HostBytes, origin: String) throws(SwanError) -> [String: String] {
        guard case .object(let root) = try JSONScanner.parse(bytes, origin: origin),
            case .object(let members) = root["weight_map"]
        else {
            throw SwanError(
                .malformed, "\(origin) has no 'weight_map', so it is no index of shards.", advice: SwanError.fetchAgain)
        }
        guard !members.isEmpty, members.count <= maximumTensors else {
            throw SwanError(.malformed, "\(origin) lists \(members.count) tensors.", advice: SwanError.fetchAgain)
        }
        var map: [String: String] = [:]
        for (name, value) in members.sorted(by: { $0.key < $1.key }) {
            guard case .string(let file) = value else {
                throw SwanError(
                    .malformed, "\(origin): the file of tensor '\(name.printable())' is no string.",
                    advice: SwanError.fetchAgain)
            }
            if let problem = nameFault(name) {
                throw SwanError(
                    .malformed, "\(origin): tensor '\(name.printable())' \(problem).", advice: SwanError.fetchAgain)
            }
            let isPlain = !file.isEmpty && !file.hasPrefix(".") && !file.contains("/") && nameFault(file) == nil
            guard isPlain else {
                throw SwanError(
                    .malformed, "\(origin) lists the file '\(file.printable())', which does not lie in its own folder.",
                    advice: "Do not trust this download: fetch it again from its publisher.")
            }
            map[name] = file
        }
        return map
    }
}

extension SafetensorsFile {
    /// Whether there is a tensor of this name, of whatever type.
    func has(_ name: String) -> Bool { info(name) != nil || unsupported(name) != nil }
}
