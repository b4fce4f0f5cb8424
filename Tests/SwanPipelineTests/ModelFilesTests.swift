import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanPipeline
import SwanTensor
import SwanTestSupport
import Testing

/// What folders are found to be, and what is said of folders that are not whole.
@Suite struct ModelFilesTests {
    @Test(arguments: [
        (ModelFolder.official, ModelFiles.Layout.official), (.diffusers, .diffusers), (.comfyUI, .comfyUI),
        (.lightX2V, .lightX2V),
        (.gguf, .loose),
    ])
    func findsLayouts(folder: ModelFolder, layout: ModelFiles.Layout) throws {
        let files = try folder.files()
        #expect(files.layout == layout)
        #expect(files.highNoise?.path.lowercased().contains("transformer_2") == false)
        #expect(files.highNoise != nil)
    }

    /// A copy of the official layout in which a test breaks something.
    private func broken(_ layout: ModelFolder = .official, _ damage: (String) throws -> Void) throws -> SwanError? {
        let folder = try TemporaryFolder()
        try folder.copy("pipeline/layouts/" + layout.rawValue, as: "model")
        try damage(folder.path + "/model")
        do {
            _ = try Generator(ModelFiles(in: folder.path + "/model"), GenerationRequest(), [])
            return nil
        } catch { return error }
    }

    @Test(arguments: [
        ("low_noise_model", "low_noise_model"), ("models_t5_umt5-xxl-enc-bf16.pth", "text encoder"),
        ("Wan2.1_VAE.pth", "autoencoder"),
        ("google", "tokenizer"),
        ("high_noise_model/diffusion_pytorch_model-00002-of-00002.safetensors", "00002-of-00002"),
    ])
    func namesWhatIsMissing(path: String, said: String) throws {
        let error = try broken { try FileManager.default.removeItem(atPath: "\($0)/\(path)") }
        #expect(error?.message.contains(said) == true, "\(error.map(String.init(describing:)) ?? "no error")")
        #expect(error?.advice.isEmpty == false)
    }

