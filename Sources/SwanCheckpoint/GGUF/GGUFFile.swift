public import SwanDiagnostics
public import SwanTensor

/// A GGUF file: metadata, descriptions of tensors, then their values.
///
/// Values of F64, F32, F16, BF16, the signed integers, Q4_0 to Q8_0, Q2_K to Q6_K, IQ4_NL and IQ4_XS are read, from the
/// mapping and without a copy; tensors of other block types are listed by ``unsupported(_:)``. Shapes are turned to
/// PyTorch's order, or taken from `comfy.gguf.orig_shape.<name>` where a converter left that.
///
/// Unlike the reference, tensors may lie in any order and with gaps, have up to 8 axes, and names of up to
/// 1024 bytes: Wan's patch embedding has 5 axes, and converters do not agree on the rest.
///
/// Source: ggml-org/ggml `docs/gguf.md` and `src/gguf.cpp`, `gguf_init_from_file_impl`;
/// city96/ComfyUI-GGUF `loader.py`, `get_orig_shape`.
public struct GGUFFile: WeightSource {
    /// A tensor's description.
    private struct Entry: Sendable {
        let type: GGUFType
        let shape: Shape
        /// In the file.
        let range: Range<Int>
    }

    private let bytes: HostBytes
    private let entries: [String: Entry]
    /// What the file says of itself, by key.
    public let metadata: [String: GGUFValue]
    /// The names of all tensors, sorted.
    public let names: [String]

    /// The metadata's texts and integers.
    public var annotations: [String: String] {
        metadata.compactMapValues { value in
            switch value {
            case .string(let text): text
            case .integer(let number): String(number)
            default: nil
            }
        }
    }

    /// Where the weights come from, for messages.
    public let origin: String

    /// Opens a file and checks its header.
    ///
    /// - Throws: what ``MappedFile/init(path:)`` and ``init(_:origin:)`` throw; `checkpoint.lfs-pointer`
    ///   or `checkpoint.unsupported` for a file of another kind.
    public init(path: String) throws(SwanError) {
        let file = try MappedFile(path: path)
        try FileKind(file.bytes).require(.gguf, file)
        try self.init(file.bytes, origin: path.printable(limit: 1024))
    }

    /// Checks a file that is in memory.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - origin: names the file in messages.
    /// - Throws: `checkpoint.truncated` when it ends before its header or its tensors do;
    ///   `checkpoint.unsupported` for versions other than 2 and 3, big-endian files and element types that
    ///   did not exist when this was written; `checkpoint.malformed` for everything else that the format
    ///   forbids, and for tensors that overlap.
    public init(_ bytes: HostBytes, origin: String) throws(SwanError) {
        self.bytes = bytes
        self.origin = origin
        (metadata, entries) = try bytes.withBytes { (raw) throws(SwanError) in
            var cursor = ByteCursor(raw, origin: origin)
            let (tensors, values) = try Self.counts(&cursor)
            let metadata = try Self.metadata(&cursor, count: values)
            let entries = try Self.entries(&cursor, count: tensors, metadata, total: raw.count)
            return (metadata, entries)
        }
        names = entries.keys.sorted()
    }

    /// The shape and type of a tensor that can be read, or nil.
    public func info(_ name: String) -> TensorInfo? {
        entries[name].flatMap { entry in entry.type.dtype.map { TensorInfo(entry.shape, $0) } }
    }

    /// What there is of this name when its type cannot be read, else nil.
    public func unsupported(_ name: String) -> UnsupportedTensor? {
        guard let entry = entries[name], entry.type.dtype == nil else { return nil }
        return UnsupportedTensor(entry.shape, type: entry.type.name, bytes: entry.range.count)
    }

