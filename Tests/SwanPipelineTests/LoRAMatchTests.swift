import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanPipeline
import SwanSampling
import SwanTensor
import SwanTestSupport
import Testing

/// LoRAs that were made for another model, and presets that do not fit what else was asked for.
@Suite struct LoRAMatchTests {
    private static func ones(_ shape: Shape) -> HostTensor {
        HostTensor(shape, [Float](repeating: 1, count: shape.count))
    }

    /// A pair for a layer of the fixtures' model, of width 32 with two blocks.
    private static func pair(_ module: String, rows: Int = 32, columns: Int = 32) -> [String: HostTensor] {
        [module + ".lora_down.weight": ones([2, columns]), module + ".lora_up.weight": ones([rows, 2])]
    }

    /// What merging a LoRA of this name into the high-noise expert gives.
    private func merge(
        _ tensors: [String: HostTensor], name: String = "lora", metadata: [String: String] = [:],
        isForced: Bool = false,
        hasTwoExperts: Bool = true
    ) throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/\(name).safetensors"
        try SafetensorsWriter.write(tensors, metadata: metadata, to: path)
        var files = try ModelFolder.official.files()
        let part = try #require(files.highNoise)
        if !hasTwoExperts { (files.highNoise, files.lowNoise) = (nil, part) }
        _ = try files.openTransformer(part, adding: [LoRASetting(path, isForced: isForced)])
    }

    @Test func tensorsTellTheModel() throws {
        let q = "blocks.0.self_attn.q"
        let cases: [(String, [String: HostTensor])] = [
            ("Wan2.2-TI2V-5B", Self.pair("diffusion_model." + q, rows: 3072, columns: 3072)),
            (
                "a 14B model",
                Self.pair("lora_unet_blocks_0_cross_attn_q", rows: 5120, columns: 5120)
                    .merging(Self.pair("lora_unet_blocks_0_self_attn_q", rows: 5120, columns: 5120)) { a, _ in a }
            ),
            ("Wan2.1-T2V-1.3B", Self.pair("transformer.blocks.0.attn1.to_q", rows: 1536, columns: 1536)),
            ("changes 40 blocks", Self.pair(q).merging(Self.pair("blocks.39.self_attn.q")) { a, _ in a }),
            ("changes 30 blocks", Self.pair("lora_unet_blocks_29_self_attn_q")),
            ("image-to-video", Self.pair(q).merging(Self.pair("blocks.0.cross_attn.k_img")) { a, _ in a }),
            ("image-to-video", Self.pair("patch_embedding", columns: 144)),
            ("another input", Self.pair("patch_embedding", columns: 208)),
        ]
        for (word, tensors) in cases {
            // Also where it is forced: it cannot be merged.
            let error = #expect(throws: SwanError.self) { try merge(tensors, isForced: true) }
            #expect(error?.code.name == "lora.mismatch")
            #expect(error?.message.contains(word) == true, "\(word): \(error.map(String.init(describing:)) ?? "")")
        }
        #expect(throws: Never.self) { try merge(Self.pair(q)) }
        #expect(throws: Never.self) { try merge(Self.pair("patch_embedding", columns: 64)) }
    }

    @Test(
        arguments: [
            ("Wan21_T2V_14B_lightx2v_rank64", [:], true, "Wan2.1"), ("style_wan2.1_t2v", [:], true, "Wan2.1"),
            ("style", ["ss_base_model_version": "wan_2.1_14b"], true, "Wan2.1"),
            ("style", ["modelspec.architecture": "Wan2.1/lora"], true, "Wan2.1"),
            ("Wan2.2-Lightning_HIGH", [:], false, "Wan2.2"), ("wan2.2_i2v_high_noise", [:], true, "image-to-video"),
        ] as [(String, [String: String], Bool, String)])
    func namesAndNotesTellTheModel(name: String, metadata: [String: String], hasTwoExperts: Bool, word: String) throws {
        let tensors = Self.pair("blocks.0.self_attn.q")
        let error = #expect(throws: SwanError.self) {
            try merge(tensors, name: name, metadata: metadata, hasTwoExperts: hasTwoExperts)
        }
        #expect(error?.code.name == "lora.mismatch")
        #expect(error?.message.contains(word) == true && error?.advice.contains("--force-lora") == true)
        #expect(throws: Never.self) {
            try merge(tensors, name: name, metadata: metadata, isForced: true, hasTwoExperts: hasTwoExperts)
        }
    }

    @Test(arguments: ["Wan2.2-T2V-A14B-HIGH", "style", "wan2.1_and_wan2.2", "i2v_and_t2v"]) func othersAreTaken(
        name: String
    ) {
        #expect(throws: Never.self) { try merge(Self.pair("blocks.0.self_attn.q"), name: name) }
    }

    @Test func aFileOfTwoExpertsNeedsTwo() throws {
        var files = try ModelFolder.official.files()
        let lora = LoRASetting(Fixture.path("lora/two_experts.safetensors"))
        let high = try #require(files.highNoise)
        let (a, b) = (
            try files.openTransformer(high, adding: [lora]).weights,
            try files.openTransformer(files.lowNoise, adding: [lora]).weights
        )
        let name = "blocks.1.cross_attn.o.weight"
        #expect(try a.tensor(name).floats() != files.openTransformer(high).weights.tensor(name).floats())
        #expect(try b.tensor(name).floats() != files.openTransformer(files.lowNoise).weights.tensor(name).floats())
        files.highNoise = nil
        let error = #expect(throws: SwanError.self) { try files.openTransformer(files.lowNoise, adding: [lora]) }
        #expect(error?.message.contains("two experts") == true)
    }

    /// A file that changes the low-noise expert only goes to that one, where both were to get it, and that is said.
    @Test func aFileOfTheLowNoiseExpertGoesThere() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/pytorch_lora_weights.safetensors"
        try SafetensorsWriter.write(Self.pair("transformer_2.blocks.0.attn1.to_q"), to: path)
        let files = try ModelFolder.official.files()
        var request = GenerationRequest()
        (request.lorasHigh, request.lorasLow) = ([LoRASetting(path)], [LoRASetting(path)])
        let generator = try Generator(files, request, [])
        #expect(generator.settings.lorasHigh.isEmpty && generator.settings.lorasLow.map(\.path) == [path])
        #expect(generator.note?.contains("pytorch_lora_weights.safetensors changes the low-noise expert only") == true)
        // A file for both goes to both, and one that was meant for the other expert is refused.
        let both = LoRASetting(Fixture.path("lora/two_experts.safetensors"))
        (request.lorasHigh, request.lorasLow) = ([both], [both])
        let whole = try Generator(files, request, [])
        #expect(whole.settings.lorasHigh == [both] && whole.settings.lorasLow == [both])
        (request.lorasHigh, request.lorasLow) = ([LoRASetting(path)], [])
        let error = #expect(throws: SwanError.self) { try Generator(files, request, []) }
        #expect(error?.code.name == "lora.mismatch" && error?.advice.contains("--lora-low") == true)
    }

    @Test func oneFileForBothExpertsIsRefused() throws {
        let folder = try TemporaryFolder()
        let source = Fixture.path("pipeline/layouts/comfy/split_files/diffusion_models")
        let path = folder.path + "/wan_high_noise.safetensors"
        try SafetensorsWriter.write(
            ["x": HostTensor([1], [1])], to: folder.path + "/unrelated.safetensors")
        #expect(symbolicLink(path, to: source + "/wan2.2_t2v_high_noise_14B_fp16.safetensors"))
        #expect(
            symbolicLink(
                folder.path + "/wan_low_noise.safetensors",
                to: source + "/wan2.2_t2v_high_noise_14B_fp16.safetensors"))
        let error = #expect(throws: SwanError.self) {
            try ModelFiles(in: folder.path, completedFrom: Fixture.path("pipeline/layouts/official"))
        }
        #expect(error?.message.contains("one file") == true, "\(error.map(String.init(describing:)) ?? "")")
    }

    @Test func aFileOfOneExpertIsNotForBoth() {
        let error = #expect(throws: SwanError.self) {
            try LoRASetting.checkNames(high: [], low: [], both: [LoRASetting("x/style_high_noise.safetensors")])
        }
        #expect(error?.advice.contains("--lora-high") == true && error?.advice.contains("--lora-low") == true)
        #expect(throws: Never.self) {
            try LoRASetting.checkNames(high: [], low: [], both: [LoRASetting("high_noise_model/style.safetensors")])
        }
    }
}

