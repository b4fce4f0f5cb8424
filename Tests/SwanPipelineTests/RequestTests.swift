import SwanDiagnostics
import SwanPipeline
import SwanSampling
import SwanTestSupport
import Testing

/// What a request decides, and what it refuses before anything is read.
@Suite struct RequestTests {
    private func resolve(_ change: (inout GenerationRequest) -> Void) throws -> GenerationSettings {
        var request = GenerationRequest()
        change(&request)
        return try request.resolve(ModelFolder.diffusers.files(), .t2vA14B)
    }

    @Test func defaultsAreTheModels() throws {
        let settings = try resolve { _ in }
        #expect((settings.width, settings.height, settings.frames, settings.fps) == (832, 480, 81, 16))
        #expect((settings.steps, settings.solver, settings.shift, settings.boundary) == (40, .unipc, 12, 0.875))
        #expect((settings.guidanceHigh, settings.guidanceLow) == (4, 3))
        #expect(settings.negativePrompt.hasPrefix("色调艳丽，"))
    }

    @Test(arguments: [
        (837, 480, 81, "832 and 848"), (832, 8, 81, "16"), (832, 480, 80, "77 and 81"), (832, 480, 0, "1"),
        (832, 480, 83, "81 and 85"), (-16, 480, 81, "16"), (832, 480, .min, "1"), (832, 480, .max, "4093"),
        (.min, 480, 81, "16"), (832, .max, 81, "16384"), (832, 480, 4092, "4089 and 4093"),
    ])
    func namesTheNearestSizes(width: Int, height: Int, frames: Int, nearest: String) throws {
        let error = #expect(throws: SwanError.self) {
            try resolve { ($0.width, $0.height, $0.frames) = (width, height, frames) }
        }
        #expect(error?.code == .invalidRequest)
        #expect(error?.code.kind == .usage)
        #expect(error?.advice.contains(nearest) == true, "\(error?.advice ?? "")")
    }

    @Test func aPresetSetsEverythingTogether() throws {
        let settings = try resolve {
            $0.preset = "lightning"
            $0.lorasHigh = [LoRASetting("a_high.safetensors")]
            $0.lorasLow = [LoRASetting("a_low.safetensors")]
        }
        #expect((settings.steps, settings.solver, settings.shift) == (4, .euler, 5))
        #expect((settings.guidanceHigh, settings.guidanceLow) == (1, 1))
    }

    @Test(arguments: ["steps", "solver", "shift", "guidance"])
    func aPresetRefusesContradictions(option: String) {
        let error = #expect(throws: SwanError.self) {
            try resolve {
                $0.preset = "lightning"
                $0.lorasHigh = [LoRASetting("a_high.safetensors")]
                $0.lorasLow = [LoRASetting("a_low.safetensors")]
                switch option {
                case "steps": $0.steps = 8
                case "solver": $0.solver = .unipc
                case "shift": $0.shift = 12
                default: ($0.guidanceHigh, $0.guidanceLow) = (3.5, 3.5)
                }
            }
        }
        #expect(error?.message.contains(option) == true, "\(error.map(String.init(describing:)) ?? "")")
    }

    @Test func aPresetWithoutItsLoRAsIsRefused() {
        let error = #expect(throws: SwanError.self) { try resolve { $0.preset = "lightning" } }
        #expect(error?.advice.contains("--lora-high") == true)
    }

    /// An option that would do nothing is no option.
    @Test func oneTransformerHasNoHighNoise() throws {
        var files = try ModelFolder.diffusers.files()
        files.highNoise = nil
        for (change, word) in [
            ({ $0.guidanceHigh = 3 }, "--guidance"), ({ $0.boundary = 0.5 }, "--boundary"),
            ({ $0.lorasHigh = [LoRASetting("a")] }, "--lora"),
        ] as [((inout GenerationRequest) -> Void, String)] {
            var request = GenerationRequest()
            change(&request)
            let error = #expect(throws: SwanError.self) { try request.resolve(files, .t2v1B) }
            #expect(error?.advice.contains(word) == true)
        }
    }

    @Test func unknownPresetsAreListed() {
        let error = #expect(throws: SwanError.self) { try resolve { $0.preset = "thunder" } }
        #expect(error?.advice.contains("lightning") == true)
    }

    @Test func numbersOutOfRangeAreRefused() {
        for change in [
            { $0.guidanceHigh = .nan }, { $0.guidanceLow = -1 }, { $0.boundary = 2 }, { $0.fps = 0 }, { $0.steps = 0 },
            { $0.shift = 0 }, { $0.shift = 0.009 }, { $0.shift = 1001 }, { $0.shift = .nan }, { $0.steps = .min },
        ] as [(inout GenerationRequest) -> Void] {
            let error = #expect(throws: SwanError.self) { try resolve(change) }
            #expect(error?.code.kind == .usage)
        }
    }

    /// What an earlier video was made with is taken up where the new request leaves it anything to do.
    @Test func whatSparesForwardsIsTakenUp() throws {
        let files = try ModelFolder.diffusers.files()
        let earlier = try resolve { ($0.cacheThreshold, $0.guidanceInterval) = (0.05, GuidanceInterval(0, 0.5)) }
        func filled(_ change: (inout GenerationRequest) -> Void) throws -> GenerationSettings {
            var request = GenerationRequest()
            change(&request)
            request.fill(from: earlier, files)
            return try request.resolve(files, .t2vA14B)
        }
        let same = try filled { _ in }
        #expect(same.cacheThreshold == 0.05 && same.guidanceInterval == GuidanceInterval(0, 0.5))
        #expect(try filled { ($0.guidanceHigh, $0.guidanceLow) = (1, 1) }.guidanceInterval == nil)
        #expect(try filled { $0.steps = 4 }.cacheThreshold == nil)
        let off = try filled { ($0.cacheThreshold, $0.guidanceInterval) = (0, .all) }
        #expect(off.cacheThreshold == nil && off.guidanceInterval == nil)
    }

    @Test func whatSparesForwardsIsRefusedWhereItWouldSpareNone() throws {
        let settings = try resolve { ($0.cacheThreshold, $0.guidanceInterval) = (0.05, GuidanceInterval(0, 0.5)) }
        #expect(settings.cacheThreshold == 0.05 && settings.guidanceInterval == GuidanceInterval(0, 0.5))
        #expect(try resolve { $0.cacheThreshold = 0 }.cacheThreshold == nil)
        let pair = { (request: inout GenerationRequest) in
            (request.lorasHigh, request.lorasLow) = ([LoRASetting("a_high")], [LoRASetting("a_low")])
        }
        for (change, word) in [
            ({ ($0.cacheThreshold, $0.steps) = (0.05, 7) }, "7 steps"), ({ $0.cacheThreshold = 1.5 }, "1.5"),
            ({ $0.cacheThreshold = .nan }, "nan"), ({ $0.guidanceInterval = GuidanceInterval(0.5, 0.2) }, "0.5 to 0.2"),
            (
                {
                    ($0.guidanceHigh, $0.guidanceLow) = (1, 1)
                    $0.guidanceInterval = GuidanceInterval(0, 0.5)
                }, "guidance, which is off"
            ),
            (
                {
                    pair(&$0)
                    ($0.preset, $0.cacheThreshold) = ("lightning", 0.05)
                }, "--cache 0.05"
            ),
            (
                {
                    pair(&$0)
                    ($0.preset, $0.guidanceInterval) = ("lightning", GuidanceInterval(0, 0.5))
                }, "--guidance-interval 0.0:0.5"
            ),
        ] as [((inout GenerationRequest) -> Void, String)] {
            let error = #expect(throws: SwanError.self) { try resolve(change) }
            #expect(
                error?.code.kind == .usage && error?.message.contains(word) == true, "\(word): \(error?.message ?? "")")
        }
    }

    @Test func swappedLoRAsAreRefused() {
        #expect(throws: SwanError.self) {
            try LoRASetting.checkNames(high: [LoRASetting("wan_low_noise.safetensors")], low: [])
        }
        #expect(throws: SwanError.self) {
            try LoRASetting.checkNames(high: [], low: [LoRASetting("Lightning-HIGH_fp16.safetensors")])
        }
        #expect(throws: Never.self) {
            try LoRASetting.checkNames(
                high: [LoRASetting("flower-HN.safetensors")], low: [LoRASetting("highland-LowNoise.safetensors")])
        }
    }
}
