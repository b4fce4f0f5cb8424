import Foundation
import SwanDiagnostics
import SwanMedia
import SwanPipeline
import SwanSampling
import SwanTensor
import SwanTestSupport
import Testing

/// A video says how to make it again.
@Suite struct VideoRecordTests {
    /// Requests that differ from the defaults, each in another way.
    enum Change: CaseIterable {
        case nothing, sizes, steps, solver, shift, boundary, noHighNoise, guidance, twoGuidances, negative, noNegative
        case lightning, ownPair, weakOwnPair, oneLoRA, stackedLoRAs, noPreset

        func apply(_ request: inout GenerationRequest, _ pair: ModelFiles.LoRAPair?) {
            let (high, low) = (pair?.high ?? "h", pair?.low ?? "l")
            switch self {
            case .nothing: break
            case .sizes: (request.width, request.height, request.frames, request.fps) = (64, 96, 13, 7)
            case .steps: request.steps = 3
            case .solver: request.solver = .dpmpp
            case .shift: request.shift = 0.5
            case .boundary: request.boundary = 0.25
            case .noHighNoise: request.boundary = 0
            case .guidance: (request.guidanceHigh, request.guidanceLow) = (2.5, 2.5)
            case .twoGuidances: (request.guidanceHigh, request.guidanceLow) = (1, 7)
            case .negative: request.negativePrompt = "blurry"
            case .noNegative: request.negativePrompt = ""
            case .lightning:
                request.preset = "lightning"
                if pair == nil {
                    (request.lorasHigh, request.lorasLow) = ([LoRASetting(high)], [LoRASetting(low)])
                }
            case .ownPair:
                request.preset = "lightning"
                (request.lorasHigh, request.lorasLow) = ([LoRASetting("x/high")], [LoRASetting("x/low")])
            case .weakOwnPair:
                request.preset = "lightning"
                request.lorasHigh = [LoRASetting(high, strength: 0.5)]
                request.lorasLow = [LoRASetting(low, strength: -1)]
            case .oneLoRA: request.lorasLow = [LoRASetting("style", strength: 0.3)]
            case .stackedLoRAs: request.lorasHigh = [LoRASetting("a"), LoRASetting("a", strength: 2)]
            case .noPreset: request.preset = "none"
            }
        }
    }

    /// With a preset of its own and without.
    @Test(arguments: Change.allCases, [true, false])
    func settingsComeBack(change: Change, isLightning: Bool) throws {
        var files = try ModelFolder.diffusers.files()
        var defaults = ModelDefaults.t2vA14B
        if isLightning {
            files.lightning = .init(high: "/m/lightning/high.safetensors", low: "/m/lightning/low.safetensors")
            defaults.preset = "lightning"
        }
        var request = GenerationRequest()
        change.apply(&request, files.lightning)
        let settings = try request.resolve(files, defaults)
        var again = GenerationRequest()
        again.fill(from: settings, files)
        #expect(try again.resolve(files, defaults) == settings)
    }

    @Test func oneTransformersSettingsComeBack() throws {
        var files = try ModelFolder.diffusers.files()
        files.highNoise = nil
        var request = GenerationRequest()
        (request.guidanceLow, request.lorasLow) = (2, [LoRASetting("style")])
        let settings = try request.resolve(files, .t2v1B)
        #expect((settings.guidanceHigh, settings.boundary) == (2, 0))
        var again = GenerationRequest()
        again.fill(from: settings, files)
        #expect(try again.resolve(files, .t2v1B) == settings)
        // A model with two experts keeps its boundary.
        var other = GenerationRequest()
        other.fill(from: settings, try ModelFolder.diffusers.files(), isSameModel: false)
        #expect(other.boundary == nil)
    }

    /// What a preset had fixed does not outlive it.
    @Test func leavingThePresetLeavesItsValues() throws {
        let files = try ModelFolder.diffusers.files()
        var request = GenerationRequest()
        Change.lightning.apply(&request, nil)
        let settings = try request.resolve(files, .t2vA14B)
        var again = GenerationRequest()
        again.preset = "none"
        again.fill(from: settings, files)
        let without = try again.resolve(files, .t2vA14B)
        #expect((without.steps, without.shift, without.guidanceHigh) == (40, 12, 4))
        #expect(without.lorasHigh.isEmpty)
    }

    @Test(
        arguments: [
            (nil, nil), (ModelSource(model: "swan-tiny"), 7),
            (ModelSource(model: "/a b/\"c\"", base: "/é"), UInt64.max),
        ] as [(ModelSource?, UInt64?)])
    func recordsComeBack(source: ModelSource?, seed: UInt64?) throws {
        let folder = try TemporaryFolder()
        var request = GenerationRequest()
        Change.weakOwnPair.apply(&request, nil)
        (request.width, request.height, request.frames) = (16, 16, 1)
        let settings = try request.resolve(ModelFolder.diffusers.files(), .t2vA14B)
        let prompt = "A \"cat\"\n😀 =;#\\"
        let start: VideoItem.Start = seed.map { .seed($0) } ?? .latents(filledInput("x", [16, 1, 2, 2]))
        let record = VideoRecord(
            VideoItem(prompt: prompt, start: start, path: nil), settings, source, version: "1.2.3")
        let path = folder.path + "/a.gif"
        let sink = try VideoWriter.open(path: path, width: 16, height: 16, fps: 5, metadata: record.metadata())
        try sink.write(frames: [UInt8](repeating: 9, count: 768), count: 1)
        try sink.finish()
        let read = try VideoRecord(readingFrom: path)
        #expect((read.swan, read.prompt, read.seed) == ("1.2.3", prompt, seed))
        #expect(read.settings == settings)
        #expect(read.source == source)
    }

    /// Whatever a file says is checked like what a person says.
    @Test func recordsAreChecked() throws {
        let files = try ModelFolder.diffusers.files()
        let settings = try GenerationRequest().resolve(files, .t2vA14B)
        for change in [
            { $0.frames = .min }, { $0.frames = .max }, { $0.width = .min }, { $0.height = .max }, { $0.fps = .min },
            { $0.steps = .max }, { $0.guidanceLow = .infinity }, { $0.shift = -1 },
            { $0.lorasLow = [LoRASetting("a", strength: .nan)] },
        ] as [(inout GenerationSettings) -> Void] {
            var hostile = settings
            change(&hostile)
            var request = GenerationRequest()
            request.fill(from: hostile, files)
            let error = #expect(throws: SwanError.self) { try request.resolve(files, .t2vA14B) }
            #expect(error?.code.kind == .usage)
        }
    }
}
