import Glibc
public import SwanDiagnostics
public import SwanTensor

/// A folder of safetensors shards and their index that is being written, as
/// `diffusion_pytorch_model-00001-of-00006.safetensors` and so on.
///
/// Everything goes into a private folder beside it, which gets its name when all is there.
public final class ShardedOutput: CheckpointOutput {
    private let folder: String
    private let temporary: String
    private let shards: [SafetensorsOutput]
    private let shardOfTensor: [String: Int]
    /// The shard that was written to last, the only one that is open.
    private var current = 0
    private var isFinished = false
    private var paths: [String] = []
    /// The bytes of all files but the index.
    public let bytes: Int

    /// Makes the private folder, and the shards in it with their headers.
    ///
    /// - Parameters:
    ///   - tensors: what will be written; goes into the shards in the order of the names.
    ///   - metadata: goes under `__metadata__` of each shard.
    ///   - stem: of the files' names, `diffusion_pytorch_model` for transformers.
    ///   - shardBytes: the most that the tensors of a shard take, unless one alone takes more.
    ///   - others: small files that lie beside the shards, by name.
    ///   - folder: the folder's name, which it gets when all is finished.
    /// - Throws: as ``SafetensorsOutput/init(_:metadata:to:isReplacing:)``; `checkpoint.unwritable` where the folder exists.
    public init(
        _ tensors: [AnnouncedTensor], metadata: [String: String] = [:], stem: String, shardBytes: Int,
        others: [String: HostBytes] = [:], folder: String
    ) throws(SwanError) {
        var groups: [[AnnouncedTensor]] = [[]]
        var filled = 0
        for tensor in tensors.sorted(by: { $0.name < $1.name }) {
            if filled + tensor.bytes > shardBytes, !groups[groups.count - 1].isEmpty {
                groups.append([])
                filled = 0
            }
            groups[groups.count - 1].append(tensor)
            filled += tensor.bytes
        }
        self.folder = folder
        temporary = folder + ".\(getpid())-\(UInt32.random(in: 0 ... .max)).tmp"
        guard mkdir(temporary, 0o777) == 0 else { throw Self.fault(folder, "mkdir") }

        func digits(_ number: Int) -> String {
            String(repeating: "0", count: max(0, 5 - String(number).count)) + String(number)
        }
        var (shards, names): ([SafetensorsOutput], [String: Int]) = ([], [:])
        var entries: [String] = []
        do throws(SwanError) {
            for (index, group) in groups.enumerated() {
                let name = "\(stem)-\(digits(index + 1))-of-\(digits(groups.count)).safetensors"
                paths.append(temporary + "/" + name)
                let shard = try SafetensorsOutput(group, metadata: metadata, to: temporary + "/" + name)
                shard.suspend()
                shards.append(shard)
                for tensor in group {
                    names[tensor.name] = index
                    entries.append(
                        "    \(SafetensorsWriter.quoted(tensor.name)): \(SafetensorsWriter.quoted(name))")
                }
            }
            let total = tensors.reduce(0) { $0 + $1.bytes }
            let index =
                "{\n  \"metadata\": {\n    \"total_size\": \(total)\n  },\n  \"weight_map\": {\n"
                + entries.sorted().joined(separator: ",\n") + "\n  }\n}\n"
            var files = others
            files["\(stem).safetensors.index.json"] = Array(index.utf8).withUnsafeBytes { HostBytes(copying: $0) }
            for (name, bytes) in files {
                paths.append(temporary + "/" + name)
                let file = try PendingFile(path: temporary + "/" + name, isReplacing: false)
                try bytes.withBytes { (raw) throws(SwanError) in try file.write(raw, at: 0) }
                try file.finish(size: bytes.count)
            }
        } catch {
            for shard in shards { shard.abandon() }
            for path in paths { unlink(path) }
            rmdir(temporary)
            throw error
        }
        self.shards = shards
        shardOfTensor = names
        bytes = shards.reduce(0) { $0 + $1.bytes }
    }

    deinit {
        guard !isFinished else { return }
        for shard in shards { shard.abandon() }
        for path in paths { unlink(path) }
        rmdir(temporary)
    }

    private static func fault(_ path: String, _ call: String) -> SwanError {
        let cause = SystemError(call)
        return SwanError(
            .unwritable, "The folder \(path.printable(limit: 1024)) cannot be written.",
            advice:
                "Check that nothing has its name, and that the folder above it exists, may be written to and has room.",
            cause: cause)
    }

    /// See ``CheckpointOutput/put(_:_:)``.
    public func put(_ name: String, _ tensor: HostTensor) throws(SwanError) {
        guard let shard = shardOfTensor[name] else {
            throw SwanError(.fault, "Tensor '\(name.printable())' was not announced.")
        }
        if shard != current { shards[current].suspend() }
        current = shard
        try shards[shard].put(name, tensor)
    }

    /// See ``CheckpointOutput/finish()``.
    public func finish() throws(SwanError) {
        for shard in shards { try shard.finish() }
        // As with files: an empty folder of our own is replaced, and nobody else's.
        guard mkdir(folder, 0o777) == 0 else {
            throw errno == EEXIST ? PendingFile.taken(folder) : Self.fault(folder, "mkdir")
        }
        guard rename(temporary, folder) == 0 else {
            let fault = Self.fault(folder, "rename")
            rmdir(folder)
            throw fault
        }
        isFinished = true
    }
}
