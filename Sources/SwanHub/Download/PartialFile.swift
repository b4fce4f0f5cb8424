import CSwanSystem
import Glibc
import SwanDiagnostics
import Synchronization

/// Where one content is kept while it arrives, and in the end.
package struct DownloadPlaces: Sendable, Hashable {
    /// The finished file.
    var destination: String
    /// The file with holes, on the same file system.
    var partial: String
    /// Which parts of it are there.
    var progress: String
    /// Held while somebody writes.
    var lock: String
    /// Where another tool may have left the beginning of the content; nil for nowhere.
    var prefix: String?

    /// The beginning of a content of `size` bytes that another tool left, if it can be taken over.
    func beginning(of size: Int) -> FileSystem.Entry? {
        guard let prefix, let entry = FileSystem.entry(prefix), entry.isFile, entry.size > 0, entry.size <= size,
            entry.links == 1
        else { return nil }
        return entry
    }
}

/// A file that arrives in pieces, in any order, and survives the end of the process at any moment.
///
/// The content is written to its place in a file of the final size. A second file notes, for each piece of fixed size,
/// how many bytes of its beginning are there: once as written, which holds as long as this system runs, and once as
/// synced to the disk, which holds after a crash of the system, too. So a killed program loses no more than the
/// bytes between two system calls, and nothing that a disk lost is trusted.
///
/// Layout of the notes, little-endian: `SWANPART`; version, size and piece size as 64-bit numbers; 40 bytes with the
/// identity of the system's start; then for each piece the written and for each piece the synced bytes, 64 bits each.
///
/// May be used by several tasks, each at another piece.
final class PartialFile: Sendable {
    let size, pieceBytes: Int
    private let places: DownloadPlaces
    private let data, notes: Int32
    private let state: Mutex<State>

    private struct State {
        var written: [Int]
        var synced: [Int]
        /// Bytes written since the last sync.
        var unsynced = 0
    }

    private static let magic = Array("SWANPART".utf8)
    private static let headerBytes = 72

