import SwanDiagnostics

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Results of slow work, kept in a folder: compiled kernels, algorithms that were found to be the fastest.
///
/// An entry is a file named by the hash of its key. It holds the whole key and a checksum, so that a
/// colliding, damaged or half-written file is seen and made again. Files are written under a temporary name,
/// flushed, and renamed: readers see a whole entry or none, and losing a race against another process is
/// fine. A folder that cannot be written is no error; work is then done anew in each process.
package struct BlobCache: Sendable {
    private static let magic = Array("swan-cache-1\n".utf8)
    private let folder: String

    /// - Parameter folder: made when the first entry is stored.
    package init(folder: String) { self.folder = folder }

    /// Where an entry lies.
    package func path(of key: String) -> String {
        let bytes = Array(key.utf8)
        return folder + "/" + hexadecimal(hash(bytes, 0)) + hexadecimal(hash(bytes, 1))
    }

    /// An entry's bytes; nil when there is none. A damaged entry is removed.
    package func load(_ key: String) -> [UInt8]? {
        let path = path(of: key)
        guard let file = contents(path) else { return nil }
        let expected = Self.magic + header(key)
        let start = expected.count + 8
        guard file.count >= start, Array(file[..<expected.count]) == expected,
            Array(file[expected.count ..< start]) == bytes(hash(file[start...], 2))
        else {
            unlink(path)
            return nil
        }
        return Array(file[start...])
    }

    /// Removes an entry that turned out to be of no use.
    package func remove(_ key: String) { unlink(path(of: key)) }

    /// Keeps an entry. Returns whether it was written.
    @discardableResult
    package func store(_ key: String, _ value: [UInt8]) -> Bool {
        makeFolder()
        // The process' number and an address that is its own keep writers apart.
        let path = path(of: key)
        var template = Array((path + ".XXXXXX").utf8CString)
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { return false }
        let file = Self.magic + header(key) + bytes(hash(value[...], 2)) + value
        let isWritten = writeAll(file, to: descriptor) && fsync(descriptor) == 0
        let isClosed = close(descriptor) == 0
        guard isWritten, isClosed, rename(template, path) == 0 else {
            unlink(template)
            return false
        }
        return true
    }

    /// The key with its length in front, so that no key is the start of another's file.
    private func header(_ key: String) -> [UInt8] { bytes(UInt64(key.utf8.count)) + Array(key.utf8) }

    private func makeFolder() {
        var path = ""
        for part in folder.split(separator: "/", omittingEmptySubsequences: false) {
            path += part
            if !path.isEmpty { mkdir(path, 0o777) }
            path += "/"
        }
    }
}

private func contents(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var facts = stat()
    guard fstat(descriptor, &facts) == 0, facts.st_size >= 0, facts.st_size < 1 << 30 else { return nil }
    var bytes = [UInt8](repeating: 0, count: Int(facts.st_size))
    var filled = 0
    while filled < bytes.count {
        let count = bytes.withUnsafeMutableBytes {
            read(descriptor, $0.baseAddress.map { $0 + filled }, $0.count - filled)
        }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return nil }
        filled += count
    }
    return bytes
}

private func writeAll(_ file: [UInt8], to descriptor: Int32) -> Bool {
    var rest = file[...]
    while !rest.isEmpty {
        let count = rest.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
    }
    return true
}

/// FNV-1a over 64 bits, started from another place for each `salt`.
func hash(_ bytes: some Sequence<UInt8>, _ salt: UInt64) -> UInt64 {
    bytes.reduce(0xCBF2_9CE4_8422_2325 ^ (salt &* 0x9E37_79B9_7F4A_7C15)) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}

private func bytes(_ value: UInt64) -> [UInt8] { (0 ..< 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }

func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
