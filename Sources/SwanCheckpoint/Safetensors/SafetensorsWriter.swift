public import SwanDiagnostics
public import SwanTensor

/// A safetensors file that is being written.
///
/// The same tensors and metadata give the same bytes, in whatever order they come.
public final class SafetensorsOutput: CheckpointOutput {
    private let file: PendingFile
    private var pending: PendingTensors
    /// The bytes of the file.
    public let bytes: Int

    /// Writes the header, into a private file beside `path` that gets its name when it is finished.
    ///
    /// - Parameters:
    ///   - tensors: what will be written.
    ///   - metadata: goes under `__metadata__`.
    ///   - path: the file's name.
    ///   - isReplacing: whether what has the name by the end is replaced; else ``finish()`` throws.
    /// - Throws: `checkpoint.unwritable`; `checkpoint.unsupported` for blocks, which the format lacks; `fault` for a
    ///   name that the reader would refuse.
    public init(
        _ tensors: [AnnouncedTensor], metadata: [String: String] = [:], to path: String, isReplacing: Bool = false
    ) throws(SwanError) {
        let (header, places, size) = try SafetensorsWriter.layout(tensors, metadata: metadata)
        pending = try PendingTensors(places)
        bytes = size
        file = try PendingFile(path: path, isReplacing: isReplacing)
        try put(header, at: 0)
    }

    private func put(_ bytes: HostBytes, at offset: Int) throws(SwanError) {
        try bytes.withBytes { (bytes) throws(SwanError) in try file.write(bytes, at: offset) }
    }

    /// See ``CheckpointOutput/put(_:_:)``.
    public func put(_ name: String, _ tensor: HostTensor) throws(SwanError) {
        try put(tensor.bytes, at: pending.take(name, tensor))
    }

    /// See ``CheckpointOutput/finish()``.
    public func finish() throws(SwanError) {
        try pending.requireNone()
        try file.finish(size: bytes)
    }

    /// Holds no descriptor until more is written.
    func suspend() { file.suspend() }

    /// Removes the private file now.
    func abandon() { file.abandon() }
}

/// Writes safetensors files.
public enum SafetensorsWriter {
    /// Writes tensors to a file, through a private file beside it that is renamed when it is complete: the file is
    /// never seen half-written.
    ///
    /// The same tensors and metadata give the same bytes.
    ///
    /// - Parameters:
    ///   - tensors: by name; names of at most 1024 bytes without control characters.
    ///   - metadata: goes under `__metadata__`.
    ///   - path: the file's name.
    ///   - isReplacing: whether a file of the same name is replaced; else it is kept, and this throws.
    /// - Throws: `checkpoint.unwritable`; `checkpoint.unsupported` for blocks of GGUF, which the format lacks;
    ///   `fault` for a name that the reader would refuse. Nothing has been written then.
    public static func write(
        _ tensors: [String: HostTensor], metadata: [String: String] = [:], to path: String, isReplacing: Bool = true
    ) throws(SwanError) {
        let announced = tensors.map { AnnouncedTensor($0.key, $0.value.shape, $0.value.dtype) }
        let output = try SafetensorsOutput(announced, metadata: metadata, to: path, isReplacing: isReplacing)
        for (name, tensor) in tensors { try output.put(name, tensor) }
        try output.finish()
    }

    /// The bytes before the data, each tensor's place in the file, and the file's size.
    ///
    /// Wide types come first, so that every tensor begins at a multiple of its element's size.
    package static func layout(
        _ tensors: [AnnouncedTensor], metadata: [String: String]
    ) throws(SwanError) -> (header: HostBytes, places: [(tensor: AnnouncedTensor, offset: Int)], size: Int) {
        var order: [(type: SafetensorsType, tensor: AnnouncedTensor)] = []
        for tensor in tensors {
            if let problem = nameFault(tensor.name) {
                throw SwanError(.fault, "Tensor '\(tensor.name.printable())' \(problem).")
            }
            guard tensor.name != "__metadata__" else {
                throw SwanError(.fault, "No tensor can be named '__metadata__'.")
            }
            guard let type = SafetensorsType(tensor.dtype) else {
                throw SwanError(
                    .unsupported,
                    "Tensor '\(tensor.name.printable())' holds \(tensor.dtype.rawValue) values, which safetensors has no type for.",
                    advice: "Convert it to float32 first.")
            }
            order.append((type, tensor))
        }
        order.sort { ($1.type.bits, $0.tensor.name) < ($0.type.bits, $1.tensor.name) }

        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
            members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        var offsets: [Int] = []
        for (type, tensor) in order {
            let shape = tensor.shape.extents.map(String.init).joined(separator: ",")
            let end = offset + tensor.bytes
            members.append(
                "\(quoted(tensor.name)):{\"dtype\":\"\(type.rawValue)\",\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}"
            )
            offsets.append(offset)
            offset = end
        }
        var text = Array("{\(members.joined(separator: ","))}".utf8)
        text += repeatElement(0x20, count: (8 - text.count % 8) % 8)
        guard text.count <= SafetensorsFile.maximumHeader else {
            throw SwanError(.fault, "A header of \(text.count) bytes is longer than readers take.")
        }
        let header = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
        return (
            header.withUnsafeBytes { HostBytes(copying: $0) },
            zip(order, offsets).map { ($0.tensor, header.count + $1) }, header.count + offset
        )
    }

    /// A JSON string.
    static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"", "\\": quoted += "\\\(scalar)"
            case "\u{0}" ..< "\u{20}":
                let digits = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
