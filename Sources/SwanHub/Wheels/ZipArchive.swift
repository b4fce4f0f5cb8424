import CSwanSystem
import Glibc
package import SwanDiagnostics

/// A zip file, read by its directory at the end.
///
/// Source: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16. No encryption, no parts on several disks, no
/// sizes from 4 GiB on.
package final class ZipArchive {
    /// A file inside.
    package struct Entry: Sendable, Hashable {
        /// Its path.
        package var path: String
        /// Its bytes.
        package var size: Int
        fileprivate var compressed: Int
        fileprivate var isDeflated: Bool
        fileprivate var checksum: UInt32
        fileprivate var header: Int
    }

    /// The files inside.
    package private(set) var entries: [Entry] = []
    private let path: String
    private let descriptor: Int32
    private let size: Int

    /// Reads the directory.
    ///
    /// - Throws: `hub.bad-answer` for what is no zip file, is damaged, or uses what is not read here.
    package init(_ path: String) throws(SwanError) {
        self.path = path
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0, let entry = FileSystem.entry(path) else { throw FileSystem.error("open", path) }
        size = entry.size
        let tail = try bytes(max(0, size - 65_557) ..< size)
        // The last record; its comment may hold anything, so that its length has to fit.
        guard
            let end = tail.indices.dropLast(21).reversed().first(where: { place in
                number(tail, place, 4) == 0x0605_4B50 && place + 22 + number(tail, place + 20, 2) == tail.count
            })
        else { throw damaged("it has no end of a directory") }
        let (count, length, offset) = (number(tail, end + 10, 2), number(tail, end + 12, 4), number(tail, end + 16, 4))
        guard number(tail, end + 4, 2) == 0, count != 0xFFFF, offset != 0xFFFF_FFFF else {
            throw damaged("it has several parts, or is larger than is read here")
        }
        guard offset + length <= size else { throw damaged("its directory lies outside") }
        let directory = try bytes(offset ..< offset + length)
        var place = 0
        for _ in 0 ..< count {
            guard place + 46 <= directory.count, number(directory, place, 4) == 0x0201_4B50 else {
                throw damaged("its directory is cut short")
            }
            let name = number(directory, place + 28, 2)
            let rest = number(directory, place + 30, 2) + number(directory, place + 32, 2)
            guard place + 46 + name + rest <= directory.count else { throw damaged("its directory is cut short") }
            let method = number(directory, place + 10, 2)
            let entry = Entry(
                path: String(decoding: directory[(place + 46) ..< (place + 46 + name)], as: UTF8.self),
                size: number(directory, place + 24, 4), compressed: number(directory, place + 20, 4),
                isDeflated: method == 8, checksum: UInt32(number(directory, place + 16, 4)),
                header: number(directory, place + 42, 4))
            guard number(directory, place + 8, 2) & 1 == 0, method == 0 || method == 8,
                ![entry.size, entry.compressed, entry.header].contains(0xFFFF_FFFF)
            else { throw damaged("\(entry.path.printable()) is encrypted, or packed in a way that is not read here") }
            entries.append(entry)
            place += 46 + name + rest
        }
    }

    deinit { close(descriptor) }

    private func damaged(_ what: String) -> SwanError {
        SwanError(
            .badAnswer, "\(path.printable()) is no zip file that can be used: \(what).", advice: "Fetch it again.")
    }

    private func number(_ bytes: [UInt8], _ place: Int, _ count: Int) -> Int {
        (0 ..< count).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) }
    }

    private func bytes(_ range: Range<Int>) throws(SwanError) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var done = 0
        while done < bytes.count {
            let count = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done, off_t(range.lowerBound + done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw damaged("it ends too early") }
            done += count
        }
        return bytes
    }

    /// Unpacks a file, verified by its checksum, and puts it in place as a whole.
    ///
    /// - Throws: `hub.bad-answer` for a damaged file; `hub.cache-unwritable`.
    package func unpack(_ entry: Entry, to destination: String) throws(SwanError) {
        guard entry.header + 30 <= size else { throw damaged("\(entry.path.printable()) lies outside") }
        let header = try bytes(entry.header ..< entry.header + 30)
        let start = entry.header + 30 + number(header, 26, 2) + number(header, 28, 2)
        guard number(header, 0, 4) == 0x0403_4B50, start + entry.compressed <= size else {
            throw damaged("\(entry.path.printable()) lies outside")
        }
        try FileSystem.makeFolder(above: destination)
        let temporary = "\(destination).\(getpid()).new"
        let output = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o777)
        guard output >= 0 else { throw FileSystem.error("open", temporary) }
        do throws(SwanError) {
            try write(entry, start ..< start + entry.compressed, to: output, temporary)
            guard fsync(output) == 0 else { throw FileSystem.error("fsync", temporary) }
        } catch {
            close(output)
            unlink(temporary)
            throw error
        }
        close(output)
        guard rename(temporary, destination) == 0 else {
            let error = FileSystem.error("rename", destination)
            unlink(temporary)
            throw error
        }
    }

    /// Unpacks several files into one folder: all of them, or none.
    ///
    /// They are unpacked beside their places, and go there when all of them are right, in the order that is given: the
    /// file by which the others are found comes last.
    ///
    /// - Parameters:
    ///   - files: which, and their names in the folder.
    ///   - freeBytes: bytes that are free on the disk of a path, if that is known; a test says so itself.
    ///   - isCancelled: asked before each file.
    ///   - begin: called before each file.
    /// - Throws: as ``unpack(_:to:)``; `hub.no-room`, `cancelled`. Nothing has changed then.
    package func unpack(
        _ files: [(entry: Entry, name: String)], into folder: String,
        freeBytes: (String) -> Int? = { FileSystem.freeBytes($0) }, isCancelled: () -> Bool, begin: (Entry) -> Void
    ) throws(SwanError) {
        let needed = files.reduce(0) { $0 + $1.entry.size }
        if let free = freeBytes(folder), needed > free {
            throw SwanError(
                .noRoom,
                "\(formatted(bytes: needed)) are needed in \(folder.printable()), and \(formatted(bytes: free)) are free"
                    + " there.", advice: "Make room, or set XDG_DATA_HOME to a folder on another disk.")
        }
        let lockPath = folder + "/.unpacking.lock"
        guard let lock = try FileLock(lockPath) else {
            throw SwanError(
                .cacheUnwritable, "Another program unpacks into \(folder.printable()).",
                advice: "Wait for it, then run the same command again.")
        }
        try withExtendedLifetime(lock) { () throws(SwanError) in
            let apart = folder + "/.unpacking"
            func clear() {
                for name in FileSystem.names(apart) { unlink("\(apart)/\(name)") }
                rmdir(apart)
            }
            // A program that was killed left it.
            clear()
            defer {
                clear()
                unlink(lockPath)
            }
            for (entry, name) in files {
                guard !isCancelled() else {
                    throw SwanError(.cancelled, "Stopped on request.", advice: "The same command goes on from there.")
                }
                begin(entry)
                try unpack(entry, to: "\(apart)/\(name)")
            }
            for (_, name) in files where rename("\(apart)/\(name)", "\(folder)/\(name)") != 0 {
                throw FileSystem.error("rename", "\(folder)/\(name)")
            }
        }
    }

    private func write(_ entry: Entry, _ range: Range<Int>, to output: Int32, _ path: String) throws(SwanError) {
        var stream = z_stream()
        if entry.isDeflated {
            guard swan_inflate_begin(&stream) == Z_OK else { throw SwanError(.fault, "zlib cannot be started.") }
        }
        defer { if entry.isDeflated { inflateEnd(&stream) } }
        var buffer = [UInt8](repeating: 0, count: 1 << 20)
        var (offset, written, checksum) = (range.lowerBound, 0, crc32(0, nil, 0))

        func put(_ bytes: RawSpan) throws(SwanError) {
            // A small file that unpacks to a huge one is refused before it fills the disk.
            guard written + bytes.byteCount <= entry.size else {
                throw damaged("\(entry.path.printable()) is larger than its directory says")
            }
            try FileSystem.write(bytes, to: output, at: written, path)
            checksum = bytes.withUnsafeBytes {
                crc32(checksum, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt32($0.count))
            }
            written += bytes.byteCount
        }

        var isEnded = !entry.isDeflated
        while offset < range.upperBound {
            var input = try bytes(offset ..< min(offset + (1 << 20), range.upperBound))
            offset += input.count
            guard entry.isDeflated else {
                try put(input.span.bytes)
                continue
            }
            var used = 0
            while used < input.count, !isEnded {
                let status: Int32 = input.withUnsafeMutableBufferPointer { input in
                    buffer.withUnsafeMutableBufferPointer { buffer in
                        stream.next_in = input.baseAddress.map { $0 + used }
                        stream.avail_in = UInt32(input.count - used)
                        stream.next_out = buffer.baseAddress
                        stream.avail_out = UInt32(buffer.count)
                        return inflate(&stream, Z_NO_FLUSH)
                    }
                }
                guard status == Z_OK || status == Z_STREAM_END else {
                    throw damaged("\(entry.path.printable()) cannot be unpacked")
                }
                used = input.count - Int(stream.avail_in)
                try put(buffer.span.extracting(first: buffer.count - Int(stream.avail_out)).bytes)
                isEnded = status == Z_STREAM_END
            }
        }
        // What zlib still holds when its input is used up.
        while !isEnded {
            let status: Int32 = buffer.withUnsafeMutableBufferPointer { buffer in
                stream.avail_in = 0
                stream.next_out = buffer.baseAddress
                stream.avail_out = UInt32(buffer.count)
                return inflate(&stream, Z_NO_FLUSH)
            }
            let count = buffer.count - Int(stream.avail_out)
            guard status == Z_OK || status == Z_STREAM_END, count > 0 || status == Z_STREAM_END else {
                throw damaged("\(entry.path.printable()) ends too early")
            }
            try put(buffer.span.extracting(first: count).bytes)
            isEnded = status == Z_STREAM_END
        }
        guard written == entry.size, UInt32(checksum) == entry.checksum else {
            throw damaged("\(entry.path.printable()) is not what its checksum says")
        }
    }
}
