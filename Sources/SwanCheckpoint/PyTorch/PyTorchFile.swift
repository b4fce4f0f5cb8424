public import SwanDiagnostics
public import SwanTensor

/// A state dict that `torch.save` wrote: a zip archive of a pickle and the tensors' storages.
///
/// The pickle is interpreted by a reader that knows tensors and nothing else; nothing it names is run.
/// A state dict wrapped once, under `state_dict`, `model` or `module`, is unwrapped; values beside the
/// tensors (numbers, texts) are passed over.
///
/// Source: PyTorch `torch/serialization.py` `_save` and `_load`, `torch/_utils.py` `_rebuild_tensor_v2`.
public struct PyTorchFile: WeightSource {
    private static let wrappers = ["state_dict", "model", "module"]

    /// A tensor, checked against its storage.
    private struct Entry: Sendable {
        let shape: Shape
        let dtype: DType
        let strides: [Int]
        /// The bytes from the first element to the storage's end.
        let bytes: HostBytes
        let isContiguous: Bool
    }

    private let entries: [String: Entry]
    /// The names of all tensors, sorted.
    public let names: [String]
    /// Where the weights come from, for messages.
    public let origin: String

    /// Opens a file; its values are read when they are asked for.
    ///
    /// - Throws: what ``MappedFile/init(path:)`` and ``init(_:origin:)`` throw; `checkpoint.lfs-pointer`
    ///   or `checkpoint.unsupported` for a file of another kind, among them the bare pickles and tar
    ///   archives of early PyTorch.
    public init(path: String) throws(SwanError) {
        let file = try MappedFile(path: path)
        try FileKind(file.bytes).require(.pytorch, file)
        try self.init(file.bytes, origin: path.printable(limit: 1024))
    }

    /// Reads a file that is in memory.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - origin: names the file in messages.
    /// - Throws: `checkpoint.truncated` and `checkpoint.malformed` for a damaged file;
    ///   `checkpoint.unsupported` for compressed, encrypted or big-endian archives, TorchScript, and a
    ///   pickle that names anything but plain tensors.
    public init(_ bytes: HostBytes, origin: String) throws(SwanError) {
        let archive = try ZipArchive(bytes, origin: origin)
        let pickles = archive.entries.keys.filter { $0.hasSuffix("/data.pkl") }
        guard pickles.count == 1, let pickle = pickles.first, let entry = archive.entries[pickle] else {
            throw SwanError(
                .unsupported,
                "\(origin) is a zip archive with \(pickles.count) entries 'data.pkl', expected one: it is no file of torch.save.",
                advice: "If a checkpoint is packed in it, unpack it first.")
        }
        let root = String(pickle.dropLast("data.pkl".count))
        guard root.firstIndex(of: "/") == root.indices.last else {
            throw SwanError(
                .malformed, "\(origin): '\(pickle.printable())' lies too deep.", advice: SwanError.fetchAgain)
        }
        if let foreign = archive.entries.keys.sorted().first(where: { !$0.hasPrefix(root) }) {
            throw SwanError(
                .malformed,
                "\(origin): '\(foreign.printable())' does not lie in '\(root.printable())' as the rest does.",
                advice: SwanError.fetchAgain)
        }
        guard archive.entries[root + "constants.pkl"] == nil else {
            throw SwanError(
                .unsupported, "\(origin) holds a TorchScript program, not a state dict.",
                advice: "Load it with PyTorch and save its state dict, best as safetensors.")
        }
        if let order = archive.entries[root + "byteorder"] {
            let isLittle = archive.data(order).withBytes { $0.elementsEqual("little".utf8) }
            guard isLittle else {
                throw SwanError(
                    .unsupported, "\(origin) was written on a big-endian machine.",
                    advice: "Load it there and save it as safetensors.")
            }
        }
        let data = archive.data(entry)
        guard data.withBytes({ crc32($0) }) == entry.crc else {
            throw SwanError(
                .malformed, "\(origin): the checksum of '\(pickle.printable())' is wrong.", advice: SwanError.fetchAgain
            )
        }
        let prefix = root + "data/"
        try self.init(pickle: data, origin: origin) { key in archive.entries[prefix + key].map(archive.data) }
    }

