import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanPipeline
import SwanTensor
import SwanTestSupport
import Testing

/// Writing checkpoints anew: what comes out is read again and compared with what went in.
@Suite struct ConversionTests {
    private let expert = Fixture.path("pipeline/layouts/official/high_noise_model")

    private func name(_ format: ConversionFormat) -> String { format.isGGUF ? "out.gguf" : "out.safetensors" }

    private func files(in folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
    }

    /// The largest error that a format may make, relative to the largest magnitude among what shares its scale: half a
    /// step; a whole one where the types of even numbers of values lack the far end; and the float16 of scales and minima.
    private static let steps: [ConversionFormat: Float] = [
        .fp32: 0, .bf16: 0x1p-8, .fp16: 0x1p-11, .ggufBF16: 0x1p-8, .ggufF16: 0x1p-11, .fp8: 0x1p-4, .fp8Scaled: 0x1p-4,
        .fp8Row: 0x1p-4, .int8Row: 0.501 / 127, .ggufQ80: 0.501 / 127 + 0x1p-11, .ggufQ51: 1.001 / 31 + 0x3p-11,
        .ggufQ50: 1.001 / 16 + 0x1p-11, .ggufQ41: 1.001 / 15 + 0x3p-11, .ggufQ40: 1.001 / 8 + 0x1p-11,
    ]

    @Test(arguments: ConversionFormat.allCases) func everyFormatComesBack(format: ConversionFormat) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/" + name(format)
        let conversion = try Conversion(expert, to: path, as: format)
        var reported = 0
        try conversion.run { reported = $0 }
        #expect(reported == conversion.sourceBytes)
        #expect(try files(in: folder) == [name(format)])
        let size = try Data(contentsOf: URL(fileURLWithPath: path)).count
        #expect(size >= conversion.bytes && size < conversion.bytes + 32_768)

