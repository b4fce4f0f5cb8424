public import SwanDiagnostics
public import SwanTensor

/// A GGUF file, version 3, that is being written.
///
/// Tensors keep the order in which they were announced; shapes of any rank are written as they are, also the five axes
/// of Wan's patch embedding.
///
/// Source: ggml-org/ggml `docs/gguf.md`.
public final class GGUFOutput: CheckpointOutput {
    private static let alignment = 32

    private let file: PendingFile
    private var pending: PendingTensors
    /// The bytes of the file.
    public let bytes: Int

    /// Writes the header, into a private file beside `path` that gets its name when it is finished.
    ///
    /// - Parameters:
    ///   - tensors: what will be written.
    ///   - metadata: texts, integers (written as 32 bits where they have room), Booleans and floats.
    ///   - path: the file's name.
    /// - Throws: `checkpoint.unwritable`; `checkpoint.unsupported` for a type that the format lacks, rows that are no
    ///   whole blocks, or arrays in the metadata; `fault` for a name that the reader would refuse.
    public init(
        _ tensors: [AnnouncedTensor], metadata: [String: GGUFValue], to path: String
    ) throws(SwanError) {
        var header = Array("GGUF".utf8)
        func append<T: FixedWidthInteger>(_ number: T) { withUnsafeBytes(of: number.littleEndian) { header += $0 } }
        func append(_ text: String) {
            append(UInt64(text.utf8.count))
            header += text.utf8
        }
        append(UInt32(3))
        append(UInt64(tensors.count))
        append(UInt64(metadata.count))
        for (key, value) in metadata.sorted(by: { $0.key < $1.key }) {
            append(key)
            switch value {
            case .string(let text):
                append(UInt32(8))
                append(text)
            case .integer(let number):
                if let small = UInt32(exactly: number) {
                    append(UInt32(4))
                    append(small)
                } else {
                    append(UInt32(11))
                    append(Int64(number))
                }
            case .float(let number):
                append(UInt32(12))
                append(number.bitPattern)
            case .bool(let flag):
                append(UInt32(7))
                append(UInt8(flag ? 1 : 0))
            default:
                throw SwanError(.unsupported, "The note '\(key.printable())' is an array, which is not written.")
            }
        }
        var offset = 0
        var places: [(tensor: AnnouncedTensor, offset: Int)] = []
        for tensor in tensors {
            guard let type = GGUFType.id(tensor.dtype),
                (tensor.shape.extents.last ?? 1) % tensor.dtype.blockElements == 0
            else {
                throw SwanError(
                    .unsupported,
                    "Tensor '\(tensor.name.printable())' \(tensor.shape) cannot be written as \(tensor.dtype.rawValue) in GGUF.",
                    advice: "Choose another format.")
            }
            append(tensor.name)
            append(UInt32(tensor.shape.rank))
            for extent in tensor.shape.extents.reversed() { append(UInt64(extent)) }
            append(type)
            append(UInt64(offset))
            places.append((tensor, offset))
            offset += Self.aligned(tensor.bytes)
        }
        let start = Self.aligned(header.count)
        pending = try PendingTensors(places.map { ($0.tensor, start + $0.offset) })
        bytes = start + offset
        file = try PendingFile(path: path, isReplacing: false)
        let result: Result<Void, SwanError> = header.withUnsafeBytes { bytes in
            Result { () throws(SwanError) in try file.write(bytes, at: 0) }
        }
        try result.get()
    }

    private static func aligned(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }

    /// See ``CheckpointOutput/put(_:_:)``.
    public func put(_ name: String, _ tensor: HostTensor) throws(SwanError) {
        let offset = try pending.take(name, tensor)
        try tensor.bytes.withBytes { (bytes) throws(SwanError) in try file.write(bytes, at: offset) }
    }

    /// See ``CheckpointOutput/finish()``.
    public func finish() throws(SwanError) {
        try pending.requireNone()
        try file.finish(size: bytes)
    }
}