    /// Reads a pickle apart from its archive.
    ///
    /// - Parameter storage: the bytes of a storage, by its key.
    package init(pickle: HostBytes, origin: String, storage: (String) -> HostBytes?) throws(SwanError) {
        let (root, dictionaries) = try pickle.withBytes { (raw) throws(SwanError) in
            var reader = try PickleReader(raw, origin: origin)
            return (try reader.run(), reader.dictionaries)
        }
        var entries: [String: Entry] = [:]
        for (name, tensor) in try Self.stateDict(root, dictionaries, origin: origin) {
            if let problem = nameFault(name) {
                throw SwanError(
                    .malformed, "\(origin): tensor '\(name.printable())' \(problem).", advice: SwanError.fetchAgain)
            }
            let entry = try Self.entry(name, tensor, storage(tensor.storage.key), origin: origin)
            guard entries.updateValue(entry, forKey: name) == nil else {
                throw SwanError(
                    .malformed, "\(origin) holds the tensor '\(name.printable())' twice.", advice: SwanError.fetchAgain)
            }
        }
        self.entries = entries
        self.origin = origin
        names = entries.keys.sorted()
    }

    /// The shape and type of a tensor that can be read, or nil.
    public func info(_ name: String) -> TensorInfo? { entries[name].map { TensorInfo($0.shape, $0.dtype) } }

