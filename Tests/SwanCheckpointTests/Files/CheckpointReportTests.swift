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

    /// Markers, tokenizers, counters and masks are no weights, and not counted among those in few bits.
    @Test func countsOnlyWeightsAsWeights() throws {
        try withTemporaryFolder { folder in
            func bytes(_ shape: Shape, _ dtype: DType) throws -> HostTensor {
                try HostTensor(shape, dtype, HostBytes([UInt8](repeating: 0, count: shape.count * dtype.blockBytes)))
            }
            let path = folder + "/x.safetensors"
            let others: [String: HostTensor] = try [
                "spiece_model": bytes([4000], .uint8), "mask": bytes([8, 8], .bool), "table": bytes([8, 8], .int8),
                "steps": bytes([1], .int64),
            ]
            var tensors = others
            tensors["a.weight"] = HostTensor([4, 4], ramp(16))
            try SafetensorsWriter.write(tensors, to: path)
            var format = try CheckpointReport(readingHeadersOf: path).format
            #expect(format.quantized == 0 && format.bitsPerWeight == 32)

            tensors["a.weight"] = try bytes([4, 4], .float8E4M3)
            tensors["a.scale_weight"] = HostTensor([], [1])
            tensors["scaled_fp8"] = try bytes([2], .float8E4M3)
            try SafetensorsWriter.write(tensors, to: path)
            format = try CheckpointReport(readingHeadersOf: path).format
            #expect(format.quantized == 1 && format.scales == "ComfyUI scaled")
            // 16 bytes, a scale of 4 and a marker of 2.
            #expect(format.bitsPerWeight == 8 * 22.0 / 16)
        }
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
