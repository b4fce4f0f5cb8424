import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct SafetensorsWriterTests {
    @Test func whatIsWrittenReadsBack() throws {
        let fixture = try SafetensorsFile(path: fixture("types.safetensors"))
        var tensors: [String: HostTensor] = [:]
        for name in fixture.names where fixture.unsupported(name) == nil { tensors[name] = try fixture.tensor(name) }
        tensors["quoted \" \\ ä"] = HostTensor([1, 3], [1, 2, 3])
        let metadata = ["sigma": "0.5", "line\n\u{1}": "\"\\"]
        try withTemporaryFolder { folder in
            let path = folder + "/out.safetensors"
            for _ in 0 ..< 2 {
                try SafetensorsWriter.write(tensors, metadata: metadata, to: path)
                let file = try SafetensorsFile(path: path)
                #expect(file.metadata == metadata)
                #expect(file.names == tensors.keys.sorted())
                for (name, tensor) in tensors {
                    let read = try file.tensor(name)
                    #expect(read.shape == tensor.shape && read.dtype == tensor.dtype)
                    #expect(read.bytes.array == tensor.bytes.array, "\(name)")
                }
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["out.safetensors"])
        }
    }

    @Test func dataBeginsAtAMultipleOfEight() throws {
        for name in ["a", "ab", "abc", "abcdefg"] {
            let header = try SafetensorsWriter.layout([AnnouncedTensor(name, [1], .float32)], metadata: [:]).header
            #expect(header.count % 8 == 0)
        }
        let (empty, order, size) = try SafetensorsWriter.layout([], metadata: [:])
        #expect(empty.array == littleEndian(UInt64(8)) + Array("{}      ".utf8) && order.isEmpty && size == 16)
    }

    @Test func refusesWhatTheFormatLacks() throws {
        let block = try HostTensor([32], .q80, HostBytes([UInt8](repeating: 0, count: 34)))
        try withTemporaryFolder { folder in
            try expectError(.unsupported, mentions: ["'q'"]) {
                try SafetensorsWriter.write(["q": block], to: folder + "/a.safetensors")
            }
            for name in ["__metadata__", "a\n", String(repeating: "n", count: 1025)] {
                try expectError(.fault) {
                    try SafetensorsWriter.write([name: HostTensor([1], [1])], to: folder + "/a.safetensors")
                }
            }
            try expectError(.unwritable) { try SafetensorsWriter.write([:], to: folder + "/none/a.safetensors") }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
            try FileManager.default.createDirectory(atPath: folder + "/taken/x", withIntermediateDirectories: true)
            try expectError(.unwritable) { try SafetensorsWriter.write([:], to: folder + "/taken") }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["taken"])
        }
    }
}