        let (original, found) = (try openModelWeights(at: expert), try openModelWeights(at: path))
        #expect(found.names == original.names)
        let step = try #require(Self.steps[format])
        var small = 0
        for name in original.names {
            let (a, b) = (try original.tensor(name), try found.tensor(name))
            #expect(a.shape == b.shape, "\(name)")
            let isLayer = name.hasPrefix("blocks.") && name.hasSuffix(".weight") && a.shape.rank == 2
            let isWhole = !format.isGGUF || [.ggufF16, .ggufBF16].contains(format) || a.shape.rowCount % 32 == 0
            if isLayer, isWhole, conversion.quantizedCount > 0 { small += 1 }
            // Outside the layers nothing is rounded further than to 16 bits.
            let limit = isLayer && isWhole ? step : conversion.quantizedCount > 0 ? (format.isGGUF ? 0x1p-8 : 0) : step
            let (x, y) = (try a.floats(), try b.floats())
            let largest = x.map(\.magnitude).max() ?? 0
            let error = zip(x, y).map { ($0 - $1).magnitude }.max() ?? 0
            #expect(error <= limit * largest, "\(format.rawValue) \(name): \(error) of \(largest)")
        }
        #expect(small == conversion.quantizedCount)
        // The network's sizes come back, heads among them.
        let files = try ModelFolder.official.files()
        let config = try files.openTransformer(ModelFiles.Part(path)).configuration
        #expect(try config.heads == files.openTransformer(#require(files.highNoise)).configuration.heads)
        #expect(config.width == 32 && config.layers == 2 && config.feedForward == 48)
        let inspection = try Inspection(of: path)
        #expect(inspection.problem == nil && inspection.parts.allSatisfy { $0.check?.isFine == true })
    }

    @Test func scalesAreWhereEachConventionHasThem() throws {
        let folder = try TemporaryFolder()
        let q = "blocks.0.self_attn.q"
        for (format, dtype, scale, shape) in [
            (ConversionFormat.fp8Row, DType.float8E4M3, ".weight_scale", [32, 1] as Shape),
            (.int8Row, .int8, ".weight_scale", [32, 1]), (.fp8Scaled, .float8E4M3, ".scale_weight", []),
        ] {
            let path = folder.path + "/\(format.rawValue).safetensors"
            try Conversion(expert, to: path, as: format).run()
            let raw = try openWeights(at: path)
            #expect(raw.info(q + ".weight") == TensorInfo([32, 32], dtype))
            #expect(raw.info(q + scale) == TensorInfo(shape, .float32))
            #expect(raw.info("blocks.0.norm3.weight")?.dtype == .float32)
            #expect((raw.info("scaled_fp8") != nil) == (format == .fp8Scaled))
            #expect(raw.annotations["format"] == "pt" && raw.annotations["config"]?.contains("num_heads") == true)
        }
        let path = folder.path + "/x.gguf"
        try Conversion(expert, to: path, as: .ggufQ80).run()
        let gguf = try GGUFFile(path: path)
        #expect(gguf.info(q + ".weight")?.dtype == .q80)
        #expect(
            gguf.info("blocks.0.modulation")?.dtype == .float32 && gguf.info("head.head.weight")?.dtype == .bfloat16)
        #expect(gguf.info("patch_embedding.weight") == TensorInfo([32, 16, 1, 2, 2], .float32))
        #expect(gguf.metadata["general.architecture"] == .string("wan"))
        #expect(gguf.metadata["general.file_type"] == .integer(7))
        #expect(gguf.metadata["wan.attention.head_count"] == .integer(2))
        #expect(gguf.metadata["general.quantization_version"] == .integer(2))
    }

    /// Shards become one file and one file shards, in other names too, without a changed bit.
    @Test func shardsAndNamesChangeNoValue() throws {
        let folder = try TemporaryFolder()
        let source = Fixture.path("pipeline/layouts/diffusers/transformer")
        let (one, shards, again) = (
            folder.path + "/one.safetensors", folder.path + "/shards", folder.path + "/two.safetensors"
        )
        try Conversion(source, to: one, as: .fp32).run()
        try Conversion(one, to: shards, as: .fp32, shardBytes: 1_000_000).run()
        try Conversion(shards, to: again, as: .fp32).run()
        #expect(try Data(contentsOf: URL(fileURLWithPath: one)) == Data(contentsOf: URL(fileURLWithPath: again)))
        #expect(FileManager.default.fileExists(atPath: shards + "/diffusion_pytorch_model.safetensors.index.json"))
        let (original, found) = (
            try #require(try Component(openModelWeights(at: source))?.weights), try openModelWeights(at: again)
        )
        for name in original.names {
            #expect(try original.tensor(name).floats() == found.tensor(name).floats(), "\(name)")
        }
    }

    /// Eight bits and blocks can be converted on; what is read of them is what is written.
    @Test(arguments: [ConversionFormat.fp8Scaled, .fp8Row, .int8Row, .ggufQ80, .ggufQ40]) func quantizedSourcesAreRead(
        format: ConversionFormat
    ) throws {
        let folder = try TemporaryFolder()
        let (small, wide) = (folder.path + "/small." + name(format), folder.path + "/wide.safetensors")
        try Conversion(expert, to: small, as: format).run()
        let conversion = try Conversion(small, to: wide, as: .fp32)
        #expect(conversion.notes.contains { $0.contains("quantised already") })
        try conversion.run()
        let (a, b) = (try openModelWeights(at: small), try openModelWeights(at: wide))
        #expect(a.names == b.names)
        for name in a.names { #expect(try a.tensor(name).floats() == b.tensor(name).floats(), "\(name)") }
    }

    /// A transformer's configuration goes along whole, in official spelling, through every format and back.
    @Test func aWholeConfigurationGoesAlong() throws {
        let folder = try TemporaryFolder()
        let layouts = Fixture.path("pipeline/layouts/")
        let input = folder.path + "/input"
        try folder.copy("pipeline/layouts/diffusers/transformer", as: "input")
        let json = #"{"_class_name":"WanTransformer3DModel","num_attention_heads":2,"eps":1e-5,"text_len":64}"#
        try Data(json.utf8).write(to: URL(filePath: input + "/config.json"))
        let gguf = folder.path + "/a.gguf"
        try Conversion(input, to: gguf, as: .ggufF16).run()
        let shards = folder.path + "/shards"
        try Conversion(gguf, to: shards + "/", as: .bf16).run()
        let again = folder.path + "/b.safetensors"
        try Conversion(shards + "/", to: again, as: .fp8Row).run()
        let files = try ModelFolder.official.files()
        for path in [gguf, shards, again] {
            let found = try files.openTransformer(ModelFiles.Part(path)).configuration
            #expect(found.heads == 2 && found.textTokens == 64 && found.eps == 1e-5, "\(path)")
        }
        let written = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: URL(filePath: shards + "/config.json")))
                as? [String: Any])
        #expect(written["_class_name"] as? String == "WanModel" && written["model_type"] as? String == "t2v")
        #expect(
            ["dim", "ffn_dim", "freq_dim", "in_dim", "num_heads", "num_layers", "out_dim", "text_dim", "text_len"].map {
                written[$0] as? Int
            } == [32, 48, 32, 16, 2, 2, 16, 32, 64])
        #expect(written["eps"] as? Double == 1e-5 && written["patch_size"] as? [Int] == [1, 2, 2])
        // An official one stays as it is.
        let official = folder.path + "/official"
        try Conversion(layouts + "official/high_noise_model/", to: official, as: .bf16).run()
        #expect(
            try Data(contentsOf: URL(filePath: official + "/config.json"))
                == Data(contentsOf: URL(filePath: expert + "/config.json")))
    }

    /// A configuration that happens to lie beside a part, and is another's, does not go along.
    @Test func anotherPartsConfigurationStays() throws {
        let folder = try TemporaryFolder()
        let layouts = Fixture.path("pipeline/layouts/")
        try FileManager.default.copyItem(
            atPath: layouts + "official/Wan2.1_VAE.pth", toPath: folder.path + "/Wan2.1_VAE.pth")
        try FileManager.default.copyItem(atPath: expert + "/config.json", toPath: folder.path + "/config.json")
        try Conversion(folder.path + "/Wan2.1_VAE.pth", to: folder.path + "/vae", as: .fp16).run()
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/vae/config.json"))
        #expect(try openWeights(at: folder.path + "/vae").annotations["config"] == nil)
        try Conversion(folder.path + "/Wan2.1_VAE.pth", to: folder.path + "/vae.safetensors", as: .fp16).run()
        #expect(try openWeights(at: folder.path + "/vae.safetensors").annotations["config"] == nil)
    }

    /// What gets the output's name while it is made is kept.
    @Test(arguments: [("out.safetensors", ConversionFormat.bf16), ("out.gguf", .ggufQ80), ("out", .bf16)])
    func whatAppearsMeanwhileIsKept(output: String, format: ConversionFormat) throws {
        let folder = try TemporaryFolder()
        let path = folder.path + "/" + output
        let conversion = try Conversion(expert, to: path, as: format)
        var isMade = false
        let error = #expect(throws: SwanError.self) {
            try conversion.run { _ in
                guard !isMade else { return }
                isMade = true
                if output == "out" {
                    try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
                } else {
                    try? Data("mine".utf8).write(to: URL(filePath: path))
                }
            }
        }
        #expect(error?.code.name == "checkpoint.unwritable" && error?.message.contains("not overwritten") == true)
        #expect(try files(in: folder) == [output])
        if output != "out" {
            #expect(try Data(contentsOf: URL(filePath: path)) == Data("mine".utf8))
        } else {
            #expect(try FileManager.default.contentsOfDirectory(atPath: path).isEmpty)
        }
    }

    /// A tokenizer in a text encoder's file takes a byte for each value and is no quantised weight.
    @Test func aTokenizerIsNoQuantisedWeight() throws {
        let folder = try TemporaryFolder()
        let original = try openModelWeights(at: Fixture.path("pipeline/layouts/diffusers/text_encoder"))
        var tensors: [String: HostTensor] = [:]
        for name in original.names { tensors[name] = try original.tensor(name) }
        let bytes = [UInt8](repeating: 7, count: 1000).withUnsafeBytes { HostBytes(copying: $0) }
        tensors["spiece_model"] = try HostTensor([1000], .uint8, bytes)
        let path = folder.path + "/umt5.safetensors"
        try SafetensorsWriter.write(tensors, to: path)
        #expect(try Conversion(path, to: folder.path + "/out.safetensors", as: .fp8Row).notes.isEmpty)
    }

    @Test func otherPartsKeepTheirNames() throws {
        let folder = try TemporaryFolder()
        for (part, format) in [("text_encoder", ConversionFormat.fp8Row), ("text_encoder", .bf16), ("vae", .fp16)] {
            let source = Fixture.path("pipeline/layouts/diffusers/\(part)")
            let path = folder.path + "/\(part)-\(format.rawValue).safetensors"
            try Conversion(source, to: path, as: format).run()
            let (original, found) = (try openModelWeights(at: source), try openModelWeights(at: path))
            #expect(original.names == found.names)
        }
        // The autoencoder's scales stand in its configuration, which the file carries.
        var files = try ModelFolder.diffusers.files()
        let own = try files.openAutoencoder().configuration
        files.autoencoder = ModelFiles.Part(folder.path + "/vae-fp16.safetensors")
        #expect(try files.openAutoencoder().configuration == own)
    }

    @Test func refusesNonsense() throws {
        let folder = try TemporaryFolder()
        let out = folder.path + "/out"
        let vae = Fixture.path("pipeline/layouts/diffusers/vae")
        let encoder = Fixture.path("pipeline/layouts/diffusers/text_encoder")
        func refuse(
            _ code: String, _ word: String, _ input: String, _ output: String, _ format: ConversionFormat,
            _ shards: Int? = nil
        ) {
            let error = #expect(throws: SwanError.self) {
                try Conversion(input, to: output, as: format, shardBytes: shards).run()
            }
            #expect(error?.code.name == code, "\(error.map(String.init(describing:)) ?? "")")
            #expect(error?.description.contains(word) == true, "\(error.map(String.init(describing:)) ?? "")")
        }
        refuse("pipeline.conversion", ".gguf", expert, out + ".safetensors", .ggufQ80)
        refuse("pipeline.conversion", ".safetensors", expert, out + ".gguf", .bf16)
        refuse("pipeline.conversion", ".gguf", expert, out, .ggufQ80)
        refuse("pipeline.conversion", "one file", expert, out + ".safetensors", .bf16, 2_000_000)
        refuse("pipeline.conversion", "1MB", expert, out, .bf16, 10)
        refuse("pipeline.conversion", "slash", expert, out + ".safetensors/", .bf16)
        refuse("pipeline.conversion", "autoencoder", vae, out + ".safetensors", .fp8Row)
        refuse("pipeline.conversion", "text encoder", encoder, out + ".gguf", .ggufQ80)
        refuse("pipeline.conversion", "LoRA", Fixture.path("lora/peft.safetensors"), out + ".safetensors", .bf16)
        refuse("checkpoint.file-missing", "none", folder.path + "/none", out + ".safetensors", .bf16)
        refuse("media.folder-missing", "nowhere", expert, folder.path + "/nowhere/x.safetensors", .bf16)
        try Data("x".utf8).write(to: URL(fileURLWithPath: out + ".safetensors"))
        refuse("media.output-exists", "exists", expert, out + ".safetensors", .bf16)
        #expect(try files(in: folder) == ["out.safetensors"])
        #expect(try Data(contentsOf: URL(fileURLWithPath: out + ".safetensors")) == Data("x".utf8))
    }

    @Test func valuesThatAFormatCannotHoldAreNamed() throws {
        let folder = try TemporaryFolder()
        let original = try openModelWeights(at: expert)
        var tensors: [String: HostTensor] = [:]
        for name in original.names { tensors[name] = try original.tensor(name) }
        let name = "blocks.1.ffn.0.weight"
        let source = folder.path + "/source.safetensors"
        for (value, format) in [
            (Float(70000), ConversionFormat.fp16), (500, .fp8), (.nan, .bf16), (.infinity, .fp8Row),
            // Beyond the largest bfloat16, which is less than the largest float32.
            (3.4e38, .bf16), (3.4e38, .ggufBF16), (70000, .ggufF16),
            // Blocks whose scale, or whose minimum, has no room in float16.
            (8.4e6, .ggufQ80), (1.1e6, .ggufQ50), (5.3e5, .ggufQ40), (66000, .ggufQ51), (66000, .ggufQ41),
            (-66000, .ggufQ41), (.nan, .ggufQ80),
        ] {
            var values = try #require(tensors[name]).floats()
            values[7] = value
            var changed = tensors
            changed[name] = HostTensor([48, 32], values)
            try SafetensorsWriter.write(changed, metadata: ["config": #"{"num_heads":2}"#], to: source)
            let out = folder.path + "/" + self.name(format)
            let error = #expect(throws: SwanError.self, "\(format.rawValue)") {
                try Conversion(source, to: out, as: format).run()
            }
            #expect(error?.code == .conversionRefused && error?.message.contains(name) == true)
            #expect(try files(in: folder) == ["source.safetensors"])
        }
    }

    /// Just below these limits, what is written is what was there.
    @Test(arguments: [
        (Float(3.38e38), ConversionFormat.bf16), (8.3e6, .ggufQ80), (1.0e6, .ggufQ50), (5.2e5, .ggufQ40),
        (65000, .ggufQ51), (-65000, .ggufQ41), (3e38, .fp8Row), (3e38, .int8Row),
    ]) func largeValuesThatFitAreKept(value: Float, format: ConversionFormat) throws {
        let folder = try TemporaryFolder()
        let original = try openModelWeights(at: expert)
        var tensors: [String: HostTensor] = [:]
        for name in original.names { tensors[name] = try original.tensor(name) }
        let name = "blocks.1.ffn.0.weight"
        var values = try #require(tensors[name]).floats()
        values[7] = value
        tensors[name] = HostTensor([48, 32], values)
        let (source, out) = (folder.path + "/source.safetensors", folder.path + "/out." + self.name(format))
        try SafetensorsWriter.write(tensors, metadata: ["config": #"{"num_heads":2}"#], to: source)
        try Conversion(source, to: out, as: format).run()
        let found = try openModelWeights(at: out).tensor(name).floats()
        #expect(found.allSatisfy { $0.isFinite })
        #expect(abs(found[7] - value) <= 0.13 * abs(value), "\(found[7])")
    }

    @Test(arguments: ["out.safetensors", "out"]) func aStopLeavesNothing(output: String) throws {
        let folder = try TemporaryFolder()
        let conversion = try Conversion(expert, to: folder.path + "/" + output, as: .bf16)
        let cancellation = Cancellation()
        let error = #expect(throws: SwanError.self) {
            try conversion.run(cancellation: cancellation) { if $0 > 30_000 { cancellation.cancel() } }
        }
        #expect(error?.code == .cancelled)
        #expect(try files(in: folder).isEmpty)
    }
}
