import SwanDiagnostics
import SwanTensor

/// The table of contents of a zip archive whose entries are stored, not compressed.
///
/// Sizes and places come from the central directory alone: `torch.save` writes zeros into the local
/// headers. Only the lengths that lead to an entry's data are taken from there.
///
/// Source: PKWARE APPNOTE.TXT 6.3, sections 4.3 to 4.5.
struct ZipArchive {
    /// An entry's data.
    struct Entry {
        /// In the archive.
        let range: Range<Int>
        let crc: UInt32
    }

    private let bytes: HostBytes
    private let origin: String
    let entries: [String: Entry]

    /// Reads the central directory.
    ///
    /// - Throws: `checkpoint.truncated` when the directory or what it points to is not there;
    ///   `checkpoint.unsupported` for compression, encryption and archives in parts;
    ///   `checkpoint.malformed` for names that occur twice or leave the archive, entries that overlap, and
    ///   headers that contradict each other.
    init(_ bytes: HostBytes, origin: String) throws(SwanError) {
        self.bytes = bytes
        self.origin = origin
        entries = try bytes.withBytes { (raw) throws(SwanError) in
            let directory = try Directory(raw, origin: origin)
            return try Self.entries(raw, directory, origin: origin)
        }
    }

    /// The data of an entry.
    func data(_ entry: Entry) -> HostBytes { bytes.slice(entry.range) }

    private static func fault(_ origin: String, _ problem: String, _ code: SwanError.Code = .malformed) -> SwanError {
        SwanError(code, "\(origin): \(problem).", advice: SwanError.fetchAgain)
    }

    /// Where the central directory lies.
    private struct Directory {
        let range: Range<Int>
        let entries: Int

        init(_ raw: UnsafeRawBufferPointer, origin: String) throws(SwanError) {
            guard let end = Self.endRecord(raw) else {
                throw SwanError(
                    .truncated, "\(origin): the zip archive has no end record.", advice: SwanError.fetchAgain)
            }
            var cursor = ByteCursor(raw, offset: end + 4, origin: origin)
            let disk = try cursor.read(UInt16.self, "the end record")
            let directoryDisk = try cursor.read(UInt16.self, "the end record")
            let entriesHere = try cursor.read(UInt16.self, "the end record")
            var entries = UInt64(try cursor.read(UInt16.self, "the end record"))
            var size = UInt64(try cursor.read(UInt32.self, "the end record"))
            var offset = UInt64(try cursor.read(UInt32.self, "the end record"))
            let isWide =
                disk == .max || directoryDisk == .max || entries == UInt64(UInt16.max) || size == UInt64(UInt32.max)
                || offset == UInt64(UInt32.max)
            var limit = end
            if let (wide, start) = try Self.wideEndRecord(raw, before: end, origin: origin) {
                limit = start
                guard wide.disks == 0, wide.entriesHere == wide.entries else {
                    throw fault(origin, "the zip archive is one part of several", .unsupported)
                }
                guard isWide || (wide.entries, wide.size, wide.offset) == (entries, size, offset) else {
                    throw fault(origin, "the two end records of the zip archive disagree")
                }
                (entries, size, offset) = (wide.entries, wide.size, wide.offset)
            } else {
                guard !isWide else { throw fault(origin, "the zip archive lacks its zip64 end record") }
                guard disk == 0, directoryDisk == 0, UInt64(entriesHere) == entries else {
                    throw fault(origin, "the zip archive is one part of several", .unsupported)
                }
            }
            range = try checkedRange(offset: offset, count: size, total: limit, of: "\(origin), central directory")
            // An entry takes at least 46 bytes, so this bounds the number of entries too.
            guard entries <= size / 46, let count = Int(exactly: entries) else {
                throw fault(origin, "the zip archive announces \(entries) entries in a directory of \(size) bytes")
            }
            self.entries = count
        }

        /// The place of the end record: the last one whose comment reaches to the end of the file.
        private static func endRecord(_ raw: UnsafeRawBufferPointer) -> Int? {
            guard raw.count >= 22 else { return nil }
            let lowest = Swift.max(0, raw.count - 22 - 0xFFFF)
            for offset in stride(from: raw.count - 22, through: lowest, by: -1)
            where raw.loadUnaligned(fromByteOffset: offset, as: UInt32.self).littleEndian == 0x0605_4B50 {
                let comment = raw.loadUnaligned(fromByteOffset: offset + 20, as: UInt16.self).littleEndian
                if offset + 22 + Int(comment) == raw.count { return offset }
            }
            return nil
        }

