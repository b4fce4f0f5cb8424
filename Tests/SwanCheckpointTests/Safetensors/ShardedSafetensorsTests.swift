import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct ShardedSafetensorsTests {
    /// Two shards and their index, in a folder of their own.
    private func withShards(map: [String: String]? = nil, _ body: (String) throws -> Void) throws {
        try withTemporaryFolder { folder in
            try SafetensorsWriter.write(["a": HostTensor([2], [1, 2])], to: folder + "/m-00001-of-00002.safetensors")
            try SafetensorsWriter.write(["b": HostTensor([1], [3])], to: folder + "/m-00002-of-00002.safetensors")
            let map = map ?? ["a": "m-00001-of-00002.safetensors", "b": "m-00002-of-00002.safetensors"]
            let index = try JSONEncoder().encode(["weight_map": map])
            try index.write(to: URL(fileURLWithPath: folder + "/m.safetensors.index.json"))
            try body(folder)
        }
    }

    @Test func readsEachTensorFromItsShard() throws {
        try withShards { folder in
            for path in [folder, folder + "/", folder + "/m.safetensors.index.json"] {
                let source = try openWeights(at: path)
                #expect(source.names == ["a", "b"])
                try expect(source, "a", [2], .float32, [1, 2])
                try expect(source, "b", [1], .float32, [3])
                try expectError(.tensorMissing) { try source.tensor("c") }
            }
        }
    }

    @Test func namesMissingShards() throws {
        try withShards { folder in
            try FileManager.default.removeItem(atPath: folder + "/m-00002-of-00002.safetensors")
            try Data([1]).write(to: URL(fileURLWithPath: folder + "/m-00002-of-00002.safetensors.incomplete"))
            try expectError(.fileMissing, mentions: ["m-00002-of-00002.safetensors", "unfinished"]) {
                try openWeights(at: folder)
            }
        }
    }

    @Test func refusesAShardThatIsStillDownloaded() throws {
        try withShards { folder in
            try Data([1]).write(to: URL(fileURLWithPath: folder + "/m-00001-of-00002.safetensors.aria2"))
            try expectError(.truncated, mentions: ["m-00001", "unfinished"]) { try openWeights(at: folder) }
        }
    }

    @Test func refusesShardsThatAreNotTheIndexs() throws {
        try withShards(map: ["a": "m-00002-of-00002.safetensors", "b": "m-00001-of-00002.safetensors"]) { folder in
            try expectError(.tensorMissing, mentions: ["00002", "'a'"]) { try openWeights(at: folder) }
        }
        try withShards(map: ["b": "m-00002-of-00002.safetensors"]) { folder in
            try SafetensorsWriter.write(
                ["b": HostTensor([1], [3]), "extra": HostTensor([1], [3])], to: folder + "/m-00002-of-00002.safetensors"
            )
            try expectError(.tensorsLeftOver, mentions: ["'extra'"]) { try openWeights(at: folder) }
        }
        try withShards { folder in
            let path = folder + "/m-00002-of-00002.safetensors"
            let bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            try bytes.dropLast().write(to: URL(fileURLWithPath: path))
            try expectError(.truncated, mentions: ["m-00002"]) { try openWeights(at: folder) }
        }
    }

    @Test(arguments: [
        "[]", "{}", #"{"weight_map":{}}"#, #"{"weight_map":{"a":1}}"#, #"{"weight_map":{"a":""}}"#,
        #"{"weight_map":{"a":"../b.safetensors"}}"#, #"{"weight_map":{"a":"/b.safetensors"}}"#,
        #"{"weight_map":{"a":"x/../../b.safetensors"}}"#, #"{"weight_map":{"a":".."}}"#,
        #"{"weight_map":{"a":"b\u0000.safetensors"}}"#, #"{"weight_map":{"a\n":"b.safetensors"}}"#,
    ])
    func refusesIndex(text: String) throws {
        try expectError(.malformed) {
            try ShardedSafetensors.weightMap(HostBytes(Array(text.utf8)), origin: "test")
        }
    }
}
