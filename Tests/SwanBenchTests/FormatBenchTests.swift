import Foundation
import SwanBench
import SwanCPU
import SwanDiagnostics
import SwanPipeline
import SwanTestSupport
import Testing

@Suite struct FormatBenchTests {
    @Test func everyFormatMakesARow() throws {
        let files = try ModelFiles(in: Fixture.path("pipeline/layouts/diffusers"))
        var request = GenerationRequest()
        (request.width, request.height, request.frames, request.steps) = (64, 48, 5, 2)
        let folder = NSTemporaryDirectory() + "swan-formats-\(UUID().uuidString)"
        var reported: [String] = []
        let bench = try FormatBench(
            files, request, prompts: ["A cat", "A dog"], seed: 3, folder: folder, on: CPUBackend()
        ) { row in
            reported.append(row.text)
            // The files of one format at a time.
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? ["none"]
            #expect(names.count == (row.format == nil ? 0 : 2), "\(names)")
            #expect(names.allSatisfy { $0.contains("_noise_" + (row.format?.rawValue ?? "")) }, "\(names)")
        }
        #expect(!FileManager.default.fileExists(atPath: folder))
        #expect(bench.rows.map(\.format) == [nil] + ConversionFormat.allCases)
        #expect(reported.count == bench.rows.count && reported.allSatisfy { !$0.isEmpty })
        var errors: [ConversionFormat: Double] = [:]
        for row in bench.rows.dropFirst() {
            let quality = try #require(row.quality, "\(row.refusal ?? "")")
            #expect(row.qualities.count == 2)
            let format = try #require(row.format)
            errors[format] = quality.psnr ?? .infinity
        }
        // The model is in float16: nothing is lost by writing it so, and more the fewer bits there are.
        #expect(errors[.fp32] == .infinity && errors[.fp16] == .infinity)
        let order: [ConversionFormat] = [.fp16, .ggufQ80, .fp8Row, .ggufQ40]
        for (better, worse) in zip(order, order.dropFirst()) {
            #expect((errors[better] ?? 0) > (errors[worse] ?? .infinity), "\(better.rawValue), \(worse.rawValue)")
        }
        let bits = bench.rows.first { $0.format == .fp32 }?.bitsPerWeight ?? 0
        #expect(bits == 32 && bench.rows[0].bitsPerWeight == 16)
    }

    /// A stop in the middle leaves no files.
    @Test func aStopLeavesNothing() throws {
        let files = try ModelFiles(in: Fixture.path("pipeline/layouts/diffusers"))
        var request = GenerationRequest()
        (request.width, request.height, request.frames, request.steps) = (64, 48, 5, 1)
        let folder = NSTemporaryDirectory() + "swan-formats-\(UUID().uuidString)"
        let cancellation = Cancellation()
        let error = #expect(throws: SwanError.self) {
            try FormatBench(
                files, request, prompts: ["A cat"], seed: 3, folder: folder, on: CPUBackend(),
                cancellation: cancellation
            ) { if $0.format == .bf16 { cancellation.cancel() } }
        }
        #expect(error?.code == .cancelled)
        #expect(!FileManager.default.fileExists(atPath: folder))
    }

    @Test func aTakenFolderIsRefused() throws {
        let folder = try TemporaryFolder()
        let files = try ModelFiles(in: Fixture.path("pipeline/layouts/diffusers"))
        #expect(throws: SwanError.self) {
            try FormatBench(
                files, GenerationRequest(), prompts: ["x"], seed: 0, folder: folder.path, on: CPUBackend())
        }
        #expect(folder.names.isEmpty)
    }
}
