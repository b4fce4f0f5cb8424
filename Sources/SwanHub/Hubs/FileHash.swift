import Crypto
import Glibc
import SwanDiagnostics

/// What a file's content has to be, as a hub publishes it.
public enum FileHash: Sendable, Hashable, Codable {
    /// SHA-256 of the content, 64 hexadecimal digits in lower case: large files of Hugging Face, all of ModelScope.
    case sha256(String)
    /// SHA-1 of `blob SIZE`, NUL and the content, 40 digits: Git's name of a small file.
    case gitBlob(String)

    /// The digits; also the name of the content in the cache.
    public var digits: String {
        switch self {
        case .sha256(let digits), .gitBlob(let digits): digits
        }
    }

    /// Takes digits of either kind; nil for what is none.
    init?(digits: String) {
        let digits = digits.lowercased()
        guard digits.utf8.allSatisfy({ (48 ... 57).contains($0) || (97 ... 102).contains($0) }) else { return nil }
        switch digits.utf8.count {
        case 64: self = .sha256(digits)
        case 40: self = .gitBlob(digits)
        default: return nil
        }
    }

    /// What is the kind's name.
    var title: String {
        switch self {
        case .sha256: "SHA-256"
        case .gitBlob: "Git's SHA-1"
        }
    }

    /// The digits of a file's content, of the same kind as this one.
    ///
    /// - Parameters:
    ///   - descriptor: the open file, read from its beginning.
    ///   - size: its bytes.
    ///   - progress: called with the bytes that were read since the last call; whether to go on.
    /// - Throws: `SystemError` when reading fails; `cancelled` when asked to stop.
    func digits(
        of descriptor: Int32, size: Int, _ progress: (Int) -> Bool
    ) throws -> String {
        switch self {
        case .sha256: try Self.hash(SHA256(), descriptor, size, progress)
        case .gitBlob:
            try {
                var hash = Insecure.SHA1()
                hash.update(data: Array("blob \(size)\0".utf8))
                return try Self.hash(hash, descriptor, size, progress)
            }()
        }
    }

    private static func hash(
        _ function: some HashFunction, _ descriptor: Int32, _ size: Int, _ progress: (Int) -> Bool
    ) throws -> String {
        var function = function
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        var offset = 0
        while offset < size {
            let count = pread(descriptor, buffer.baseAddress, min(buffer.count, size - offset), off_t(offset))
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw SystemError("pread") }
            guard count > 0 else { break }
            function.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            offset += count
            guard progress(count) else { throw SwanError(.cancelled, "Stopped on request.") }
        }
        return hexadecimal(function.finalize())
    }
}

/// Bytes as hexadecimal digits in lower case.
func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    let digits = Array("0123456789abcdef".utf8)
    var text: [UInt8] = []
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(decoding: text, as: UTF8.self)
}
