import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanPipeline
import SwanTensor
import SwanTestSupport
import Testing

/// Headers that say anything end in a value or an error, whatever reads them: a trap would end the run.
/// What the readers themselves make of damaged bytes is tested beside them.
@Suite struct HeaderFuzzTests {
    private static let parts = [
        "official/high_noise_model", "official/Wan2.1_VAE.pth", "official/models_t5_umt5-xxl-enc-bf16.pth",
        "diffusers/transformer/diffusion_pytorch_model.safetensors",
        "diffusers/vae/diffusion_pytorch_model.safetensors", "diffusers/text_encoder/model.safetensors",
    ]

    /// Everything that is made of headers alone.
    ///
    /// - Returns: whether they were those of a whole part.
    private func read(_ weights: Headers, heads: Int?) throws(SwanError) -> Bool {
        guard let component = try Component(weights) else { return false }
        let check: TensorCheck
        switch component.kind {
        case .transformer:
            let config = try WanConfiguration(shapesOf: component.weights, heads: heads)
            check = TensorCheck(component.weights, expected: config.tensorShapes)
            #expect(config.parameters > 0 && config.headWidth > 0)
            _ = WanKeys.layers(config)
            _ = try? config.grid(of: [config.inputChannels, 3, 6, 8])
        case .textEncoder:
            let config = try UMT5Configuration(shapesOf: component.weights)
            check = TensorCheck(
                component.weights, expected: config.tensorShapes, tolerated: UMT5Encoder.tolerated)
        case .autoencoder:
            let config = try WanVAEConfiguration(shapesOf: component.weights)
            check = TensorCheck(component.weights, expected: config.tensorShapes)
        }
        try check.requireFine(of: weights.origin)
        return true
    }

    private func outcome(_ headers: Headers, heads: Int?) -> String {
        do {
            return try read(headers, heads: heads) ? "whole" : "unknown"
        } catch {
            return error.code.name
        }
    }

    /// Names, shapes and types, one to four of them changed, read without a file between.
    @Test(arguments: parts.indices)
    func changedNamesAndShapes(part: Int) throws {
        let original = try Headers(Fixture.open("pipeline/layouts/" + Self.parts[part]))
        var random = SeededRandom(UInt64(part))
        #expect(try read(original, heads: 2))
        var outcomes: [String: Int] = [:]
        for _ in 0 ..< 3500 {
            var headers = original
            for _ in 0 ..< Int.random(in: 1 ... 4, using: &random) { headers.change(&random) }
            let heads = [nil, 2, 1, 3, 0, -1, Int.max, Int.min].randomElement(using: &random) ?? nil
            outcomes[outcome(headers, heads: heads), default: 0] += 1
        }
        // Changes that all end in one way would say little.
        #expect(outcomes.count >= 3, "\(outcomes)")
    }

    /// Bytes of headers and configurations in the folder of a whole model, read as the program does.
    @Test func changedFolders() throws {
        let folder = try TemporaryFolder()
        try folder.copy("pipeline/layouts/diffusers", as: "model")
        let root = folder.path + "/model"
        let names = [
            "transformer/config.json", "transformer/diffusion_pytorch_model.safetensors",
            "transformer_2/diffusion_pytorch_model.safetensors", "vae/config.json",
            "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors", "model_index.json",
            "scheduler/scheduler_config.json", "swan.json",
        ]
        let defaults =
            #"{"name":"x","width":64,"height":48,"frames":9,"fps":12,"steps":4,"shift":5.0,"boundary":0.875,"guidance_high":4.0,"guidance_low":3.0,"negative_prompt":"","preset":"lightning"}"#
        try Data(defaults.utf8).write(to: URL(filePath: root + "/swan.json"))
        let contents = try names.map { try Array(Data(contentsOf: URL(filePath: root + "/" + $0))) }
        var random = SeededRandom(99)
        var outcomes: [String: Int] = [:]
        for round in 0 ..< 270 {
            let (name, bytes) = (names[round % names.count], contents[round % names.count])
            let path = root + "/" + name
            try Data(changed(bytes, isTensors: name.hasSuffix(".safetensors"), &random)).write(
                to: URL(filePath: path))
            outcomes[inspected(root, path), default: 0] += 1
            outcomes[generated(root), default: 0] += 1
            try Data(bytes).write(to: URL(filePath: path))
        }
        #expect(outcomes.count >= 5, "\(outcomes)")
        #expect((1 ..< 540).contains(outcomes["whole"] ?? 0), "\(outcomes)")
    }

    private func inspected(_ root: String, _ path: String) -> String {
        do throws(SwanError) {
            let inspection = try Inspection(of: root)
            _ = inspection.table(listingTensors: true)
            _ = try Inspection(of: path)
            return inspection.problem?.code ?? "whole"
        } catch {
            return error.code.name
        }
    }

    private func generated(_ root: String) -> String {
        do throws(SwanError) {
            _ = try Generator(ModelFiles(in: root), GenerationRequest(), [])
            return "whole"
        } catch {
            return error.code.name
        }
    }

