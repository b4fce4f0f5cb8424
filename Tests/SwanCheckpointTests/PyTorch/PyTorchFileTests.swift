import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct PyTorchFileTests {
    @Test func readsWhatTorchSaves() throws {
        let file = try PyTorchFile(path: fixture("state.pth"))
        #expect(file.names.count == 19 && file.names == file.names.sorted())
        try expect(file, "f32", [3, 4], .float32, ramp(12))
        try expect(file, "f64", [2], .float64, ramp(2))
        try expect(file, "f16", [5], .float16, ramp(5))
        try expect(file, "bf16", [2, 3], .bfloat16, ramp(6))
        try expect(file, "f8", [4], .float8E4M3, ramp(4))
        try expect(file, "i64", [2], .int64, [-1, 0x1p40])
        try expect(file, "i32", [2], .int32, [-1, 70000])
        try expect(file, "i16", [2], .int16, [-1, 300])
        try expect(file, "i8", [2], .int8, [-1, 100])
        try expect(file, "u8", [2], .uint8, [0, 200])
        try expect(file, "bool", [3], .bool, [1, 0, 1])
        try expect(file, "scalar", [], .float32, [2.5])
        try expect(file, "empty", [0, 4], .float32, [])
        try expect(file, "parameter", [2, 2], .float32, ramp(4))
        try expectError(.tensorMissing) { try file.tensor("nothing") }
    }

    @Test func gathersViewsOfASharedStorage() throws {
        let file = try PyTorchFile(path: fixture("state.pth"))
        try expect(file, "shared", [3, 4], .float32, ramp(12))
        try expect(file, "row", [4], .float32, [2, 2.5, 3, 3.5])
        try expect(file, "columns", [3, 2], .float32, [0.5, 1, 2.5, 3, 4.5, 5])
        try expect(file, "transposed", [3, 2], .float32, [0, 1.5, 0.5, 2, 1, 2.5])
        var permuted: [Float] = []
        for k in 0 ..< 4 {
            for row in 0 ..< 6 { permuted.append(Float(row * 4 + k) / 2) }
        }
        try expect(file, "permuted", [4, 2, 3], .float32, permuted)
    }

    @Test(arguments: ["wrapped.pth", "zip64.pth"])
    func unwrapsAStateDict(name: String) throws {
        let file = try PyTorchFile(path: fixture(name))
        #expect(file.names == ["0.bias", "0.weight", "1.bias", "1.weight"])
        try expect(file, "0.weight", [2, 3], .float32, ramp(6))
        try expect(file, "1.weight", [2, 2, 1, 2, 2], .float32, ramp(16))
    }

    @Test(arguments: [
        ("evil.pth", ["posix.system", "never runs"]), ("compressed.pth", ["compressed (method 8)"]),
        ("expanded.pth", ["'wide'", "repeats"]), ("bare_tensor.pth", ["single object"]),
        ("legacy.pth", ["before PyTorch 1.6"]),
    ])
    func refuses(name: String, words: [String]) throws {
        try expectError(.unsupported, mentions: words) { try PyTorchFile(path: fixture(name)) }
    }

    @Test(arguments: ["state.pth", "zip64.pth"])
    func everyTruncationThrows(name: String) throws {
        let bytes = try contents(of: name)
        for count in 0 ..< bytes.count {
            try expectError(.truncated) { try PyTorchFile(HostBytes(Array(bytes[..<count])), origin: "test") }
        }
    }

    @Test func aFlippedBitInThePickleIsNoticed() throws {
        var bytes = try contents(of: "state.pth")
        let place = try #require(bytes.firstRange(of: Array("transposed".utf8)))
        bytes[place.lowerBound] ^= 1
        try expectError(.malformed, mentions: ["checksum"]) { try PyTorchFile(HostBytes(bytes), origin: "test") }
    }
}

/// A stored zip archive, each field of which can be made wrong.
private struct Zip {
    struct Entry {
        var name: String
        var data: [UInt8]
        var method: UInt16 = 0
        var flags: UInt16 = 0x0808
        var localName: String?
        var localSize: UInt32 = 0
        var stored: UInt32?
        var size: UInt32?
        var offset: UInt32?
        var disk: UInt16 = 0
        var extra: [UInt8] = []
    }

    var entries: [Entry]
    var count: UInt16?
    var directorySize: UInt32?
    var directoryOffset: UInt32?
    var disk: UInt16 = 0

    var bytes: [UInt8] {
        var body: [UInt8] = []
        var directory: [UInt8] = []
        for entry in entries {
            let start = UInt32(body.count)
            let crc = entry.data.withUnsafeBytes { crc32($0) }
            let name = Array((entry.localName ?? entry.name).utf8)
            body +=
                littleEndian(UInt32(0x0403_4B50)) + littleEndian(UInt16(0)) + littleEndian(entry.flags)
                + littleEndian(entry.method)
            body += littleEndian(UInt64(0)) + littleEndian(entry.localSize) + littleEndian(entry.localSize)
            // Padding that stands in the local header alone, as in PyTorch's archives.
            body +=
                littleEndian(UInt16(name.count)) + littleEndian(UInt16(7)) + name + [
                    0x46, 0x42, 3, 0, 0x5A, 0x5A, 0x5A,
                ]
            body += entry.data
            let size = UInt32(entry.data.count)
            directory +=
                littleEndian(UInt32(0x0201_4B50)) + littleEndian(UInt32(0)) + littleEndian(entry.flags)
                + littleEndian(entry.method)
            directory +=
                littleEndian(UInt32(0)) + littleEndian(crc) + littleEndian(entry.stored ?? size)
                + littleEndian(entry.size ?? size)
            directory +=
                littleEndian(UInt16(entry.name.utf8.count)) + littleEndian(UInt16(entry.extra.count))
                + littleEndian(UInt16(0))
            directory +=
                littleEndian(entry.disk) + littleEndian(UInt16(0)) + littleEndian(UInt32(0))
                + littleEndian(entry.offset ?? start)
            directory += Array(entry.name.utf8) + entry.extra
        }
        let count = count ?? UInt16(entries.count)
        var end =
            littleEndian(UInt32(0x0605_4B50)) + littleEndian(disk) + littleEndian(disk) + littleEndian(count)
            + littleEndian(count)
        end +=
            littleEndian(directorySize ?? UInt32(directory.count)) + littleEndian(directoryOffset ?? UInt32(body.count))
        return body + directory + end + littleEndian(UInt16(0))
    }
}

