import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct MappedFileTests {
    @Test func mapsAFileAndItsSlicesOutliveIt() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/a"
            try Data(0 ..< 200).write(to: URL(fileURLWithPath: path))
            func slice() throws -> HostBytes { try MappedFile(path: path).bytes.slice(50 ..< 150).slice(10 ..< 20) }
            #expect(try slice().array == Array(60 ..< 70))
        }
    }

    @Test func saysWhatIsWrong() throws {
        try withTemporaryFolder { folder in
            try expectError(.fileMissing, mentions: ["no file"]) { try MappedFile(path: folder + "/none") }
            try expectError(.unreadable, mentions: ["folder"]) { try MappedFile(path: folder) }
            try Data().write(to: URL(fileURLWithPath: folder + "/empty"))
            try expectError(.truncated, mentions: ["empty"]) { try MappedFile(path: folder + "/empty") }
            try expectError(.fileMissing) { try MappedFile(path: folder + "/empty/below") }
            mkfifo(folder + "/pipe", 0o600)
            try expectError(.unreadable, mentions: ["pipe"]) { try MappedFile(path: folder + "/pipe") }
            try Data([1]).write(to: URL(fileURLWithPath: folder + "/half.part"))
            try expectError(.fileMissing, mentions: ["unfinished"]) { try MappedFile(path: folder + "/half") }
        }
    }

    @Test func checksRanges() throws {
        #expect(try checkedRange(offset: 3, count: 4, total: 7, of: "x") == 3 ..< 7)
        #expect(try checkedRange(offset: 7, count: 0, total: 7, of: "x") == 7 ..< 7)
        for (offset, count) in [(UInt64(3), UInt64(5)), (8, 0), (.max, 1), (1, .max), (1 << 63, 0), (0, 1 << 63)] {
            try expectError(.truncated) { try checkedRange(offset: offset, count: count, total: 7, of: "x") }
        }
    }
}