    /// The values of a tensor; see ``WeightSource/tensor(_:)`` for what is thrown.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let entry = entries[name], let dtype = entry.type.dtype else { throw .unavailable(name, in: self) }
        return try HostTensor(entry.shape, dtype, bytes.slice(entry.range))
    }

    private static func fault(_ origin: String, _ problem: String, _ code: SwanError.Code = .malformed) -> SwanError {
        SwanError(code, "\(origin): \(problem).", advice: SwanError.fetchAgain)
    }

    /// The numbers of tensors and of metadata values.
    private static func counts(_ cursor: inout ByteCursor) throws(SwanError) -> (tensors: Int, values: Int) {
        let origin = cursor.origin
        guard try cursor.read(UInt32.self, "the signature") == 0x4655_4747 else {
            throw fault(origin, "the file does not begin with 'GGUF'")
        }
        let version = try cursor.read(UInt32.self, "the version")
        guard version == 2 || version == 3 else {
            let isSwapped = version.byteSwapped == 2 || version.byteSwapped == 3
            throw SwanError(
                .unsupported,
                isSwapped
                    ? "\(origin) is a GGUF file for big-endian machines."
                    : "\(origin) is a GGUF file of version \(version), expected 2 or 3.",
                advice: "Use a file from a current converter.")
        }
        let tensors = try cursor.read(UInt64.self, "the number of tensors")
        let values = try cursor.read(UInt64.self, "the number of metadata values")
        // A tensor's description takes at least 24 bytes, a metadata value at least 13.
        guard tensors <= min(UInt64(cursor.remaining) / 24, UInt64(maximumTensors)),
            values <= min(UInt64(cursor.remaining) / 13, UInt64(maximumTensors))
        else {
            throw fault(
                origin,
                "the header announces \(tensors) tensors and \(values) metadata values, more than \(cursor.remaining) bytes can hold",
                .truncated)
        }
        return (Int(tensors), Int(values))
    }

    private static func metadata(
        _ cursor: inout ByteCursor, count: Int
    ) throws(SwanError) -> [String: GGUFValue] {
        var metadata: [String: GGUFValue] = [:]
        for _ in 0 ..< count {
            let key = try cursor.ggufString("a metadata key")
            guard !key.isEmpty else { throw fault(cursor.origin, "a metadata key is empty") }
            let value = try cursor.ggufValue(key)
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw fault(cursor.origin, "the metadata key '\(key.printable())' occurs twice")
            }
        }
        return metadata
    }

    private static func entries(
        _ cursor: inout ByteCursor, count: Int, _ metadata: [String: GGUFValue], total: Int
    ) throws(SwanError) -> [String: Entry] {
        let origin = cursor.origin
        var descriptions: [Description] = []
        for _ in 0 ..< count { descriptions.append(try Description(&cursor)) }

        let alignment = try alignment(metadata, origin: origin)
        let (padded, overflow) = UInt64(cursor.offset).addingReportingOverflow(alignment - 1)
        let start = padded & ~(alignment - 1)
        var entries: [String: Entry] = [:]
        for tensor in descriptions {
            func what() -> String { "\(origin), tensor '\(tensor.name.printable())'" }
            let (offset, beyond) = start.addingReportingOverflow(tensor.offset)
            guard !overflow, !beyond, tensor.offset % alignment == 0 else {
                throw fault(what(), "begins at \(tensor.offset), which is no multiple of \(alignment)")
            }
            let range = try checkedRange(offset: offset, count: UInt64(tensor.bytes), total: total, of: what())
            let shape = try tensor.shape(metadata, origin: origin)
            guard entries.updateValue(Entry(type: tensor.type, shape: shape, range: range), forKey: tensor.name) == nil
            else { throw fault(what(), "occurs twice") }
        }
        let sorted = entries.filter { !$0.value.range.isEmpty }
            .sorted { $0.value.range.lowerBound < $1.value.range.lowerBound }
        for (before, after) in zip(sorted, sorted.dropFirst())
        where before.value.range.upperBound > after.value.range.lowerBound {
            throw fault(origin, "the tensors '\(before.key.printable())' and '\(after.key.printable())' overlap")
        }
        return entries
    }

    private static func alignment(_ metadata: [String: GGUFValue], origin: String) throws(SwanError) -> UInt64 {
        guard let value = metadata["general.alignment"] else { return 32 }
        guard case .integer(let alignment) = value, alignment > 0, alignment <= Int(UInt32.max),
            alignment & (alignment - 1) == 0
        else { throw fault(origin, "general.alignment is no power of two") }
        return UInt64(alignment)
    }
}

/// A tensor as the header describes it; its own numbers are checked, its place in the file is not.
private struct Description {
    let name: String
    let type: GGUFType
    /// Relative to the data.
    let offset: UInt64
    let bytes: Int
    private let stored: Shape

    /// Reads the description at the cursor.
    init(_ cursor: inout ByteCursor) throws(SwanError) {
        let origin = cursor.origin
        let name = try cursor.ggufString("a tensor's name")
        func what() -> String { "tensor '\(name.printable())'" }
        func fault(_ problem: String, _ code: SwanError.Code = .malformed) -> SwanError {
            SwanError(code, "\(origin): \(what()) \(problem).", advice: SwanError.fetchAgain)
        }
        if let problem = nameFault(name) { throw fault(problem) }
        let rank = try cursor.read(UInt32.self, what())
        guard rank <= UInt32(maximumRank) else { throw fault("has \(rank) axes, at most \(maximumRank) are read") }
        var extents: [Int] = []
        for _ in 0 ..< rank {
            let extent = try cursor.read(UInt64.self, what())
            guard let extent = Int(exactly: extent) else { throw fault("has an axis of \(extent)") }
            // The file counts the fastest axis first.
            extents.insert(extent, at: 0)
        }
        guard let stored = Shape(checking: extents) else { throw fault("has a shape that overflows") }
        let number = try cursor.read(UInt32.self, what())
        guard let type = GGUFType(number) else { throw fault("has the unknown type \(number)", .unsupported) }
        guard (extents.last ?? 1) % type.elements == 0 else {
            throw fault("has rows of \(extents.last ?? 1), which do not fill \(type.name) blocks of \(type.elements)")
        }
        let (bytes, overflow) = (stored.count / type.elements).multipliedReportingOverflow(by: type.bytes)
        guard !overflow else { throw fault("has a size that overflows") }
        self.name = name
        self.type = type
        self.stored = stored
        self.bytes = bytes
        offset = try cursor.read(UInt64.self, what())
    }

    /// The shape in PyTorch's order.
    func shape(_ metadata: [String: GGUFValue], origin: String) throws(SwanError) -> Shape {
        guard let value = metadata["comfy.gguf.orig_shape." + name] else { return stored }
        // Rows of the first axis must still begin with a block.
        guard case .integers(let extents) = value, extents.count <= maximumRank, let shape = Shape(checking: extents),
            shape.count == stored.count, shape.rank < 2 || shape.rowCount % type.elements == 0
        else {
            throw SwanError(
                .malformed,
                "\(origin): tensor '\(name.printable())' of shape \(stored) has an orig_shape that does not fit it.",
                advice: SwanError.fetchAgain)
        }
        return shape
    }
}