@Suite struct PresetTests {
    private static let pair = (high: "x/Lightning_high.safetensors", low: "x/Lightning_low.safetensors")

    private func resolve(
        _ files: ModelFiles? = nil, _ change: (inout GenerationRequest) -> Void
    ) throws -> GenerationSettings {
        var request = GenerationRequest()
        request.preset = "lightning"
        if files == nil {
            request.lorasHigh = [LoRASetting(Self.pair.high)]
            request.lorasLow = [LoRASetting(Self.pair.low)]
        }
        change(&request)
        return try request.resolve(files ?? ModelFolder.diffusers.files(), .t2vA14B)
    }

    @Test func timestepsAreThoseThatThePairsWereMadeFor() throws {
        let four = try #require(Preset.all.first { $0.name == "lightning" }).timesteps()
        #expect(zip(four, [1000, 937.5, 833.3333, 625]).allSatisfy { abs($0 - $1) < 0.001 } && four.count == 4)
        let eight = try #require(Preset.all.first { $0.name == "lightning-8steps" }).timesteps()
        let expected = [1000, 972.2222, 937.5, 892.8571, 833.3333, 750, 625, 416.6667]
        #expect(zip(eight, expected).allSatisfy { abs($0 - $1) < 0.001 } && eight.count == 8)
        #expect(Preset.all.allSatisfy { $0.highNoiseSteps == $0.steps / 2 && $0.guidance == 1 && $0.solver == .euler })
        #expect(Set(Preset.all.map(\.name)).count == Preset.all.count)
    }