    /// Opens or begins the file. The caller holds the lock.
    ///
    /// - Parameters:
    ///   - systemStart: what tells one start of the system from another; a test gives its own.
    /// - Throws: `hub.cache-unwritable`, also when the disk has no room for it.
    init(
        _ places: DownloadPlaces, size: Int, pieceBytes: Int, systemStart: String = PartialFile.thisSystemStart
    ) throws(SwanError) {
        (self.places, self.size, self.pieceBytes) = (places, size, pieceBytes)
        let pieces = Self.pieces(size, pieceBytes)
        var state = Self.read(places, size: size, pieceBytes: pieceBytes, pieces: pieces, systemStart)
        var adopted = 0
        if state == nil, let prefix = places.prefix, let entry = places.beginning(of: size),
            rename(prefix, places.partial) == 0
        {
            adopted = entry.size
        }
        try FileSystem.makeFolder(above: places.partial)
        data = open(places.partial, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
        guard data >= 0 else { throw FileSystem.error("open", places.partial) }
        let isBegun = state != nil || adopted > 0
        if !isBegun { ftruncate(data, 0) }
        // Reserves the room, so that a lack of it shows now; file systems that cannot do so just set the length.
        let failure = size > 0 ? swan_reserve(data, Int64(size)) : 0
        if failure != 0 {
            errno = failure
            guard [EOPNOTSUPP, ENOSYS, EINVAL].contains(failure), ftruncate(data, off_t(size)) == 0 else {
                let error = FileSystem.error("fallocate", places.partial)
                close(data)
                if !isBegun { unlink(places.partial) }
                throw error
            }
        }
        if state == nil {
            // What another program left may not be on the disk yet.
            if adopted > 0 { fdatasync(data) }
            let done = (0 ..< pieces).map { min(max(adopted - $0 * pieceBytes, 0), pieceBytes) }
            state = State(written: done, synced: done)
        }
        let known = state ?? State(written: [], synced: [])
        do throws(SwanError) {
            try FileSystem.write(
                Self.encoded(size: size, pieceBytes: pieceBytes, systemStart, known), to: places.progress)
            notes = open(places.progress, O_RDWR | O_CLOEXEC)
            guard notes >= 0 else { throw FileSystem.error("open", places.progress) }
        } catch {
            close(data)
            throw error
        }
        self.state = Mutex(known)
    }

    deinit {
        close(data)
        close(notes)
    }

    /// The number of pieces; an empty file has one, of no bytes.
    static func pieces(_ size: Int, _ pieceBytes: Int) -> Int { max(1, (size + pieceBytes - 1) / pieceBytes) }

    /// Identifies this start of the system.
    static let thisSystemStart: String =
        FileSystem.text("/proc/sys/kernel/random/boot_id").map { String($0.prefix(36)) } ?? ""

    // MARK: What is there

    /// The bytes of the file that a piece covers.
    func range(_ piece: Int) -> Range<Int> { min(piece * pieceBytes, size) ..< min((piece + 1) * pieceBytes, size) }

    /// Where a piece goes on.
    func position(_ piece: Int) -> Int { range(piece).lowerBound + state.withLock { $0.written[piece] } }

    /// Bytes that are there.
    var bytes: Int { state.withLock { $0.written.reduce(0, +) } }

    /// Pieces of which something is missing.
    var missing: [Int] {
        let written = state.withLock { $0.written }
        return written.indices.filter { written[$0] < range($0).count }
    }

    // MARK: Writing

    /// Adds bytes to a piece, where it ended.
    ///
    /// - Parameter offset: of the bytes in the file; the position of its piece.
    /// - Throws: `hub.cache-unwritable`.
    func append(_ bytes: RawSpan, at offset: Int) throws(SwanError) {
        guard bytes.byteCount > 0 else { return }
        let piece = offset / pieceBytes
        precondition(offset == position(piece), "bytes that do not follow those that are there")
        precondition(offset + bytes.byteCount <= range(piece).upperBound, "bytes beyond the piece")
        try FileSystem.write(bytes, to: data, at: offset, places.partial)
        let count = offset + bytes.byteCount - range(piece).lowerBound
        // The bytes first, then the note: a kill in between loses the bytes and never invents any.
        try note(count, at: piece)
        let isDue = state.withLock { state in
            state.written[piece] = count
            state.unsynced += bytes.byteCount
            guard state.unsynced >= Self.syncBytes else { return false }
            state.unsynced = 0
            return true
        }
        if isDue { try sync() }
    }

    /// After so many bytes the disk is asked to hold them.
    private static let syncBytes = 256 << 20

    private func note(_ count: Int, at index: Int) throws(SwanError) {
        var value = UInt64(count).littleEndian
        try withUnsafeBytes(of: &value) { (bytes) throws(SwanError) in
            try FileSystem.write(
                RawSpan(_unsafeBytes: bytes), to: notes, at: Self.headerBytes + 8 * index, places.progress)
        }
    }

    /// Makes what is written survive a crash of the system.
    func sync() throws(SwanError) {
        let written = state.withLock { $0.written }
        guard fdatasync(data) == 0 else { throw FileSystem.error("fdatasync", places.partial) }
        for (piece, count) in written.enumerated() { try note(count, at: written.count + piece) }
        state.withLock { $0.synced = written }
    }

    /// Forgets all pieces: the content turned out wrong.
    func restart() throws(SwanError) {
        let count = state.withLock { state in
            state.written = state.written.map { _ in 0 }
            state.synced = state.written
            return state.written.count
        }
        for index in 0 ..< 2 * count { try note(0, at: index) }
    }

    /// The hash of the whole content.
    func digits(_ hash: FileHash, _ progress: (Int) -> Bool) throws -> String {
        try hash.digits(of: data, size: size, progress)
    }

    /// Puts the file at its final place and drops the notes.
    func publish() throws(SwanError) {
        guard fsync(data) == 0 else { throw FileSystem.error("fsync", places.partial) }
        try FileSystem.makeFolder(above: places.destination)
        guard rename(places.partial, places.destination) == 0 else {
            throw FileSystem.error("rename", places.destination)
        }
        unlink(places.progress)
        // The name as well has to be on the disk before anything refers to it.
        if let slash = places.destination.lastIndex(of: "/") {
            let folder = open(String(places.destination[..<slash]), O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            if folder >= 0 {
                fsync(folder)
                close(folder)
            }
        }
    }

    // MARK: The notes

    /// Bytes that the notes of an unfinished file speak of; 0 where there are none. Looks without the lock.
    static func bytes(_ places: DownloadPlaces) -> Int {
        guard let entry = FileSystem.entry(places.progress), entry.size >= headerBytes + 16,
            let header = header(places.progress),
            let state = read(
                places, size: header.size, pieceBytes: header.pieceBytes,
                pieces: pieces(header.size, max(1, header.pieceBytes)), thisSystemStart)
        else { return 0 }
        return state.written.reduce(0, +)
    }

    /// Size and piece size by the notes.
    private static func header(_ path: String) -> (size: Int, pieceBytes: Int)? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var numbers: [UInt64] = [0, 0]
        guard pread(descriptor, &numbers, 16, 16) == 16, let size = Int(exactly: UInt64(littleEndian: numbers[0])),
            let pieceBytes = Int(exactly: UInt64(littleEndian: numbers[1])), HubFile.sizes.contains(size),
            pieceBytes > 0, HubFile.sizes.contains(pieceBytes), size / pieceBytes < 1 << 20
        else { return nil }
        return (size, pieceBytes)
    }

    private static func encoded(size: Int, pieceBytes: Int, _ systemStart: String, _ state: State) -> [UInt8] {
        var bytes = magic
        for number in [1, size, pieceBytes] { bytes += littleEndian(number) }
        bytes += Array(systemStart.utf8.prefix(40))
        bytes += [UInt8](repeating: 0, count: headerBytes - bytes.count)
        for number in state.written + state.synced { bytes += littleEndian(number) }
        return bytes
    }

    private static func littleEndian(_ number: Int) -> [UInt8] {
        (0 ..< 8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    /// The notes of an earlier run; nil when there are none that fit.
    private static func read(
        _ places: DownloadPlaces, size: Int, pieceBytes: Int, pieces: Int, _ systemStart: String
    ) -> State? {
        let descriptor = open(places.progress, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: headerBytes + 16 * pieces)
        // One byte more would be one that no notes of this size have.
        var beyond: UInt8 = 0
        guard pread(descriptor, &bytes, bytes.count, 0) == bytes.count,
            pread(descriptor, &beyond, 1, off_t(bytes.count)) == 0, FileSystem.isFile(places.partial, size: size)
        else { return nil }
        func number(_ offset: Int) -> Int? {
            Int(exactly: (0 ..< 8).reduce(UInt64(0)) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) })
        }
        guard Array(bytes[..<8]) == magic, number(8) == 1, number(16) == size, number(24) == pieceBytes else {
            return nil
        }
        let start = String(decoding: bytes[32 ..< headerBytes].prefix { $0 != 0 }, as: UTF8.self)
        var state = State(written: [], synced: [])
        for piece in 0 ..< pieces {
            let length = min((piece + 1) * pieceBytes, size) - min(piece * pieceBytes, size)
            guard let written = number(headerBytes + 8 * piece),
                let synced = number(headerBytes + 8 * (pieces + piece)), written <= length, synced <= length
            else { return nil }
            state.written.append(start == systemStart && !start.isEmpty ? written : synced)
            state.synced.append(synced)
        }
        return state
    }
}