@Suite struct ZipArchiveTests {
    private static let pickle: [UInt8] = tensorPickle()

    /// An archive of one tensor, after `change`.
    private func archive(_ change: (inout Zip) -> Void) -> [UInt8] {
        var zip = Zip(entries: [
            .init(name: "a/data.pkl", data: Self.pickle), .init(name: "a/byteorder", data: Array("little".utf8)),
            .init(name: "a/data/0", data: [UInt8](repeating: 0, count: 24)),
        ])
        change(&zip)
        return zip.bytes
    }

    private func open(_ bytes: [UInt8]) throws -> PyTorchFile {
        try PyTorchFile(HostBytes(bytes), origin: "test.pth")
    }

    @Test func readsAnArchiveInAnyOrder() throws {
        for change: (inout Zip) -> Void in [
            { _ in }, { $0.entries.reverse() }, { $0.entries.remove(at: 1) }, { $0.entries[2].localSize = 24 },
            { $0.entries[2].localSize = .max },
        ] {
            try expect(open(archive(change)), "w", [2, 3], .float32, [0, 0, 0, 0, 0, 0])
        }
    }

    @Test func refusesWhatNoTorchSaveWrites() throws {
        let cases: [(String, SwanError.Code, (inout Zip) -> Void)] = [
            ("name twice", .malformed, { $0.entries[1].name = "a/data.pkl" }),
            ("name leaves", .malformed, { $0.entries[1].name = "a/../b" }),
            ("absolute name", .malformed, { $0.entries[1].name = "/a/b" }),
            ("backslash", .malformed, { $0.entries[1].name = "a\\b" }),
            ("control character", .malformed, { $0.entries[1].name = "a/\u{1B}[2J" }),
            ("empty name", .malformed, { $0.entries[1].name = "" }),
            ("deflated", .unsupported, { $0.entries[2].method = 8 }),
            ("encrypted", .unsupported, { $0.entries[2].flags |= 1 }),
            ("sizes differ", .malformed, { $0.entries[2].stored = 23 }),
            ("other local size", .malformed, { $0.entries[2].localSize = 23 }),
            ("other local name", .malformed, { $0.entries[2].localName = "a/data/1" }),
            (
                "longer than the file", .truncated,
                {
                    $0.entries[2].stored = 1000
                    $0.entries[2].size = 1000
                }
            ),
            (
                "overlaps the next", .malformed,
                {
                    $0.entries[1].stored = 20
                    $0.entries[1].size = 20
                }
            ),
            (
                "same place twice", .malformed,
                {
                    $0.entries[2].offset = 0
                    $0.entries[2].localName = "a/data.pkl"
                }
            ),
            ("local header elsewhere", .malformed, { $0.entries[2].offset = 1 }),
            ("local header beyond the end", .truncated, { $0.entries[2].offset = 1 << 30 }),
            ("no zip64 field", .truncated, { $0.entries[2].size = .max }),
            (
                "huge zip64 size", .truncated,
                {
                    $0.entries[2].size = .max
                    $0.entries[2].stored = .max
                    $0.entries[2].extra =
                        littleEndian(UInt16(1)) + littleEndian(UInt16(16)) + littleEndian(UInt64.max)
                        + littleEndian(UInt64.max)
                }
            ),
            (
                "extra field without end", .truncated,
                { $0.entries[2].extra = littleEndian(UInt16(9)) + littleEndian(UInt16(99)) }
            ),
            ("another disk", .unsupported, { $0.entries[2].disk = 1 }),
            ("archive in parts", .unsupported, { $0.disk = 1 }),
            ("more entries than there are", .malformed, { $0.count = 400 }),
            ("one entry too many", .malformed, { $0.count = 4 }),
            ("zip64 count without record", .malformed, { $0.count = .max }),
            ("directory beyond the end", .truncated, { $0.directoryOffset = 1 << 30 }),
            ("directory elsewhere", .malformed, { $0.directoryOffset = 10 }),
            ("directory too large", .truncated, { $0.directorySize = 1 << 30 }),
            ("big-endian", .unsupported, { $0.entries[1].data = Array("big".utf8) }),
            ("no pickle", .unsupported, { $0.entries[0].name = "a/data.pk" }),
            ("two pickles", .unsupported, { $0.entries[1].name = "b/data.pkl" }),
            ("pickle too deep", .malformed, { $0.entries[0].name = "a/b/data.pkl" }),
            ("another root", .malformed, { $0.entries[1].name = "b/byteorder" }),
            ("TorchScript", .unsupported, { $0.entries[1].name = "a/constants.pkl" }),
            ("no storage", .malformed, { $0.entries[2].name = "a/data/1" }),
            ("storage too short", .truncated, { $0.entries[2].data.removeLast() }),
        ]
        for (what, code, change) in cases {
            try expectError(code, mentions: ["test.pth"], "\(what)") { try open(archive(change)) }
        }
    }
}