    /// A boundary that cuts the steps elsewhere is refused; one that cuts them in the same place is not.
    @Test func expertsKeepTheirSteps() throws {
        #expect(try resolve { $0.boundary = 0.9 }.boundary == 0.9)
        for boundary in [0.95, 0.5, 0, 0.8333] {
            let error = #expect(throws: SwanError.self) { try resolve { $0.boundary = boundary } }
            #expect(error?.message.contains("--boundary \(boundary)") == true)
        }
        var defaults = ModelDefaults.t2vA14B
        defaults.boundary = 0.5
        var request = GenerationRequest()
        request.preset = "lightning"
        (request.lorasHigh, request.lorasLow) = ([LoRASetting(Self.pair.high)], [LoRASetting(Self.pair.low)])
        #expect(try request.resolve(ModelFolder.diffusers.files(), defaults).boundary == 0.875)
    }

    /// Every published release is found by its names, and the newest is the default.
    @Test func publishedPairsAreFound() throws {
        let folder = try TemporaryFolder()
        let layouts = Fixture.path("pipeline/layouts/")
        let model = folder.path + "/model"
        #expect(makeFolder(model))
        for part in ["high_noise_model", "low_noise_model"] {
            #expect(symbolicLink("\(model)/\(part)", to: layouts + "official/" + part))
        }
        func files() throws -> ModelFiles { try ModelFiles(in: model, completedFrom: layouts + "official") }
        #expect(try files().lightning == nil)
        let releases: [(String, String, String)] = [
            ("v1", "loras/Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1/", "*_noise_model.safetensors"),
            ("v1.1", "loras/", "wan2.2_t2v_lightx2v_4steps_lora_v1.1_*_noise.safetensors"),
            ("250928", "lightning/Wan2.2-T2V-A14B-4steps-lora-250928/", "*_noise_model.safetensors"),
            ("v2.0", "Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V2.0/", "*_noise_model.safetensors"),
            ("1217", "loras/", "wan2.2_t2v_A14b_*_noise_lora_rank64_lightx2v_4step_1217.safetensors"),
        ]
        for (release, place, pattern) in releases {
            var path = model
            for part in place.split(separator: "/") {
                path += "/" + part
                _ = makeFolder(path)
            }
            for word in ["high", "low"] {
                try SafetensorsWriter.write(
                    ["x": HostTensor([1], [1])], to: "\(path)/\(pattern.replacing("*", with: word))")
            }
            let found = try files()
            #expect(found.lightning?.high.hasSuffix(place + pattern.replacing("*", with: "high")) == true, "\(release)")
            let settings = try resolve(found) { $0.preset = "lightning-\(release)" }
            #expect(settings.lorasHigh.map(\.path) == [found.publishedPairs[release]?.high])
            #expect(settings.lorasLow.map(\.path) == [found.publishedPairs[release]?.low])
        }
        #expect(try files().publishedPairs.count == releases.count)
    }

