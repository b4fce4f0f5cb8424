import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct CheckpointOutputTests {
    private let tensors: [String: HostTensor] = [
        "a.weight": HostTensor([3, 64], ramp(192)), "b.weight": HostTensor([2, 1, 2, 2, 2], ramp(16)),
        "c": HostTensor([], [2.5]), "d": HostTensor([0, 4], []),
    ]

    private func announced(_ changes: [String: DType] = [:]) -> [AnnouncedTensor] {
        tensors.keys.sorted().map { AnnouncedTensor($0, tensors[$0]?.shape ?? [], changes[$0] ?? .float32) }
    }

    private func files(in folder: String) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
    }

    @Test(arguments: [DType.q40, .q41, .q50, .q51, .q80, .float16, .bfloat16, .float32]) func ggufComesBack(type: DType)
        throws
    {
        try withTemporaryFolder { folder in
            let path = folder + "/x.gguf"
            let metadata: [String: GGUFValue] = [
                "general.architecture": .string("wan"), "general.file_type": .integer(7), "big": .integer(1 << 40),
                "negative": .integer(-3), "flag": .bool(true), "number": .float(0.1),
            ]
            let output = try GGUFOutput(announced(["a.weight": type]), metadata: metadata, to: path)
            #expect(try files(in: folder).allSatisfy { $0.hasSuffix(".tmp") })
            let rounded = try #require(tensors["a.weight"]).rounded(to: type)
            // Not in the order in which they were announced.
            for name in ["d", "c", "b.weight"] { try output.put(name, try #require(tensors[name])) }
            try expectError(.fault, mentions: ["1 announced", "a.weight"]) { try output.finish() }
            try output.put("a.weight", rounded)
            try expectError(.fault) { try output.put("a.weight", rounded) }
            try output.finish()
            #expect(try files(in: folder) == ["x.gguf"])
            #expect(try Data(contentsOf: URL(fileURLWithPath: path)).count == output.bytes)
            let file = try GGUFFile(path: path)
            #expect(file.metadata == metadata)
            #expect(file.names == tensors.keys.sorted())
            for (name, tensor) in tensors {
                let expected = name == "a.weight" ? rounded : tensor
                #expect(file.info(name) == TensorInfo(expected.shape, expected.dtype))
                #expect(try file.tensor(name).bytes.array == expected.bytes.array)
            }
        }
    }

    @Test func shardsComeBack() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/model"
            let others = ["config.json": HostBytes(Array("{}".utf8))]
            let output = try ShardedOutput(
                announced(), metadata: ["format": "pt"], stem: "diffusion_pytorch_model", shardBytes: 100,
                others: others, folder: path)
            for (name, tensor) in tensors { try output.put(name, tensor) }
            #expect(try files(in: folder).allSatisfy { $0.hasSuffix(".tmp") })
            try output.finish()
            #expect(try files(in: folder) == ["model"])
            #expect(
                try files(in: path) == [
                    "config.json", "diffusion_pytorch_model-00001-of-00002.safetensors",
                    "diffusion_pytorch_model-00002-of-00002.safetensors",
                    "diffusion_pytorch_model.safetensors.index.json",
                ])
            let source = try openWeights(at: path)
            #expect(source.names == tensors.keys.sorted() && source.annotations == ["format": "pt"])
            for (name, tensor) in tensors { #expect(try source.tensor(name).bytes.array == tensor.bytes.array) }
        }
    }

    /// More shards than a process may have files open, often 1024, are written and read: one is open at a time.
    @Test func anyNumberOfShardsComesBack() throws {
        try withTemporaryFolder { folder in
            let names = (0 ..< 1100).map { "t\(10000 + $0)" }
            let path = folder + "/model"
            let output = try ShardedOutput(
                names.map { AnnouncedTensor($0, [2], .float32) }, stem: "m", shardBytes: 8, folder: path)
            func open() throws -> Int {
                try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").filter {
                    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/" + $0))?
                        .contains(folder) == true
                }.count
            }
            #expect(try open() <= 1)
            // Back and forth, as a weight and its scales may lie.
            for (index, name) in names.enumerated() where index % 2 == 0 {
                try output.put(names[index + 1], HostTensor([2], [Float(index + 1), 0]))
                try output.put(name, HostTensor([2], [Float(index), 0]))
            }
            #expect(try open() <= 1)
            try output.finish()
            let source = try openWeights(at: path)
            #expect(source.names == names && (source as? ShardedSafetensors)?.files.count == 1100)
            for (index, name) in names.enumerated() { #expect(try source.tensor(name).floats() == [Float(index), 0]) }
        }
    }

    /// What has the output's name by the end is kept, and nothing of the output is left; files are replaced on request.
    @Test func namesThatAreTakenAreKept() throws {
        try withTemporaryFolder { folder in
            let file = folder + "/x.safetensors"
            let mine = Data("mine".utf8)
            func fill(_ output: any CheckpointOutput) throws {
                for (name, tensor) in tensors { try output.put(name, tensor) }
                try output.finish()
            }
            let outputs: [(String, any CheckpointOutput)] = try [
                ("x.safetensors", SafetensorsOutput(announced(), to: file)),
                ("x.gguf", GGUFOutput(announced(), metadata: [:], to: folder + "/x.gguf")),
                ("model", ShardedOutput(announced(), stem: "m", shardBytes: 100, folder: folder + "/model")),
            ]
            for (name, output) in outputs {
                if name == "model" {
                    try FileManager.default.createDirectory(
                        atPath: folder + "/model", withIntermediateDirectories: false)
                } else {
                    try mine.write(to: URL(fileURLWithPath: folder + "/" + name))
                }
                try expectError(.unwritable, mentions: [name, "not overwritten"]) { try fill(output) }
            }
            for name in ["x.safetensors", "x.gguf"] {
                #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/" + name)) == mine)
            }
            #expect(try files(in: folder + "/model").isEmpty)
            try expectError(.unwritable) { try SafetensorsWriter.write(tensors, to: file, isReplacing: false) }
            #expect(try Data(contentsOf: URL(fileURLWithPath: file)) == mine)
            try SafetensorsWriter.write(tensors, to: file)
            #expect(try openWeights(at: file).names == tensors.keys.sorted())
        }
    }

    @Test func whatIsNotFinishedLeavesNothing() throws {
        try withTemporaryFolder { folder in
            do {
                let shards = try ShardedOutput(announced(), stem: "m", shardBytes: 100, folder: folder + "/model")
                try shards.put("c", HostTensor([], [1]))
                let file = try SafetensorsOutput(announced(), to: folder + "/x.safetensors")
                try expectError(.fault) { try file.put("c", HostTensor([1], [1])) }
                try expectError(.fault) { try file.put("e", HostTensor([], [1])) }
                try expectError(.fault) { try file.finish() }
                _ = try GGUFOutput(announced(), metadata: [:], to: folder + "/x.gguf")
            }
            #expect(try files(in: folder).isEmpty)
            // Blocks have no place in safetensors, and odd rows none in blocks.
            try expectError(.unsupported, mentions: ["Q8_0"]) {
                try SafetensorsOutput(announced(["a.weight": .q80]), to: folder + "/x.safetensors")
            }
            try expectError(.unsupported, mentions: ["b.weight"]) {
                try GGUFOutput(announced(["b.weight": .q80]), metadata: [:], to: folder + "/x.gguf")
            }
            try expectError(.unsupported, mentions: ["float8E4M3"]) {
                try GGUFOutput(announced(["b.weight": .float8E4M3]), metadata: [:], to: folder + "/x.gguf")
            }
            try expectError(.unwritable) {
                try ShardedOutput(announced(), stem: "m", shardBytes: 100, folder: folder + "/none/model")
            }
            #expect(try files(in: folder).isEmpty)
        }
    }
}
