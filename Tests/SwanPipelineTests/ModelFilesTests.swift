import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanPipeline
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
        } catch let error as SwanError { return error }
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
        let inspection = try Inspection(of: Fixture.path("pipeline/layouts/lightx2v/high_noise_model"))
        #expect(inspection.parts.count == 1)
        #expect(inspection.parts[0].model.contains("2 heads"))
        let lora = try Inspection(of: Fixture.path("lora/peft.safetensors"))
        #expect(lora.parts[0].model == "LoRA")
    }
}
