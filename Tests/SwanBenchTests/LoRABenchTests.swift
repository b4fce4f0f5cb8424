import Foundation
import SwanBench
import SwanCPU
import SwanDiagnostics
import SwanPipeline
import SwanTestSupport
import Testing

@Suite struct LoRABenchTests {
    private func model() throws -> ModelFiles {
        var files = try ModelFiles(in: Fixture.path("pipeline/layouts/diffusers"))
        files.lightning = ModelFiles.LoRAPair(
            high: Fixture.path("lora/lightning_high_noise.safetensors"),
            low: Fixture.path("lora/lightning_low_noise.safetensors"))
        return files
    }

    private var request: GenerationRequest {
        var request = GenerationRequest()
        (request.width, request.height, request.frames, request.preset) = (64, 48, 5, "lightning")
        return request
    }

    @Test func everyFamilyDoesTheSame() throws {
        let folder = NSTemporaryDirectory() + "swan-loras-\(UUID().uuidString)"
        var seen: [String] = []
        let bench = try LoRABench(
            model(), request, prompts: ["A cat", "A dog"], seed: 3, folder: folder, on: CPUBackend()
        ) { seen.append($0.text) }
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(bench.rows.map(\.family) == [nil] + LoRAFamily.allCases && seen.count == bench.rows.count)
        #expect(bench.settings.steps == 4 && bench.settings.guidanceLow == 1)
        for row in bench.rows.dropFirst() {
            let quality = try #require(row.quality)
            let family = try #require(row.family)
            // The same factors, under other names.
            if [.lightx2v, .kohya].contains(family) { #expect(quality.psnr == nil, "\(family)") }
            // The same sums, rounded otherwise.
            #expect(quality.psnr ?? .infinity > 60, "\(family) \(quality.psnr ?? 0)")
        }
        #expect(bench.rows[0].bytes > 0)
    }

    @Test func aModelWithoutAPairIsRefused() throws {
        let folder = NSTemporaryDirectory() + "swan-loras-\(UUID().uuidString)"
        var files = try model()
        files.lightning = nil
        let without = files
        #expect(throws: SwanError.self) {
            try LoRABench(without, request, prompts: ["x"], seed: 0, folder: folder, on: CPUBackend())
        }
        files.lightning = ModelFiles.LoRAPair(
            high: Fixture.path("lora/peft.safetensors"), low: Fixture.path("lora/peft.safetensors"))
        let other = files
        let error = #expect(throws: SwanError.self) {
            try LoRABench(other, request, prompts: ["x"], seed: 0, folder: folder, on: CPUBackend())
        }
        #expect(error?.message.contains("in the names") == true)
        #expect(!FileManager.default.fileExists(atPath: folder))
    }
}
