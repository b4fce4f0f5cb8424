import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct CheckpointReportTests {
    @Test func countsWhatAFileHolds() throws {
        let path = try fixture("types.gguf")
        let report = try CheckpointReport(readingHeadersOf: path)
        #expect(report.path == path)
        #expect(report.files.map(\.kind) == ["gguf"] && report.files.map(\.bytes) == [2208])
        #expect(report.tensors.map(\.name) == report.tensors.map(\.name).sorted() && report.tensors.count == 13)
        // 6 + 24 + 64 float32 · 3 float16 · 3 float64 · 2 of each integer · 8 bfloat16 · 160 in Q8_0 · 128 in Q4_0
        #expect(report.parameters == 94 + 3 + 3 + 8 + 8 + 160 + 128)
        #expect(report.bytes == 376 + 6 + 24 + 30 + 16 + 170 + 72)
        let largest = try #require(report.dtypes.first)
        #expect(largest.dtype == "float32" && largest.tensors == 3 && largest.parameters == 94 && largest.bytes == 376)
        let q4 = try #require(report.tensors.first { $0.name == "q4_0" })
        #expect(q4.shape == [2, 64] && q4.dtype == "Q4_0" && q4.bytes == 72)
        #expect(report.tensors.allSatisfy { $0.isReadable })
        #expect(report.metadata["general.architecture"] == "wan")
        #expect(report.metadata["tokenizer.ggml.tokens"] == nil)
        let copy = try JSONDecoder().decode(CheckpointReport.self, from: JSONEncoder().encode(report))
        #expect(copy == report)
    }

    @Test func listsEveryFileOfAFolder() throws {
        try withTemporaryFolder { folder in
            try SafetensorsWriter.write(
                ["a": HostTensor([2], [1, 2])], metadata: ["format": "pt"], to: folder + "/m-1.safetensors")
            try Data(#"{"weight_map":{"a":"m-1.safetensors"}}"#.utf8)
                .write(to: URL(fileURLWithPath: folder + "/m.safetensors.index.json"))
            let report = try CheckpointReport(readingHeadersOf: folder)
            #expect(report.files.map(\.kind) == ["index", "safetensors"])
            #expect(report.files.map(\.path) == [folder + "/m.safetensors.index.json", folder + "/m-1.safetensors"])
            #expect(report.files.allSatisfy { $0.bytes > 0 })
            #expect(report.parameters == 2 && report.bytes == 8 && report.metadata == ["format": "pt"])
            try expectError(.fileMissing) { try CheckpointReport(readingHeadersOf: folder + "/none") }
        }
    }
}