    /// Other LoRAs come on top of the model's pair; a pair of one's own takes its place.
    @Test func otherLoRAsComeOnTop() throws {
        var files = try ModelFolder.diffusers.files()
        files.lightning = .init(high: "/m/lightning/high.safetensors", low: "/m/lightning/low.safetensors")
        let styled = try resolve(files) { $0.lorasHigh = [LoRASetting("style.safetensors", strength: 0.5)] }
        #expect(styled.lorasHigh.map(\.path) == ["/m/lightning/high.safetensors", "style.safetensors"])
        #expect(styled.lorasLow.map(\.path) == ["/m/lightning/low.safetensors"])
        let own = try resolve(files) {
            $0.lorasHigh = [LoRASetting(Self.pair.high)]
            $0.lorasLow = [LoRASetting(Self.pair.low)]
        }
        #expect(own.lorasHigh.map(\.path) == [Self.pair.high])
    }

    /// A pair is a LoRA for each expert: half of one is refused, with a pair of the model's and without; and so is one
    /// LoRA for both that is no distillation.
    @Test(arguments: [true, false]) func halfAPairIsRefused(hasPair: Bool) throws {
        var files = try ModelFolder.diffusers.files()
        if hasPair { files.lightning = .init(high: "/m/lightning/high", low: "/m/lightning/low") }
        let cases: [([String], [String], String)] = [
            ([Self.pair.high], [], "--lora-low"), ([], [Self.pair.low], "--lora-high"),
            ([Self.pair.high], ["style"], "--lora-low"),
        ]
        for (high, low, option) in cases {
            let error = #expect(throws: SwanError.self) {
                try resolve(files) {
                    ($0.lorasHigh, $0.lorasLow) = (high.map { LoRASetting($0) }, low.map { LoRASetting($0) })
                }
            }
            #expect(error?.code.name == "pipeline.invalid-request")
            #expect(error?.advice.contains(option) == true, "\(error.map(String.init(describing:)) ?? "")")
            #expect(error?.advice.contains("brings a pair") == hasPair)
        }
        func plain(_ high: String, _ low: String) throws -> GenerationSettings {
            try resolve(files) { ($0.lorasHigh, $0.lorasLow) = ([LoRASetting(high)], [LoRASetting(low)]) }
        }
        if hasPair {
            #expect(try plain("style", "style").lorasLow.map(\.path) == ["/m/lightning/low", "style"])
        } else {
            let error = #expect(throws: SwanError.self) { try plain("style", "style") }
            #expect(error?.message.contains("needs a LoRA for each expert") == true)
            // Two files may be a pair under any names; one distillation for both is one.
            #expect(try plain("a", "b").lorasLow.map(\.path) == ["b"])
            #expect(try plain("x/lightx2v_rank64", "x/lightx2v_rank64").lorasHigh.count == 1)
        }
    }

    @Test func aReleaseThatIsNotThereAndOneTransformerAreRefused() throws {
        var files = try ModelFolder.diffusers.files()
        files.lightning = .init(high: "/m/lightning/high.safetensors", low: "/m/lightning/low.safetensors")
        let error = #expect(throws: SwanError.self) { try resolve(files) { $0.preset = "lightning-v1.1" } }
        #expect(error?.message.contains("lightning-v1.1") == true)
        files.highNoise = nil
        var request = GenerationRequest()
        (request.preset, request.lorasLow) = ("lightning", [LoRASetting("style")])
        let single = #expect(throws: SwanError.self) { try request.resolve(files, .t2v14B) }
        #expect(single?.message.contains("one transformer") == true)
    }
}

private func symbolicLink(_ path: String, to target: String) -> Bool {
    (try? FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: target)) != nil
}

private func makeFolder(_ path: String) -> Bool {
    (try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)) != nil
}
