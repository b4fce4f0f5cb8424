import Glibc
import SwanDiagnostics
public import SwanTensor

/// What a file is, judged by its first bytes and never by its name.
public enum FileKind: Sendable, Hashable {
    /// A safetensors file.
    case safetensors
    /// A zip archive, as `torch.save` writes since PyTorch 1.6.
    case pytorch
    /// A GGUF file.
    case gguf
    /// A bare pickle, as `torch.save` wrote before PyTorch 1.6.
    case legacyPickle
    /// A tar archive, as the first versions of PyTorch wrote.
    case tar
    /// What Git checks out in place of a large file that was not fetched; with the hash and the size of
    /// that file.
    case lfsPointer(sha256: String?, bytes: Int?)
    /// A page or an error message that a server sent in place of the file.
    case webPage
    /// None of these.
    case unknown

    /// Judges a file by its bytes.
    public init(_ bytes: HostBytes) {
        self = bytes.withBytes { Self($0) }
    }

    private init(_ bytes: UnsafeRawBufferPointer) {
        if Self.looksLikeSafetensors(bytes) {
            self = .safetensors
        } else if bytes.starts(with: [0x50, 0x4B, 0x03, 0x04]) {
            self = .pytorch
        } else if bytes.starts(with: "GGUF".utf8) {
            self = .gguf
        } else if bytes.starts(with: [0x80, 0x02]) {
            self = .legacyPickle
        } else if bytes.count >= 262, bytes[257 ..< 262].elementsEqual("ustar".utf8) {
            self = .tar
        } else if bytes.count < 1024, bytes.starts(with: "version https://git-lfs.github.com/spec/v1".utf8) {
            self = Self.pointer(String(decoding: bytes, as: UTF8.self))
        } else if bytes.first == UInt8(ascii: "<") || bytes.starts(with: "{\"error\"".utf8) {
            self = .webPage
        } else {
            self = .unknown
        }
    }

    /// Tried first: the length of a header may happen to begin like `<`, but no text has a plausible
    /// length in its first eight bytes.
    private static func looksLikeSafetensors(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count > 8 else { return false }
        let length = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        guard length >= 2, length <= UInt64(SafetensorsFile.maximumHeader) else { return false }
        return bytes[8...].first { $0 != 0x20 } == UInt8(ascii: "{")
    }

    /// Source: git-lfs `docs/spec.md`, "The Pointer".
    private static func pointer(_ text: String) -> FileKind {
        var sha256: String?
        var bytes: Int?
        for line in text.split(separator: "\n") {
            if line.hasPrefix("oid sha256:") {
                let digits = line.dropFirst("oid sha256:".count)
                if digits.count == 64, digits.allSatisfy(\.isHexDigit) { sha256 = String(digits) }
            } else if line.hasPrefix("size ") {
                bytes = Int(line.dropFirst("size ".count))
            }
        }
        return .lfsPointer(sha256: sha256, bytes: bytes)
    }

    /// A short name, for reports.
    public var name: String {
        switch self {
        case .safetensors: "safetensors"
        case .pytorch: "pytorch"
        case .gguf: "gguf"
        case .legacyPickle: "pickle"
        case .tar: "tar"
        case .lfsPointer: "git-lfs pointer"
        case .webPage: "web page"
        case .unknown: "unknown"
        }
    }

    /// Checks that a file is what its reader expects.
    func require(_ kind: FileKind, _ file: MappedFile) throws(SwanError) {
        if self != kind { throw refusal(of: file, expected: kind.name) }
    }

    /// The error for a file of a kind that cannot be read, or not by this reader.
    func refusal(of file: MappedFile, expected: String = "safetensors, a PyTorch archive or GGUF") -> SwanError {
        let path = file.path.printable(limit: 1024)
        let hint = partialDownloadHint(beside: file.path)
        switch self {
        case .lfsPointer(let sha256, let bytes):
            let size = bytes.map { ", \($0) bytes" } ?? ""
            let hash = sha256.map { ", SHA-256 \($0)" } ?? ""
            return SwanError(
                .lfsPointer, "\(path) is a Git LFS pointer, not the file itself\(size)\(hash).",
                advice: "Run `git lfs pull` in its folder, or download the file." + hint)
        case .webPage:
            return SwanError(
                .malformed,
                "\(path) is a web page or an error message (\(file.bytes.count) bytes), expected \(expected).",
                advice: "The download did not get the file: look into it, then fetch it again." + hint)
        case .legacyPickle, .tar:
            let age = self == .tar ? "tar archive of the first PyTorch versions" : "bare pickle from before PyTorch 1.6"
            return SwanError(
                .unsupported, "\(path) is a \(age), which is not read.",
                advice: "Load it with PyTorch and save it again, best as safetensors.")
        case .safetensors, .pytorch, .gguf:
            return SwanError(
                .unsupported, "\(path) is a \(name) file, expected \(expected).", advice: "Name another file.")
        case .unknown:
            return SwanError(
                .unsupported,
                "\(path) (\(formatted(bytes: file.bytes.count))) is of no known format, expected \(expected).",
                advice: "Check that it is a checkpoint and that its download is complete." + hint)
        }
    }
}

/// Whether there is something at `path`: a file, a folder or anything else, readable or not. Links are followed.
func fileExists(_ path: String) -> Bool { access(path, F_OK) == 0 }
