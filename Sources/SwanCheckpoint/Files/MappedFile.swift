import Glibc
public import SwanDiagnostics
public import SwanTensor

/// A file's bytes, mapped into memory read-only.
///
/// The mapping lives as long as ``bytes`` or any slice of them. A file that shrinks while it is mapped
/// ends the process when the lost part is touched, so downloads go to another name and are renamed.
public struct MappedFile: Sendable {
    /// The path the file was opened by.
    public let path: String
    /// The whole file.
    public let bytes: HostBytes

    /// Maps a regular file; its size is that of the opened descriptor.
    ///
    /// - Throws: `checkpoint.file-missing`; `checkpoint.unreadable` for a folder, a device or a file that
    ///   cannot be read; `checkpoint.truncated` for an empty file, and for one whose download
    ///   is marked as unfinished by a file `….aria2` beside it.
    public init(path: String) throws(SwanError) {
        // Without O_NONBLOCK, opening a named pipe would wait for its writer.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            let cause = SystemError("open")
            throw cause.number == ENOENT || cause.number == ENOTDIR
                ? .fileMissing(path, cause: cause)
                : SwanError(
                    .unreadable, "\(path.printable()) cannot be opened.",
                    advice: "Check the permissions of the file and of the folders above it.", cause: cause)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            throw SwanError(.unreadable, "\(path.printable()) cannot be examined.", cause: SystemError("fstat"))
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            let kind = status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "a device or pipe"
            throw SwanError(
                .unreadable, "\(path.printable()) is \(kind), expected a file.", advice: "Name a file in it.")
        }
        // aria2 reserves the whole size at once, so that an unfinished file looks whole and is full of zeros.
        guard !fileExists(path + ".aria2") else {
            throw SwanError(
                .truncated, "\(path.printable()) is not complete: its download is marked as unfinished.",
                advice: String(partialDownloadHint(beside: path).dropFirst()))
        }
        guard let count = Int(exactly: status.st_size), count > 0 else {
            throw SwanError(
                .truncated, "\(path.printable()) is empty.",
                advice: SwanError.fetchAgain + partialDownloadHint(beside: path))
        }
        guard let base = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), base != MAP_FAILED else {
            throw SwanError(.unreadable, "\(path.printable()) cannot be mapped.", cause: SystemError("mmap"))
        }
        let mapping = Mapping(base: base, count: count)
        self.path = path
        bytes = HostBytes(referringTo: UnsafeRawBufferPointer(start: base, count: count), owner: mapping)
    }
}

/// Owns a mapping and ends it.
///
/// `@unchecked Sendable`: the pointer is set once and used again only in `deinit`.
private final class Mapping: @unchecked Sendable {
    private let base: UnsafeMutableRawPointer
    private let count: Int

    init(base: UnsafeMutableRawPointer, count: Int) {
        self.base = base
        self.count = count
    }

    deinit { munmap(base, count) }
}

extension HostBytes {
    /// A part of these bytes, which keeps the whole alive.
    ///
    /// - Precondition: `range` lies inside; ranges from a file go through ``checkedRange(offset:count:total:of:)``.
    public func slice(_ range: Range<Int>) -> HostBytes {
        precondition(range.lowerBound >= 0 && range.upperBound <= count)
        return withBytes { HostBytes(referringTo: UnsafeRawBufferPointer(rebasing: $0[range]), owner: self) }
    }
}

/// The range of `count` bytes from `offset`, neither of which anybody has checked.
///
/// - Parameters:
///   - offset: where the range begins, in bytes.
///   - count: how many bytes it has.
///   - total: the bytes that exist.
///   - what: names the file and the thing in it, for the message.
/// - Throws: `checkpoint.truncated` when the range leaves `0 ..< total`.
public func checkedRange(
    offset: UInt64, count: UInt64, total: Int, of what: @autoclosure () -> String
) throws(SwanError) -> Range<Int> {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard !overflow, let lower = Int(exactly: offset), let upper = Int(exactly: end), upper <= total else {
        throw SwanError(
            .truncated,
            "\(what()): bytes \(offset) to \(offset) + \(count) lie outside the \(total) bytes that there are.",
            advice: SwanError.fetchAgain)
    }
    return lower ..< upper
}
