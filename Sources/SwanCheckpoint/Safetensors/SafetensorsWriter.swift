import Glibc
public import SwanDiagnostics
public import SwanTensor

/// Writes safetensors files.
public enum SafetensorsWriter {
    /// Writes tensors to a file, through a private file beside it that is renamed when it is complete: a
    /// file of the same name is replaced, and never seen half-written.
    ///
    /// The same tensors and metadata give the same bytes.
    ///
    /// - Parameters:
    ///   - tensors: by name; names of at most 1024 bytes without control characters.
    ///   - metadata: goes under `__metadata__`.
    /// - Throws: `checkpoint.unwritable`; `checkpoint.unsupported` for Q8_0, which the format lacks;
    ///   `fault` for a name that the reader would refuse. Nothing has been written then.
    public static func write(
        _ tensors: [String: HostTensor], metadata: [String: String] = [:], to path: String
    ) throws(SwanError) {
        let (header, order) = try layout(tensors, metadata: metadata)
        let temporary = path + ".\(getpid())-\(UInt32.random(in: 0 ... .max)).tmp"
        func fault(_ call: String) -> SwanError {
            let cause = SystemError(call)
            return SwanError(
                .unwritable, "\(path.printable(limit: 1024)) cannot be written.",
                advice: "Check that the folder exists, may be written to and has room.", cause: cause)
        }
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw fault("open") }
        var isComplete = false
        defer { if !isComplete { unlink(temporary) } }
        do {
            defer { close(descriptor) }
            func append(_ bytes: UnsafeRawBufferPointer) throws(SwanError) {
                var rest = bytes[...]
                while !rest.isEmpty {
                    let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                    if count < 0 && errno == EINTR { continue }
                    guard count > 0 else { throw fault("write") }
                    rest = rest.dropFirst(count)
                }
            }
            try header.withBytes(append)
            for tensor in order { try tensor.bytes.withBytes(append) }
            guard fsync(descriptor) == 0 else { throw fault("fsync") }
        }
        guard rename(temporary, path) == 0 else { throw fault("rename") }
        isComplete = true
    }

    /// The bytes before the data, and the tensors in the order of their data.
    ///
    /// Wide types come first, so that every tensor begins at a multiple of its element's size.
    package static func layout(
        _ tensors: [String: HostTensor], metadata: [String: String]
    ) throws(SwanError) -> (header: HostBytes, order: [HostTensor]) {
        var order: [(name: String, type: SafetensorsType, tensor: HostTensor)] = []
        for (name, tensor) in tensors {
            if let problem = nameFault(name) { throw SwanError(.fault, "The name '\(name.printable())' \(problem).") }
            guard name != "__metadata__" else { throw SwanError(.fault, "No tensor can be named '__metadata__'.") }
            guard let type = SafetensorsType(tensor.dtype) else {
                throw SwanError(
                    .unsupported,
                    "Tensor '\(name.printable())' holds \(tensor.dtype) values, which safetensors has no type for.",
                    advice: "Convert it to float32 first.")
            }
            order.append((name, type, tensor))
        }
        order.sort { ($1.type.bits, $0.name) < ($0.type.bits, $1.name) }

        var members: [String] = []
        if !metadata.isEmpty {
            let pairs = metadata.sorted { $0.key < $1.key }.map { "\(quoted($0.key)):\(quoted($0.value))" }
            members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
        }
        var offset = 0
        for (name, type, tensor) in order {
            let shape = tensor.shape.extents.map(String.init).joined(separator: ",")
            let end = offset + tensor.bytes.count
            members.append(
                "\(quoted(name)):{\"dtype\":\"\(type.rawValue)\",\"shape\":[\(shape)],\"data_offsets\":[\(offset),\(end)]}"
            )
            offset = end
        }
        var text = Array("{\(members.joined(separator: ","))}".utf8)
        text += repeatElement(0x20, count: (8 - text.count % 8) % 8)
        guard text.count <= SafetensorsFile.maximumHeader else {
            throw SwanError(.fault, "A header of \(text.count) bytes is longer than readers take.")
        }
        let header = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
        return (header.withUnsafeBytes { HostBytes(copying: $0) }, order.map(\.tensor))
    }

    /// A JSON string.
    private static func quoted(_ text: String) -> String {
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
