import FoundationEssentials
public import SwanDiagnostics
import SwanTensor

/// What a checkpoint holds, as its headers say.
public struct CheckpointReport: Sendable, Hashable, Codable {
    /// A file of the checkpoint.
    public struct File: Sendable, Hashable, Codable {
        /// Where it is.
        public let path: String
        /// `safetensors`, `pytorch`, `gguf` or `index`.
        public let kind: String
        /// Its size.
        public let bytes: Int
    }

    /// A tensor of the checkpoint.
    public struct Tensor: Sendable, Hashable, Codable {
        /// Its name in the file.
        public let name: String
        /// The extents, slowest axis first.
        public let shape: [Int]
        /// A `DType`'s name, or the file format's own for a type that is not read.
        public let dtype: String
        /// The bytes its values take.
        public let bytes: Int
        /// Whether this version can read its values.
        public let isReadable: Bool

        /// Elements.
        public var count: Int { shape.reduce(1, *) }
    }

    /// How much of a checkpoint has one element type.
    public struct Share: Sendable, Hashable, Codable {
        /// As in ``Tensor``.
        public let dtype: String
        /// The number of tensors.
        public let tensors: Int
        /// Their elements.
        public let parameters: Int
        /// Their bytes.
        public let bytes: Int
    }

    /// What was named.
    public let path: String
    /// The files it is made of; an index comes before its shards.
    public let files: [File]
    /// Elements of all tensors.
    public let parameters: Int
    /// Bytes of all tensors' values; a storage that tensors share counts for each.
    public let bytes: Int
    /// The element types, largest share of bytes first.
    public let dtypes: [Share]
    /// In which form the weights are.
    public let format: WeightFormat
    /// All tensors of the files, sorted by name; scales among them.
    public let tensors: [Tensor]
    /// What the file notes beside the tensors: all texts of safetensors, single values of GGUF.
    public let metadata: [String: String]

    /// Reads the headers of a checkpoint, no values.
    ///
    /// - Throws: what ``openWeights(at:)`` throws.
    public init(readingHeadersOf path: String) throws(SwanError) {
        let checkpoint = try OpenCheckpoint(path)
        let source = checkpoint.source
        self.path = path
        files = checkpoint.files.map { path, kind in
            let attributes = try? FileManager.default.attributesOfItem(atPath: path)
            return File(path: path, kind: kind, bytes: attributes?[.size] as? Int ?? 0)
        }
        tensors = source.names.compactMap { name in
            if let info = source.info(name) {
                let bytes = info.dtype.bytes(elements: info.shape.count) ?? 0
                return Tensor(
                    name: name, shape: info.shape.extents, dtype: info.dtype.rawValue, bytes: bytes, isReadable: true)
            }
            return source.unsupported(name).map {
                Tensor(name: name, shape: $0.shape.extents, dtype: $0.type, bytes: $0.bytes, isReadable: false)
            }
        }
        dtypes = Dictionary(grouping: tensors, by: \.dtype)
            .map { dtype, tensors in
                Share(
                    dtype: dtype, tensors: tensors.count, parameters: tensors.reduce(0) { $0 + $1.count },
                    bytes: tensors.reduce(0) { $0 + $1.bytes })
            }
            .sorted { ($1.bytes, $0.dtype) < ($0.bytes, $1.dtype) }
        parameters = dtypes.reduce(0) { $0 + $1.parameters }
        bytes = dtypes.reduce(0) { $0 + $1.bytes }
        metadata = Self.metadata(of: source)
        format = WeightFormat(source, tensors, dtypes)
    }

    private static func metadata(of source: any WeightSource) -> [String: String] {
        switch source {
        case let file as SafetensorsFile: file.metadata
        case let shards as ShardedSafetensors: shards.metadata
        case let file as GGUFFile:
            file.metadata.compactMapValues { value in
                switch value {
                case .integer(let integer): String(integer)
                case .float(let float): String(float)
                case .bool(let bool): String(bool)
                case .string(let string): string
                case .bytes, .integers, .floats, .bools, .strings: nil
                }
            }
        default: [:]
        }
    }
}