    /// The values of a tensor: a part of the mapping where they lie in order, else a copy that is in order.
    ///
    /// - Throws: `checkpoint.tensor-missing`.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let entry = entries[name] else { throw .tensorMissing(name, in: self) }
        guard !entry.isContiguous, entry.shape.count > 0 else {
            return try HostTensor(
                entry.shape, entry.dtype, entry.bytes.slice(0 ..< entry.shape.count * entry.dtype.blockBytes))
        }
        return try HostTensor(entry.shape, entry.dtype, Self.gather(entry))
    }

    /// The named tensors of the root object, unwrapped once.
    private static func stateDict(
        _ root: PickleValue, _ dictionaries: [[(key: PickleValue, value: PickleValue)]], origin: String
    ) throws(SwanError) -> [(String, PickleTensor)] {
        guard case .dictionary(let index) = root else {
            throw SwanError(
                .unsupported, "\(origin) holds a single object, expected a state dict.",
                advice: "Save the model's state dict, best as safetensors.")
        }
        func tensors(_ index: Int) throws(SwanError) -> [(String, PickleTensor)] {
            var tensors: [(String, PickleTensor)] = []
            for (key, value) in dictionaries[index] {
                guard case .tensor(let tensor) = value else { continue }
                guard case .string(let name) = key else {
                    throw SwanError(
                        .unsupported, "\(origin): a tensor stands under a key that is no string.",
                        advice: "Save the model's state dict, best as safetensors.")
                }
                tensors.append((name, tensor))
            }
            return tensors
        }
        let outer = try tensors(index)
        if !outer.isEmpty || dictionaries[index].isEmpty { return outer }
        for wrapper in wrappers {
            for case (.string(wrapper), .dictionary(let inner)) in dictionaries[index] { return try tensors(inner) }
        }
        let keys = dictionaries[index].prefix(8).compactMap { member -> String? in
            guard case .string(let key) = member.key else { return nil }
            return "'\(key.printable(limit: 40))'"
        }
        throw SwanError(
            .unsupported, "\(origin) holds no tensors at its top: its keys are \(keys.joined(separator: ", ")).",
            advice: "Save the model's state dict alone, best as safetensors.")
    }

    /// Checks a tensor against its storage.
    private static func entry(
        _ name: String, _ tensor: PickleTensor, _ bytes: HostBytes?, origin: String
    ) throws(SwanError) -> Entry {
        func fault(_ problem: String, _ code: SwanError.Code = .malformed) -> SwanError {
            SwanError(code, "\(origin): tensor '\(name.printable())' \(problem).", advice: SwanError.fetchAgain)
        }
        let storage = tensor.storage
        guard let bytes else { throw fault("lies in storage '\(storage.key.printable())', which the archive lacks") }
        let size = tensor.dtype.blockBytes
        let (needed, overflow) = storage.count.multipliedReportingOverflow(by: storage.dtype?.blockBytes ?? 1)
        guard !overflow, needed <= bytes.count else {
            throw fault(
                "lies in a storage of \(storage.count) elements, but the archive has \(bytes.count) bytes of it",
                .truncated)
        }
        let available = needed / size
        guard tensor.extents.count <= maximumRank else {
            throw fault("has \(tensor.extents.count) axes, at most \(maximumRank) are read")
        }
        guard let shape = Shape(checking: tensor.extents) else {
            throw fault("has a shape that is negative or overflows")
        }
        guard tensor.strides.count == shape.rank, tensor.strides.allSatisfy({ $0 >= 0 }), tensor.offset >= 0 else {
            throw fault("has strides or an offset that do not fit its shape")
        }
        guard shape.count > 0 else {
            return Entry(
                shape: shape, dtype: tensor.dtype, strides: [], bytes: bytes.slice(0 ..< 0), isContiguous: true)
        }
        var last = tensor.offset
        for (extent, stride) in zip(shape.extents, tensor.strides) {
            let (step, overflow) = (extent - 1).multipliedReportingOverflow(by: stride)
            let (sum, beyond) = last.addingReportingOverflow(step)
            guard !overflow, !beyond else { throw fault("has strides that overflow") }
            last = sum
        }
        guard last < available else {
            throw fault("reaches element \(last) of a storage of \(available)")
        }
        guard shape.count <= available else {
            throw fault(
                "repeats its storage of \(available) elements to shape \(shape), which is not read", .unsupported)
        }
        return Entry(
            shape: shape, dtype: tensor.dtype, strides: tensor.strides,
            bytes: bytes.slice(tensor.offset * size ..< needed),
            isContiguous: isContiguous(shape, tensor.strides))
    }

    /// Whether elements lie in row-major order without gaps. The strides of axes of one entry do not matter.
    private static func isContiguous(_ shape: Shape, _ strides: [Int]) -> Bool {
        var expected = 1
        for (extent, stride) in zip(shape.extents, strides).reversed() where extent != 1 {
            guard stride == expected else { return false }
            expected *= extent
        }
        return true
    }

    /// A row-major copy of a tensor whose elements lie in another order.
    private static func gather(_ entry: Entry) -> HostBytes {
        let size = entry.dtype.blockBytes
        let copy = GatheredBytes(count: entry.shape.count * size)
        entry.bytes.withBytes { source in
            var index = [Int](repeating: 0, count: entry.shape.rank)
            var offset = 0
            for element in 0 ..< entry.shape.count {
                for byte in 0 ..< size { copy.bytes[element * size + byte] = source[offset * size + byte] }
                // Counts the index up, last axis first, and moves the offset along.
                for axis in index.indices.reversed() {
                    index[axis] += 1
                    offset += entry.strides[axis]
                    if index[axis] < entry.shape[axis] { break }
                    offset -= index[axis] * entry.strides[axis]
                    index[axis] = 0
                }
            }
        }
        return HostBytes(referringTo: UnsafeRawBufferPointer(copy.bytes), owner: copy)
    }
}

/// Owns memory that a gathered tensor lies in.
///
/// `@unchecked Sendable`: written once, before it is shared.
private final class GatheredBytes: @unchecked Sendable {
    let bytes: UnsafeMutableRawBufferPointer

    init(count: Int) { bytes = .allocate(byteCount: count, alignment: 64) }

    deinit { bytes.deallocate() }
}
