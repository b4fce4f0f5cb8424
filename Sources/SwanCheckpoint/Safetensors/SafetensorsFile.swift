public import SwanDiagnostics
public import SwanTensor

/// A safetensors file: a JSON header, then the values of the tensors, without gaps.
///
/// The header is checked whole when the file is opened; values are read from the mapping when they
/// are asked for, without a copy. Tensors of types that `DType` lacks are listed by
/// ``unsupported(_:)``.
///
/// Source: huggingface/safetensors `safetensors/src/tensor.rs`, `SafeTensors::deserialize` and
/// `Metadata::validate`.
public struct SafetensorsFile: WeightSource {
    /// Longer headers are refused, as the reference refuses them.
    static let maximumHeader = 100_000_000

    /// A tensor's entry in the header.
    private struct Entry: Sendable {
        let type: SafetensorsType
        let shape: Shape
        /// In the file.
        let range: Range<Int>
    }

    private let bytes: HostBytes
    private let entries: [String: Entry]
    /// What the writer noted beside the tensors, under `__metadata__`.
    public let metadata: [String: String]
    /// What the file's writer noted beside the tensors.
    public var annotations: [String: String] { metadata }
    /// The names of all tensors, sorted.
    public let names: [String]
    /// Where the weights come from, for messages.
    public let origin: String

    /// Opens a file and checks its header.
    ///
    /// - Throws: what ``MappedFile/init(path:)`` and ``init(_:origin:)`` throw; `checkpoint.lfs-pointer`
    ///   or `checkpoint.unsupported` for a file of another kind.
    public init(path: String) throws(SwanError) {
        let file = try MappedFile(path: path)
        try FileKind(file.bytes).require(.safetensors, file)
        try self.init(file.bytes, origin: path.printable(limit: 1024))
    }

    /// Checks a file that is in memory.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - origin: names the file in messages.
    /// - Throws: `checkpoint.truncated` when it ends before its header or its tensors do;
    ///   `checkpoint.unsupported` for an element type that the format did not have when this was
    ///   written; `checkpoint.malformed` for everything else that the format forbids, and for names
    ///   beyond 1024 bytes or with control characters, more than 8 axes, and names that occur twice.
    public init(_ bytes: HostBytes, origin: String) throws(SwanError) {
        let (root, start) = try Self.header(of: bytes, origin: origin)
        var entries: [String: Entry] = [:]
        var metadata: [String: String] = [:]
        guard root.count <= maximumTensors else {
            throw SwanError(.malformed, "\(origin): \(root.count) tensors, at most \(maximumTensors) are read.")
        }
        // In order, so that the same file gives the same error every time.
        for (name, value) in root.sorted(by: { $0.key < $1.key }) {
            if name == "__metadata__" {
                metadata = try Self.metadata(value, origin: origin)
            } else {
                entries[name] = try Self.entry(name, value, start: start, origin: origin)
            }
        }
        try Self.checkLayout(entries, start: start, total: bytes.count, origin: origin)
        self.bytes = bytes
        self.entries = entries
        self.metadata = metadata
        self.origin = origin
        names = entries.keys.sorted()
    }

    /// The shape and type of a tensor that can be read, or nil.
    public func info(_ name: String) -> TensorInfo? {
        entries[name].flatMap { entry in entry.type.dtype.map { TensorInfo(entry.shape, $0) } }
    }

    /// What there is of this name when its type cannot be read, else nil.
    public func unsupported(_ name: String) -> UnsupportedTensor? {
        guard let entry = entries[name], entry.type.dtype == nil else { return nil }
        return UnsupportedTensor(entry.shape, type: entry.type.rawValue, bytes: entry.range.count)
    }