        private struct Wide {
            let disks: UInt32
            let entriesHere, entries, size, offset: UInt64
        }

        /// The zip64 end record and its place, if its locator stands before the end record.
        private static func wideEndRecord(
            _ raw: UnsafeRawBufferPointer, before end: Int, origin: String
        ) throws(SwanError) -> (Wide, Int)? {
            let what = "the zip64 end record"
            guard end >= 20 else { return nil }
            var locator = ByteCursor(raw, offset: end - 20, origin: origin)
            guard try locator.read(UInt32.self, what) == 0x0706_4B50 else { return nil }
            let recordDisk = try locator.read(UInt32.self, what)
            let place = try locator.read(UInt64.self, what)
            let start = try checkedRange(offset: place, count: 56, total: end - 20, of: "\(origin), \(what)").lowerBound
            var cursor = ByteCursor(raw, offset: start, origin: origin)
            guard try cursor.read(UInt32.self, what) == 0x0606_4B50 else {
                throw fault(origin, "\(what) is not where its locator says")
            }
            // The record's own size and two versions.
            _ = try cursor.read(bytes: 12, what)
            let disk = try cursor.read(UInt32.self, what)
            let directoryDisk = try cursor.read(UInt32.self, what)
            let wide = Wide(
                disks: recordDisk | disk | directoryDisk,
                entriesHere: try cursor.read(UInt64.self, what), entries: try cursor.read(UInt64.self, what),
                size: try cursor.read(UInt64.self, what), offset: try cursor.read(UInt64.self, what))
            return (wide, start)
        }
    }

    private static func entries(
        _ raw: UnsafeRawBufferPointer, _ directory: Directory, origin: String
    ) throws(SwanError) -> [String: Entry] {
        let bounded = UnsafeRawBufferPointer(rebasing: raw[..<directory.range.upperBound])
        var cursor = ByteCursor(bounded, offset: directory.range.lowerBound, origin: origin)
        var entries: [String: Entry] = [:]
        var occupied: [(range: Range<Int>, name: String)] = []
        for _ in 0 ..< directory.entries {
            let record = try DirectoryRecord(&cursor)
            let (entry, start) = try record.entry(raw, before: directory.range.lowerBound, origin: origin)
            guard entries.updateValue(entry, forKey: record.name) == nil else {
                throw fault(origin, "the zip archive holds '\(record.name.printable())' twice")
            }
            occupied.append((start ..< entry.range.upperBound, record.name))
        }
        occupied.sort { $0.range.lowerBound < $1.range.lowerBound }
        for (before, after) in zip(occupied, occupied.dropFirst())
        where before.range.upperBound > after.range.lowerBound {
            throw fault(
                origin,
                "the entries '\(before.name.printable())' and '\(after.name.printable())' of the zip archive overlap")
        }
        return entries
    }
}

/// An entry as the central directory describes it.
private struct DirectoryRecord {
    let name: String
    private let crc: UInt32
    private let size: UInt64
    private let headerOffset: UInt64