    /// Files of a model in the folder that this version does not read, and others that are none: nothing needs them.
    @Test(arguments: [ModelFolder.official, .comfyUI])
    func whatNobodyNeedsKeepsNothingFromRunning(layout: ModelFolder) throws {
        let folder = try TemporaryFolder()
        try folder.copy("pipeline/layouts/" + layout.rawValue, as: "model")
        let root = folder.path + "/model"
        // Another model, in a scheme that is not read: of no matter, and not worth a word.
        try SafetensorsWriter.write(Self.unreadScheme(names: ["layers.0.proj"]), to: root + "/upscaler.safetensors")
        // A text encoder in such a scheme, GGUF of a later version, a bare pickle, an empty file.
        try SafetensorsWriter.write(
            Self.unreadScheme(names: ["blocks.0.ffn.fc1", "blocks.0.attn.q"]), to: root + "/umt5_nvfp4.safetensors")
        try Data("GGUF".utf8 + [9, 0, 0, 0] + [UInt8](repeating: 0, count: 16)).write(
            to: URL(filePath: root + "/foreign.gguf"))
        try Data([0x80, 0x02, 0x7D, 0x2E]).write(to: URL(filePath: root + "/old.pt"))
        try Data().write(to: URL(filePath: root + "/empty.safetensors"))
        let files = try ModelFiles(in: root)
        #expect(
            files.unread.map { URL(filePath: $0.path).lastPathComponent } == [
                "empty.safetensors", "foreign.gguf", "old.pt", "umt5_nvfp4.safetensors",
            ])
        #expect(files.unread.allSatisfy { !$0.reason.isEmpty })
        #expect(throws: Never.self) { try Generator(files, GenerationRequest(), []) }
        let inspection = try Inspection(of: root + "//")
        #expect(inspection.problem == nil && inspection.parts.count == 4 && inspection.path == root)
        #expect(inspection.unread == files.unread)
        #expect(inspection.table(listingTensors: false).contains("not read: \(root)/foreign.gguf"))
    }

    /// Weights in four bits with two levels of scales.
    private static func unreadScheme(names: [String]) throws -> [String: HostTensor] {
        var tensors: [String: HostTensor] = [:]
        for name in names {
            let bytes = [UInt8](repeating: 0, count: 16).withUnsafeBytes { HostBytes(copying: $0) }
            tensors[name + ".weight"] = try HostTensor([4, 4], .uint8, bytes)
            tensors[name + ".weight_scale"] = HostTensor([4, 1], [1, 1, 1, 1])
            tensors[name + ".weight_scale_2"] = HostTensor([], [1])
        }
        return tensors
    }

    /// What is needed and cannot be read is said, and not that it is missing; half a pair does not run alone.
    @Test func whatIsNeededAndUnreadIsNamed() throws {
        let scheme = try Self.unreadScheme(names: ["head", "blocks.0.self_attn.q"])
            .merging(["head.modulation": HostTensor([1, 2, 4], [Float](repeating: 0, count: 8))]) { a, _ in a }
        let models = "/split_files/diffusion_models/wan2.2_t2v_low_noise_14B_fp16.safetensors"
        let error = try broken(.comfyUI) { try SafetensorsWriter.write(scheme, to: $0 + models) }
        #expect(error?.code == .unsupported && error?.message.contains("weight_scale_2") == true)
        let damaged = try broken(.comfyUI) { try Data("{}".utf8).write(to: URL(filePath: $0 + models)) }
        #expect(damaged?.message.contains("low_noise_14B_fp16") == true)
        let encoder = try broken { root in
            try FileManager.default.removeItem(atPath: root + "/models_t5_umt5-xxl-enc-bf16.pth")
            try SafetensorsWriter.write(
                Self.unreadScheme(names: ["blocks.0.ffn.fc1"]), to: root + "/umt5_nvfp4.safetensors")
        }
        #expect(encoder?.code == .unsupported && encoder?.message.contains("umt5_nvfp4") == true)
    }

    /// A file in a scheme that is not read shows what its headers tell.
    @Test func inspectionShowsSchemesThatAreNotRead() throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/x.safetensors"
        try SafetensorsWriter.write(Self.unreadScheme(names: ["blocks.0.ffn.fc1"]), to: path)
        let inspection = try Inspection(of: path)
        #expect(inspection.problem?.code == "checkpoint.unsupported")
        #expect(inspection.parts.first?.model == "text encoder" && inspection.parts.first?.report.tensors.count == 3)
        #expect(inspection.table(listingTensors: false).contains("in a way that is not read"))
    }

    /// In a folder of all parts, the configuration beside them is one part's; a file's own note is its own.
    @Test func aConfigurationIsThatOfItsPart() throws {
        let folder = try TemporaryFolder()
        let layouts = Fixture.path("pipeline/layouts/")
        let (own, root) = (try ModelFolder.diffusers.files(), folder.path + "/model")
        try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
        for (part, name) in [("transformer", "wan"), ("vae", "vae"), ("text_encoder", "umt5")] {
            try Conversion("\(layouts)diffusers/\(part)", to: "\(root)/\(name).safetensors", as: .fp32).run()
        }
        try FileManager.default.copyItem(
            atPath: layouts + "diffusers/tokenizer/spiece.model", toPath: root + "/spiece.model")
        for config in ["text_encoder", "vae", "transformer"] {
            try? FileManager.default.removeItem(atPath: root + "/config.json")
            try FileManager.default.copyItem(
                atPath: "\(layouts)diffusers/\(config)/config.json", toPath: root + "/config.json")
            let files = try ModelFiles(in: root)
            #expect(try files.openTransformer(files.lowNoise).configuration.heads == 2, "\(config)")
            #expect(try files.openAutoencoder().configuration == own.openAutoencoder().configuration, "\(config)")
        }
    }

    @Test func refusesSwappedExperts() throws {
        let error = try broken(.comfyUI) { root in
            let models = root + "/split_files/diffusion_models/"
            let (high, low) = (
                models + "wan2.2_t2v_high_noise_14B_fp16.safetensors",
                models + "wan2.2_t2v_low_noise_14B_fp16.safetensors"
            )
            try FileManager.default.removeItem(atPath: low)
            try FileManager.default.moveItem(atPath: high, toPath: models + "high_noise_copy.safetensors")
            try FileManager.default.copyItem(
                atPath: models + "high_noise_copy.safetensors", toPath: models + "high.safetensors")
        }
        #expect(error?.code == .ambiguous)

        let folder = try TemporaryFolder()
        try folder.copy("pipeline/layouts/lightx2v", as: "model")
        let root = folder.path + "/model"
        try FileManager.default.moveItem(atPath: root + "/high_noise_model", toPath: root + "/x")
        try FileManager.default.moveItem(atPath: root + "/low_noise_model", toPath: root + "/high_noise_model")
        try FileManager.default.moveItem(atPath: root + "/x", toPath: root + "/low_noise_model")
        let swapped = #expect(throws: SwanError.self) {
            try ModelFiles(in: root, completedFrom: Fixture.path("pipeline/layouts/official"))
        }
        #expect(swapped?.message.contains("swapped") == true)
    }

    @Test func refusesALFSPointer() throws {
        let error = try broken { root in
            let pointer =
                "version https://git-lfs.github.com/spec/v1\noid sha256:\(String(repeating: "a", count: 64))\nsize 507609880\n"
            try Data(pointer.utf8).write(to: URL(filePath: root + "/Wan2.1_VAE.pth"))
        }
        #expect(error?.code == .lfsPointer)
        #expect(error?.message.contains("507") == true)
    }

    @Test func refusesATruncatedFile() throws {
        let error = try broken { root in
            let path = root + "/low_noise_model/diffusion_pytorch_model-00001-of-00002.safetensors"
            let data = try Data(contentsOf: URL(filePath: path))
            try data.dropLast(100).write(to: URL(filePath: path))
        }
        #expect(error?.code == .truncated)
    }

    @Test func refusesForeignParts() throws {
        let error = try broken(.diffusers) { root in
            try FileManager.default.removeItem(atPath: root + "/vae")
            try FileManager.default.copyItem(atPath: root + "/text_encoder", toPath: root + "/vae")
        }
        #expect(error?.message.contains("text encoder") == true)
    }

    @Test func refusesMisspeltDefaults() throws {
        let error = try broken(.diffusers) { root in
            try Data(#"{"name": "x", "widht": 64}"#.utf8).write(to: URL(filePath: root + "/swan.json"))
        }
        #expect(error?.message.contains("widht") == true)
    }

    @Test(arguments: [
        ("frames", "-9223372036854775808"), ("frames", "10"), ("width", "0"), ("height", "9223372036854775807"),
        ("fps", "0"), ("steps", "-1"), ("shift", "0"), ("boundary", "7"), ("guidance_low", "-3"),
        ("preset", "\"thunder\""),
    ])
    func refusesDefaultsOutOfRange(key: String, value: String) throws {
        let error = try broken(.diffusers) { root in
            var values = [
                "name": "\"x\"", "width": "64", "height": "48", "frames": "9", "fps": "12", "steps": "4", "shift": "5",
                "boundary": "0.875", "guidance_high": "4", "guidance_low": "3", "negative_prompt": "\"\"",
            ]
            if key != "name" { values[key] = value }
            let text = "{" + values.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ",") + "}"
            try Data(text.utf8).write(to: URL(filePath: root + "/swan.json"))
        }
        #expect(error?.code.name == "model.configuration")
        #expect(error?.message.contains("swan.json") == true)
    }

    /// Only a model of the published sizes has the published name.
    @Test func unknownModelsAreNamedAfterTheirFolder() throws {
        let folder = try TemporaryFolder()
        try folder.copy("pipeline/layouts/official", as: "my-finetune")
        let files = try ModelFiles(in: folder.path + "/my-finetune")
        let tiny = try files.openTransformer(files.lowNoise).configuration
        let unknown = try files.readDefaults(tiny)
        #expect(unknown.name == "my-finetune")
        #expect(unknown.note?.contains("Wan2.2-T2V-A14B") == true)
        #expect((unknown.steps, unknown.boundary) == (40, 0.875))
        #expect(try Generator(files, GenerationRequest(), []).note == unknown.note)

        #expect(try files.readDefaults(.t2v14B) == .t2vA14B)
        var other = WanConfiguration.t2v14B
        other.layers = 39
        #expect(try files.readDefaults(other).name == "my-finetune")
        var single = files
        single.highNoise = nil
        #expect(try single.readDefaults(.t2v14B) == .t2v14B)
        #expect(try single.readDefaults(.t2v1B) == .t2v1B)
        single.root = "/cache/hub/models--Someone--Their-Wan/snapshots/0123abcd"
        #expect(try single.readDefaults(tiny).name == "Their-Wan")
    }

    /// A folder of diffusers' with transformers only takes the rest from elsewhere.
    @Test func completesDiffusersFolders() throws {
        let folder = try TemporaryFolder()
        try folder.copy("pipeline/layouts/diffusers", as: "model")
        let root = folder.path + "/model"
        let whole = try ModelFiles(in: root, completedFrom: Fixture.path("pipeline/layouts/official"))
        #expect(try whole == ModelFiles(in: root))
        for part in ["text_encoder", "vae", "tokenizer"] {
            try FileManager.default.removeItem(atPath: root + "/" + part)
            let error = #expect(throws: SwanError.self) { try Generator(ModelFiles(in: root), GenerationRequest(), []) }
            #expect(error?.code.kind == .missing)
            for base in ["official", "diffusers"] {
                let files = try ModelFiles(in: root, completedFrom: Fixture.path("pipeline/layouts/" + base))
                #expect(throws: Never.self) { try Generator(files, GenerationRequest(), []) }
                #expect(files.autoencoder.path.hasPrefix(root) == (part == "text_encoder"))
            }
        }
    }

    @Test func anEmptyFolderIsNoModel() throws {
        let folder = try TemporaryFolder()
        let error = #expect(throws: SwanError.self) { try ModelFiles(in: folder.path) }
        #expect(error?.code.kind == .missing)
    }

    @Test(arguments: ["too_wide", "unmatched"])
    func refusesALoRAForAnotherModel(file: String) throws {
        var request = GenerationRequest()
        request.lorasHigh = [LoRASetting(Fixture.path("lora/\(file).safetensors"))]
        let error = #expect(throws: SwanError.self) { try Generator(ModelFolder.official.files(), request, []) }
        #expect(error?.code.name == "lora.mismatch")
    }

    @Test(arguments: ModelFolder.allCases.filter { $0 != .lightX2V && $0 != .gguf })
    func inspectionFindsWholeModelsWhole(folder: ModelFolder) throws {
        let inspection = try Inspection(of: Fixture.path("pipeline/layouts/" + folder.rawValue))
        #expect(inspection.problem == nil)
        #expect(inspection.parts.count == 4)
        #expect(inspection.parts.allSatisfy { $0.check?.isFine == true })
    }

    @Test func inspectionNamesWhatIsMissingAndLeftOver() throws {
        let folder = try TemporaryFolder()
        let path = Fixture.path("pipeline/layouts/diffusers/vae/diffusion_pytorch_model.safetensors")
        let source = try openWeights(at: path)
        var tensors: [String: HostTensor] = [:]
        for name in source.names { tensors[name] = try source.tensor(name) }
        tensors["decoder.extra.weight"] = tensors.removeValue(forKey: "decoder.norm_out.gamma")
        tensors["post_quant_conv.bias"] = HostTensor([3], [1, 2, 3])
        try SafetensorsWriter.write(tensors, metadata: [:], to: folder.path + "/vae.safetensors")
        let broken = try Inspection(of: folder.path + "/vae.safetensors")
        #expect(broken.parts[0].check?.missing == ["decoder.head.0.gamma"])
        #expect(broken.parts[0].check?.leftOver == ["decoder.extra.weight"])
        #expect(broken.parts[0].check?.misshapen == ["conv2.bias [3], expected [16]"])
        #expect(broken.problem?.code == "checkpoint.tensor-misshapen")
        for text in ["missing: decoder.head.0.gamma", "left over: decoder.extra.weight", "does not fit: conv2.bias"] {
            #expect(broken.table(listingTensors: false).contains(text))
        }

        let inspection = try Inspection(of: Fixture.path("pipeline/layouts/lightx2v/high_noise_model"))
        #expect(inspection.parts.count == 1)
        #expect(inspection.parts[0].model.contains("2 heads"))
        let lora = try Inspection(of: Fixture.path("lora/peft.safetensors"))
        #expect(lora.parts[0].model == "LoRA")
    }

    /// What a file holds is shown even where it is no model that runs.
    @Test(arguments: [("img_emb.proj.0.bias", "image-to-video"), ("x", "no number of heads")])
    func inspectionShowsRelativesAndUnknownSizes(name: String, problem: String) throws {
        let folder = try TemporaryFolder()
        let source = try Fixture.open("pipeline/layouts/official/high_noise_model")
        var tensors = [name: HostTensor([1], [1])]
        for name in source.names { tensors[name] = try source.tensor(name) }
        let path = folder.path + "/model.safetensors"
        try SafetensorsWriter.write(tensors, metadata: [:], to: path)
        let inspection = try Inspection(of: path)
        #expect(inspection.problem?.code == "model.configuration")
        #expect(inspection.problem?.message.contains(problem) == true, "\(inspection.problem?.message ?? "")")
        #expect(inspection.parts.count == 1)
        #expect(inspection.parts.first?.report.tensors.count == tensors.count)
        #expect(inspection.parts.first?.model == "transformer")
        #expect(inspection.table(listingTensors: true).contains("head.modulation"))
    }
}
