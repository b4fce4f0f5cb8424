import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct OpenWeightsTests {
    private func write(_ bytes: some Sequence<UInt8>, _ path: String) throws {
        try Data(bytes).write(to: URL(fileURLWithPath: path))
    }

    @Test func opensEveryFormatWhateverItsName() throws {
        try withTemporaryFolder { folder in
            for name in ["types.safetensors", "state.pth", "types.gguf"] {
                try write(contents(of: name), folder + "/misnamed.bin")
                let source = try openWeights(at: folder + "/misnamed.bin")
                try expect(source, "i16", [2], .int16, [-1, 300])
            }
        }
    }

    @Test func aHeaderWhoseLengthLooksLikeMarkupIsNoPage() throws {
        // 0x3C is '<'.
        let text = "{}" + String(repeating: " ", count: 0x3C - 2)
        #expect(FileKind(HostBytes(safetensors(text, data: 0))) == .safetensors)
    }

    @Test(arguments: [
        ("pointer.safetensors", SwanError.Code.lfsPointer, ["4d7a214614ab2935", "12345", "git lfs pull"]),
        ("page.safetensors", .malformed, ["web page"]),
        ("legacy.pth", .unsupported, ["before PyTorch 1.6"]),
    ])
    func saysWhatAFileIsInstead(name: String, code: SwanError.Code, words: [String]) throws {
        try expectError(code, mentions: words) { try openWeights(at: fixture(name)) }
    }

    @Test func saysWhatOtherFilesAre() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/x"
            try write(#"{"error":"Invalid username or password."}"#.utf8, path)
            try expectError(.malformed, mentions: ["web page or an error message"]) { try openWeights(at: path) }
            try write([UInt8](repeating: 0, count: 257) + Array("ustar".utf8), path)
            try expectError(.unsupported, mentions: ["tar"]) { try openWeights(at: path) }
            try write([UInt8](repeating: 0, count: 5000), path)
            try expectError(.unsupported, mentions: ["no known format"]) { try openWeights(at: path) }
            try write([1], path)
            try expectError(.unsupported) { try openWeights(at: path) }
            try expectError(.fileMissing) { try openWeights(at: folder + "/y") }
            try expectError(.unsupported, mentions: ["gguf", "safetensors"]) {
                try SafetensorsFile(path: fixture("types.gguf"))
            }
            try expectError(.unsupported) { try GGUFFile(path: fixture("state.pth")) }
            try expectError(.unsupported) { try PyTorchFile(path: fixture("types.safetensors")) }
            try expectError(.lfsPointer) { try PyTorchFile(path: fixture("pointer.safetensors")) }
        }
    }

    @Test func aMarkedDownloadIsNotOpened() throws {
        try withTemporaryFolder { folder in
            let path = folder + "/a.safetensors"
            let bytes = try contents(of: "types.safetensors")
            try write(bytes, path)
            try write([1], path + ".aria2")
            try expectError(.truncated, mentions: ["unfinished"]) { try openWeights(at: path) }
            try FileManager.default.removeItem(atPath: path + ".aria2")
            _ = try openWeights(at: path)
            try write(bytes.dropLast(), path)
            try write([1], path + ".part")
            try expectError(.truncated, mentions: ["1061 of its 1062 bytes", ".part"]) { try openWeights(at: path) }
        }
    }

    @Test func findsTheOneCheckpointOfAFolder() throws {
        let bytes = try contents(of: "types.safetensors")
        try withTemporaryFolder { folder in
            try expectError(.fileMissing, mentions: ["no checkpoint"]) { try openWeights(at: folder) }
            try FileManager.default.createDirectory(
                atPath: folder + "/high_noise_model", withIntermediateDirectories: true)
            try expectError(.fileMissing, mentions: ["high_noise_model"]) { try openWeights(at: folder) }
            try write(bytes, folder + "/.hidden.safetensors")
            try write([1], folder + "/a.safetensors.crdownload")
            try expectError(.fileMissing, mentions: ["a.safetensors.crdownload"]) { try openWeights(at: folder) }
            try write(bytes, folder + "/a.safetensors")
            #expect(try openWeights(at: folder).origin == folder + "/a.safetensors")
            try write(bytes, folder + "/b.gguf")
            try expectError(.ambiguous, mentions: ["a.safetensors", "b.gguf"]) { try openWeights(at: folder) }
            try write(bytes, folder + "/diffusion_pytorch_model.safetensors")
            #expect(try openWeights(at: folder).origin == folder + "/diffusion_pytorch_model.safetensors")
        }
        try withTemporaryFolder { folder in
            for number in 1 ... 2 { try write(bytes, folder + "/m-0000\(number)-of-00002.safetensors") }
            try expectError(.ambiguous, mentions: ["index"]) { try openWeights(at: folder) }
        }
    }

    @Test(arguments: [
        (["model.diffusion_model.a", "model.diffusion_model.b.c"], ["a", "b.c"]),
        (["model.a", "model.diffusion_model.b"], ["a", "diffusion_model.b"]),
        (["diffusion_model.a"], ["a"]), (["module.a", "module.b"], ["a", "b"]), (["net.a"], ["a"]),
        (["transformer.a"], ["a"]), (["model.a", "b"], ["b", "model.a"]),
        (["model.", "model.b"], ["model.", "model.b"]),
        (["modela"], ["modela"]), ([], []),
    ])
    func stripsAPrefixThatAllNamesShare(names: [String], expected: [String]) throws {
        let tensors = Dictionary(uniqueKeysWithValues: names.map { ($0, HostTensor([1], [Float($0.utf8.count)])) })
        let source = try strippingCommonPrefix(InMemoryWeights(tensors))
        #expect(source.names == expected.sorted())
        for name in names where !source.names.contains(name) {
            let stripped = try #require(source.names.first { name.hasSuffix($0) })
            try expect(source, stripped, [1], .float32, [Float(name.utf8.count)])
        }
    }
}