    /// A JSON text, or the header of a safetensors file, with one to three changes.
    private func changed(_ bytes: [UInt8], isTensors: Bool, _ random: inout SeededRandom) -> [UInt8] {
        let length = isTensors ? Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16 : bytes.count
        var text = isTensors ? Array(bytes[8 ..< 8 + length]) : bytes
        let numbers = [
            "0", "-1", "1", "1e99", "4294967296", "9223372036854775807", "-9223372036854775808", "null", "7",
        ]
        for _ in 0 ..< Int.random(in: 1 ... 3, using: &random) where !text.isEmpty {
            let place = Int.random(in: 0 ..< text.count, using: &random)
            switch Int.random(in: 0 ..< 4, using: &random) {
            case 0: text[place] = .random(in: 32 ..< 127, using: &random)
            case 1: text.remove(at: place)
            default:
                let isDigit = { (byte: UInt8) in (0x30 ... 0x39).contains(byte) }
                guard let start = text[place...].firstIndex(where: isDigit) else { continue }
                let end = text[start...].firstIndex { !isDigit($0) } ?? text.count
                text.replaceSubrange(start ..< end, with: (numbers.randomElement(using: &random) ?? "0").utf8)
            }
        }
        guard isTensors else { return text }
        let size = (0 ..< 8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
        return size + text + bytes[(8 + length)...]
    }

    // MARK: What once ended the program

    @Test(arguments: [
        ("official/high_noise_model", "blocks.9223372036854775807.norm3.weight", [4]),
        ("official/high_noise_model", "blocks.1000000000.norm3.weight", [4]),
        ("official/high_noise_model", "head.modulation", [1, 2, 1 << 61]),
        ("official/Wan2.1_VAE.pth", "encoder.conv1.weight", [1 << 60, 0, 1, 1, 1]),
        ("official/Wan2.1_VAE.pth", "encoder.conv1.weight", [1 << 61, 1, 1, 1, 1]),
        ("official/models_t5_umt5-xxl-enc-bf16.pth", "blocks.0.pos_embedding.embedding.weight", [512, 4]),
        ("official/models_t5_umt5-xxl-enc-bf16.pth", "blocks.9223372036854775807.norm1.weight", [4]),
    ])
    func hugeNumbersAreRefused(part: String, name: String, extents: [Int]) throws {
        var headers = try Headers(Fixture.open("pipeline/layouts/" + part))
        headers.tensors[name] = TensorInfo(try #require(Shape(checking: extents)), .float32)
        let error = #expect(throws: SwanError.self) { try read(headers, heads: 2) }
        #expect(error?.code.name == "model.configuration", "\(error?.description ?? "")")
    }

    /// A name that no model has is left over, whatever it makes of its numbers.
    @Test(arguments: [
        "decoder.up_blocks.9223372036854775807.resnets.0.conv1.weight", "decoder.up_blocks.0.resnets.-5.conv1.weight",
        "decoder.mid_block.resnets.-9223372036854775808.conv1.weight", "decoder.up_blocks.4.resnets.0.conv1.weight",
    ])
    func hugeNumbersInDiffusersNamesAreLeftOver(name: String) throws {
        var headers = try Headers(Fixture.open("pipeline/layouts/" + Self.parts[4]))
        headers.tensors[name] = TensorInfo([4], .float32)
        let error = #expect(throws: SwanError.self) { try read(headers, heads: nil) }
        #expect(error?.code.name == "checkpoint.tensors-left-over")
        #expect(error?.message.contains(name) == true)
    }

    @Test func moreBlocksThanAnyModelHasAreRefused() throws {
        var headers = try Headers(Fixture.open("pipeline/layouts/official/high_noise_model"))
        for index in 0 ..< 5000 { headers.tensors["blocks.\(index).x"] = TensorInfo([1], .float32) }
        let error = #expect(throws: SwanError.self) { try read(headers, heads: 2) }
        #expect(error?.message.contains("5000 blocks") == true)
    }
}

/// Names, shapes and types without values.
private struct Headers: WeightSource {
    var tensors: [String: TensorInfo]
    let origin = "headers"
    var names: [String] { tensors.keys.sorted() }

    init(_ source: any WeightSource) {
        tensors = [:]
        for name in source.names { tensors[name] = source.info(name) }
    }

    func info(_ name: String) -> TensorInfo? { tensors[name] }
    func tensor(_ name: String) throws(SwanError) -> HostTensor { throw .tensorMissing(name, in: self) }

    private static let numbers = [
        0, 1, 2, 3, 5, 16, 128, 129, 1 << 16, 1 << 20, (1 << 20) + 1, 1 << 31, 1 << 32, 1 << 60, 1 << 61, .max,
    ]

    mutating func change(_ random: inout SeededRandom) {
        let names = names
        guard let name = names.randomElement(using: &random), let info = tensors[name],
            let number = Self.numbers.randomElement(using: &random)
        else { return }
        var extents = info.shape.extents
        switch Int.random(in: 0 ..< 8, using: &random) {
        case 0: tensors[name] = nil
        case 1:
            // Another number in its name.
            tensors[name] = nil
            tensors[name.replacing(#/\d+/#, with: String(number), maxReplacements: 1)] = info
        case 2:
            tensors[name] = nil
            tensors[String(name.dropLast(Int.random(in: 1 ... 3, using: &random)))] = info
        case 3: tensors["blocks.\(number)." + (name.split(separator: ".").last ?? "x")] = info
        case 4: extents.append(number)
        case 5: extents = Array(extents.dropLast())
        case 6:
            // One size throughout, so that shapes agree with each other.
            guard let old = extents.randomElement(using: &random) else { return }
            for (name, info) in tensors {
                let changed = info.shape.extents.map { $0 == old ? number : $0 }
                if let shape = Shape(checking: changed) { tensors[name] = TensorInfo(shape, info.dtype) }
            }
            return
        default:
            guard !extents.isEmpty else { return }
            extents[Int.random(in: 0 ..< extents.count, using: &random)] = number
        }
        if tensors[name] != nil, let shape = Shape(checking: extents) {
            let types: [DType] = [info.dtype, info.dtype, info.dtype, .int64, .q80]
            tensors[name] = TensorInfo(shape, types.randomElement(using: &random) ?? info.dtype)
        }
    }
}