    /// Reads the record at the cursor.
    init(_ cursor: inout ByteCursor) throws(SwanError) {
        let what = "the central directory of the zip archive"
        let origin = cursor.origin
        func fault(_ problem: String, _ code: SwanError.Code = .malformed) -> SwanError {
            SwanError(code, "\(origin): \(problem).", advice: SwanError.fetchAgain)
        }
        guard try cursor.read(UInt32.self, what) == 0x0201_4B50 else {
            throw fault("\(what) does not hold the entries it announces")
        }
        // Two versions.
        _ = try cursor.read(UInt32.self, what)
        let flags = try cursor.read(UInt16.self, what)
        let method = try cursor.read(UInt16.self, what)
        // Time and date.
        _ = try cursor.read(UInt32.self, what)
        crc = try cursor.read(UInt32.self, what)
        var stored = UInt64(try cursor.read(UInt32.self, what))
        var size = UInt64(try cursor.read(UInt32.self, what))
        let nameLength = try cursor.read(UInt16.self, what)
        let extraLength = try cursor.read(UInt16.self, what)
        let commentLength = try cursor.read(UInt16.self, what)
        let disk = try cursor.read(UInt16.self, what)
        // Attributes, of two kinds.
        _ = try cursor.read(bytes: 6, what)
        var offset = UInt64(try cursor.read(UInt32.self, what))
        let name = try cursor.text(bytes: UInt64(nameLength), "a name in the zip archive")
        let extra = try cursor.read(bytes: UInt64(extraLength), what)
        _ = try cursor.read(bytes: UInt64(commentLength), what)

        if let problem = nameFault(name) { throw fault("a name in the zip archive, '\(name.printable())', \(problem)") }
        let leaves = name.hasPrefix("/") || name.contains("\\") || name.split(separator: "/").contains("..")
        guard !name.isEmpty, !leaves else {
            throw fault("the name '\(name.printable())' leaves the zip archive")
        }
        // Bits 0, 6 and 13: encrypted data, strong encryption, masked headers.
        guard flags & 0x2041 == 0 else { throw fault("'\(name.printable())' is encrypted", .unsupported) }
        guard method == 0 else {
            throw SwanError(
                .unsupported,
                "\(origin): '\(name.printable())' is compressed (method \(method)); PyTorch stores entries as they are.",
                advice: "Unpack the archive and pack it again without compression, or load and save it with PyTorch.")
        }
        // The zip64 field holds those of the three that did not fit, in this order.
        var wide = try Self.wideField(extra, origin: origin)
        let tooLarge = UInt64(UInt32.max)
        if size == tooLarge { size = try wide.read(UInt64.self, what) }
        if stored == tooLarge { stored = try wide.read(UInt64.self, what) }
        if offset == tooLarge { offset = try wide.read(UInt64.self, what) }
        guard stored == size else {
            throw fault("'\(name.printable())' is stored in \(stored) bytes but has \(size)")
        }
        guard disk == 0 || disk == .max else { throw fault("the zip archive is one part of several", .unsupported) }
        self.name = name
        self.size = size
        headerOffset = offset
    }

    /// The contents of the zip64 extra field; empty when there is none.
    private static func wideField(_ extra: UnsafeRawBufferPointer, origin: String) throws(SwanError) -> ByteCursor {
        var fields = ByteCursor(extra, origin: origin)
        while fields.remaining >= 4 {
            let id = try fields.read(UInt16.self, "an extra field")
            let length = try fields.read(UInt16.self, "an extra field")
            let contents = try fields.read(bytes: UInt64(length), "an extra field")
            if id == 1 { return ByteCursor(contents, origin: origin) }
        }
        return ByteCursor(UnsafeRawBufferPointer(start: nil, count: 0), origin: origin)
    }

    /// The entry, and where its local header starts.
    ///
    /// - Parameter limit: where the central directory begins; entries lie before it.
    func entry(
        _ raw: UnsafeRawBufferPointer, before limit: Int, origin: String
    ) throws(SwanError) -> (ZipArchive.Entry, start: Int) {
        func what() -> String { "the local header of '\(name.printable())'" }
        func fault(_ problem: String) -> SwanError {
            SwanError(.malformed, "\(origin): \(what()) \(problem).", advice: SwanError.fetchAgain)
        }
        let start = try checkedRange(offset: headerOffset, count: 30, total: limit, of: "\(origin), \(what())")
            .lowerBound
        let bounded = UnsafeRawBufferPointer(rebasing: raw[..<limit])
        var cursor = ByteCursor(bounded, offset: start, origin: origin)
        guard try cursor.read(UInt32.self, what()) == 0x0403_4B50 else {
            throw fault("is not where the central directory says")
        }
        // Version, flags, method, time, date, checksum.
        _ = try cursor.read(bytes: 14, what())
        let stored = try cursor.read(UInt32.self, what())
        let unpacked = try cursor.read(UInt32.self, what())
        let nameLength = try cursor.read(UInt16.self, what())
        let extraLength = try cursor.read(UInt16.self, what())
        guard try cursor.read(bytes: UInt64(nameLength), what()).elementsEqual(name.utf8) else {
            throw fault("has another name")
        }
        _ = try cursor.read(bytes: UInt64(extraLength), what())
        // Zero where the sizes follow the data, all ones where they stand in a zip64 field.
        for local in [stored, unpacked] where local != 0 && local != .max && UInt64(local) != size {
            throw fault("gives \(local) bytes, the central directory \(size)")
        }
        let range = try checkedRange(
            offset: UInt64(cursor.offset), count: size, total: limit, of: "\(origin), '\(name.printable())'")
        return (ZipArchive.Entry(range: range, crc: crc), start)
    }
}