    /// The values of a tensor; see ``WeightSource/tensor(_:)`` for what is thrown.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let entry = entries[name], let dtype = entry.type.dtype else { throw .unavailable(name, in: self) }
        return try HostTensor(entry.shape, dtype, bytes.slice(entry.range))
    }

    /// The header's object, and where the data begins.
    private static func header(
        of bytes: HostBytes, origin: String
    ) throws(SwanError) -> (root: [String: JSONValue], start: Int) {
        try bytes.withBytes { (raw) throws(SwanError) in
            var cursor = ByteCursor(raw, origin: origin)
            let length = try cursor.read(UInt64.self, "the length of the header")
            guard length <= UInt64(maximumHeader) else {
                throw SwanError(
                    .malformed, "\(origin): a header of \(length) bytes, at most \(maximumHeader) are read.",
                    advice: "The file is no safetensors file, or it is damaged.")
            }
            let text = try cursor.read(bytes: length, "the header")
            guard case .object(let root) = try JSONScanner.parse(text, origin: "\(origin), header") else {
                throw SwanError(.malformed, "\(origin): the header is no JSON object.", advice: SwanError.fetchAgain)
            }
            return (root, cursor.offset)
        }
    }

    private static func metadata(_ value: JSONValue, origin: String) throws(SwanError) -> [String: String] {
        var metadata: [String: String] = [:]
        if case .null = value { return metadata }
        guard case .object(let members) = value else {
            throw SwanError(.malformed, "\(origin): __metadata__ is no JSON object.", advice: SwanError.fetchAgain)
        }
        for (key, value) in members {
            guard case .string(let text) = value else {
                throw SwanError(
                    .malformed, "\(origin): the value of '\(key.printable())' in __metadata__ is no string.",
                    advice: SwanError.fetchAgain)
            }
            metadata[key] = text
        }
        return metadata
    }

    /// A tensor's entry, its own numbers checked against each other but not against the file.
    private static func entry(
        _ name: String, _ value: JSONValue, start: Int, origin: String
    ) throws(SwanError) -> Entry {
        func fault(_ problem: String, _ code: SwanError.Code = .malformed) -> SwanError {
            SwanError(code, "\(origin): tensor '\(name.printable())' \(problem).", advice: SwanError.fetchAgain)
        }
        if let problem = nameFault(name) { throw fault(problem) }
        guard case .object(let fields) = value else { throw fault("has no JSON object for an entry") }
        guard case .string(let typeName) = fields["dtype"] else { throw fault("has no dtype") }
        guard let type = SafetensorsType(rawValue: typeName) else {
            throw fault("has the unknown dtype '\(typeName.printable(limit: 40))'", .unsupported)
        }
        guard let extents = counts(fields["shape"]) else { throw fault("has no shape of whole numbers") }
        guard extents.count <= maximumRank else {
            throw fault("has \(extents.count) axes, at most \(maximumRank) are read")
        }
        guard let shape = Shape(checking: extents) else { throw fault("has a shape that overflows") }
        let (bits, overflow) = shape.count.multipliedReportingOverflow(by: type.bits)
        guard !overflow else { throw fault("has a size that overflows") }
        guard bits % 8 == 0 else { throw fault("has \(bits) bits, which are no whole bytes") }
        guard let offsets = counts(fields["data_offsets"]), offsets.count == 2 else {
            throw fault("has no pair of whole numbers for data_offsets")
        }
        guard offsets[0] <= offsets[1] else { throw fault("ends before it begins, data_offsets \(offsets)") }
        guard offsets[1] - offsets[0] == bits / 8 else {
            throw fault("has data_offsets \(offsets), but \(typeName) \(shape) takes \(bits / 8) bytes")
        }
        let (end, beyond) = start.addingReportingOverflow(offsets[1])
        guard !beyond else { throw fault("has data_offsets that overflow") }
        return Entry(type: type, shape: shape, range: start + offsets[0] ..< end)
    }

    private static func counts(_ value: JSONValue?) -> [Int]? {
        guard case .array(let elements) = value else { return nil }
        var counts: [Int] = []
        for element in elements {
            guard case .integer(let count) = element, count >= 0 else { return nil }
            counts.append(count)
        }
        return counts
    }

    /// Checks that the tensors fill the data exactly, one after the other.
    private static func checkLayout(
        _ entries: [String: Entry], start: Int, total: Int, origin: String
    ) throws(SwanError) {
        let sorted = entries.sorted {
            ($0.value.range.lowerBound, $0.value.range.upperBound) < (
                $1.value.range.lowerBound, $1.value.range.upperBound
            )
        }
        var end = start
        for (name, entry) in sorted {
            guard entry.range.lowerBound == end else {
                let problem = entry.range.lowerBound < end ? "overlaps the tensor before it" : "leaves a gap before it"
                throw SwanError(
                    .malformed,
                    "\(origin): tensor '\(name.printable())' begins at byte \(entry.range.lowerBound - start) of the data, expected \(end - start): it \(problem).",
                    advice: SwanError.fetchAgain)
            }
            end = entry.range.upperBound
        }
        guard total >= end else {
            throw SwanError(
                .truncated, "\(origin) has \(total) of its \(end) bytes.", advice: SwanError.fetchAgain)
        }
        guard total == end else {
            throw SwanError(
                .malformed, "\(origin) has \(total) bytes, \(total - end) more than its tensors take.",
                advice: SwanError.fetchAgain)
        }
    }
}
