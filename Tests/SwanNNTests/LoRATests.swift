import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanNN
import SwanTensor
import SwanTestSupport
import Testing

/// Guards merging against weights that were merged with PyTorch, in every naming.
@Suite struct LoRATests {
    private func file(_ name: String, for base: any WeightSource) throws -> LoRAFile {
        let configuration = try WanConfiguration(shapesOf: base, heads: 2)
        return try LoRAFile(
            Fixture.open("lora/\(name).safetensors"), spellings: WanKeys.spellings(configuration))
    }

    private func merged(_ name: String, strength: Float) throws -> LoRAWeights {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        return try LoRAWeights(base, adding: [(file(name, for: base), strength)])
    }

    @Test(arguments: ["lightning_high_noise", "underscores", "peft"], [1, 0.5] as [Float])
    func mergesEveryNaming(file: String, strength: Float) throws {
        let expected = try Fixture.open("lora/expected.safetensors")
        let weights = try merged(file, strength: strength)
        let prefix = "lightning_high_noise.\(strength == 1 ? "1" : "0.5")."
        let names = expected.names.filter { $0.hasPrefix(prefix) }
        #expect(names.count == 3)
        for name in names {
            let ours = try weights.tensor(String(name.dropFirst(prefix.count))).floats()
            let error = Deviation(ours, try expected.tensor(name).floats())
            #expect(error.relative <= 1e-6, "\(name): \(error)")
        }
    }

    @Test(arguments: [1, 0.5] as [Float])
    func mergesDifferencesOfWeightsBiasesAndModulations(strength: Float) throws {
        let expected = try Fixture.open("lora/expected.safetensors")
        let weights = try merged("differences", strength: strength)
        let prefix = "differences.\(strength == 1 ? "1" : "0.5")."
        let names = expected.names.filter { $0.hasPrefix(prefix) }
        #expect(names.count >= 3)
        for name in names {
            let ours = try weights.tensor(String(name.dropFirst(prefix.count))).floats()
            let error = Deviation(ours, try expected.tensor(name).floats())
            #expect(error.relative <= 1e-6, "\(name): \(error)")
        }
    }

    @Test func leavesOtherTensorsAlone() throws {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let weights = try merged("lightning_high_noise", strength: 1)
        let (prefix, suffix) = ("diffusion_model.", ".lora_up.weight")
        let touched = try Fixture.open("lora/lightning_high_noise.safetensors").names.filter { $0.hasSuffix(suffix) }
            .map { String($0.dropFirst(prefix.count).dropLast(suffix.count)) + ".weight" }
        #expect(touched.count == 20)
        var alone = 0
        for name in base.names {
            let isSame = try weights.tensor(name).floats() == base.tensor(name).floats()
            #expect(isSame == !touched.contains(name), "\(name)")
            #expect(touched.contains(name) || weights.info(name) == base.info(name), "\(name)")
            if isSame { alone += 1 }
        }
        #expect(alone == base.names.count - 20)
    }

    /// Several LoRAs add up, each with its strength, and a negative one takes away.
    @Test(arguments: [[1, -1], [0.5, 0.5], [-0.5], [2, 0.5, -1]] as [[Float]])
    func strengthsAddUp(strengths: [Float]) throws {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let lora = try file("lightning_high_noise", for: base)
        let stacked = try LoRAWeights(base, adding: strengths.map { (lora, $0) })
        let once = try LoRAWeights(base, adding: [(lora, 1)])
        let sum = strengths.reduce(0, +)
        for name in base.names where once.info(name) != base.info(name) || once.info(name)?.dtype == .float32 {
            let (plain, whole) = (try base.tensor(name).floats(), try once.tensor(name).floats())
            let expected = zip(plain, whole).map { $0 + sum * ($1 - $0) }
            let error = Deviation(try stacked.tensor(name).floats(), expected)
            #expect(error.relative <= 1e-5, "\(name): \(error)")
        }
    }

    /// The sum as it was made before devices could make it: widened, and one product after the other added.
    private func summed(_ tensor: HostTensor) throws -> [Float] {
        let parts = try #require(tensor.lowRank)
        var values = try parts.base.floats()
        for change in parts.changes {
            let (up, down) = (try change.up.floats(), try change.down.floats())
            values.withUnsafeMutableBufferPointer { values in
                up.withUnsafeBufferPointer { up in
                    down.withUnsafeBufferPointer { down in
                        ElementFormat.addProduct(
                            up, down, rank: change.rank, factor: change.factor, rows: 0 ..< tensor.shape[0], to: values)
                    }
                }
            }
        }
        return values
    }

    /// Products of factors stay beside the stored matrix, in the order and with the strengths of their files; whoever
    /// asks for values gets the same bits as from their sum.
    @Test(arguments: [[1], [0.5, -2]] as [[Float]])
    func productsAreLeftToTheDevice(strengths: [Float]) throws {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let names = ["lightning_high_noise", "peft"]
        let files = try strengths.indices.map { (try file(names[$0], for: base), strengths[$0]) }
        let weights = try LoRAWeights(base, adding: files)
        #expect(weights.canReadAgain())
        var changed = 0
        for name in base.names where weights.info(name) != base.info(name) || weights.info(name)?.dtype == .float32 {
            let tensor = try weights.tensor(name)
            guard let parts = tensor.lowRank else {
                #expect(try tensor.floats() == base.tensor(name).floats(), "\(name)")
                continue
            }
            #expect(parts.base.dtype == base.info(name)?.dtype && weights.info(name)?.dtype == .float32)
            let alone = try files.map { try LoRAWeights(base, adding: [$0]).tensor(name).lowRank?.changes ?? [] }
            #expect(parts.changes.map(\.factor) == alone.flatMap { $0 }.map(\.factor))
            #expect(try tensor.floats() == summed(tensor), "\(name)")
            changed += 1
        }
        #expect(changed == 20)
    }

    /// What is more than a product of factors is merged when it is read, between products too; reading that again at
    /// every step is much work.
    @Test(arguments: ["differences", "lokr", "loha", "dora", "set_weight"])
    func otherKindsAreMergedWhenRead(kind: String) throws {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let files = try ["lightning_high_noise", kind, "lightning_high_noise"].map {
            (try file($0, for: base), Float(0.5))
        }
        let other = try LoRAWeights(base, adding: [files[1]])
        let all = try LoRAWeights(base, adding: files)
        let before = try LoRAWeights(base, adding: [files[0]])
        #expect(!all.canReadAgain() && !all.canReadAgain(under: "blocks."))
        // The differences are those of the head, too.
        #expect(all.canReadAgain(under: "head.") == (kind != "differences"))
        var merged = 0
        for name in base.names where name.hasSuffix(".weight") && base.info(name)?.shape.rank == 2 {
            let read = try other.tensor(name)
            guard read.lowRank == nil, try read.floats() != base.tensor(name).floats() else { continue }
            // What stands before it is merged with it, what comes behind it is not.
            let products = try before.tensor(name).lowRank?.changes.count
            #expect(try all.tensor(name).lowRank?.changes.count == products, "\(name)")
            merged += 1
        }
        #expect(merged > 0)
    }

    /// Whatever a device does with them, layers with LoRAs compute what layers with the merged weights do; on the CPU bit
    /// for bit.
    @Test(arguments: TestDevice.requested, [nil, .fp8, .int8, .rotatedInt8] as [EightBitCoding?])
    func layersComputeWithTheSum(device: TestDevice, coding: EightBitCoding?) throws {
        let backend = try device.open()
        var random = SeededRandom(8)
        let (inputs, outputs, ranks) = (64, 50, [4, 9])
        var weight = try HostTensor([outputs, inputs], random.floats(outputs * inputs)).rounded(to: .bfloat16)
        for rank in ranks {
            weight = try weight.adding(
                LowRankChange(
                    up: HostTensor([outputs, rank], random.floats(outputs * rank)).rounded(to: .float16),
                    down: HostTensor([rank, inputs], random.floats(rank * inputs)).rounded(to: .float16), factor: 0.3))
        }
        let x = HostTensor([3, inputs], random.floats(3 * inputs))
        func product(_ weight: HostTensor) throws -> [Float] {
            let input = try backend.upload(x, as: backend.activationType)
            guard let coding else {
                let weights = try backend.makeLinear(weight: weight, bias: nil)
                return try backend.download(backend.linear(input, weights, activation: .identity))
            }
            let weights = try backend.makeLinear(weight: weight, bias: nil, as: coding)
            return try backend.download(
                backend.linear(backend.quantizeRows(input, to: coding), weights, result: .float32))
        }
        let (found, expected) = (try product(weight), try product(HostTensor(weight.shape, weight.floats())))
        if backend.activationType == .float32 {
            #expect(found == expected)
        } else {
            #expect(Deviation(found, expected).relative < 1e-2)
        }
    }

    /// Different files add up as well.
    @Test func filesAddUp() throws {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let files = try ["lightning_high_noise", "differences"].map { try file($0, for: base) }
        let both = try LoRAWeights(base, adding: [(files[0], 1), (files[1], -0.5)])
        let alone = [
            try LoRAWeights(base, adding: [(files[0], 1)]), try LoRAWeights(base, adding: [(files[1], -0.5)]),
        ]
        var changed = 0
        for name in base.names {
            let plain = try base.tensor(name).floats()
            let parts = try alone.map { try $0.tensor(name).floats() }
            let expected = plain.indices.map { parts[0][$0] + parts[1][$0] - plain[$0] }
            let error = Deviation(try both.tensor(name).floats(), expected)
            #expect(error.relative <= 1e-5, "\(name): \(error)")
            if parts[0] != plain || parts[1] != plain { changed += 1 }
        }
        #expect(changed > 3)
    }

    /// The rarer kinds, against formulas computed in float64 with PyTorch.
    @Test(
        arguments: [
            "lokr", "loha", "dora", "dora_columns", "dora_peft", "rslora", "metadata", "set_weight", "two_experts.high",
            "two_experts.low",
            "kohya_diffusers",
        ], [1, 0.5] as [Float])
    func mergesEveryKind(kind: String, strength: Float) throws {
        let expected = try Fixture.open("lora/kinds.safetensors")
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let name = kind.split(separator: ".").first.map(String.init) ?? kind
        let file = try LoRAFile(
            Fixture.open("lora/\(name).safetensors"),
            spellings: WanKeys.spellings(WanConfiguration(shapesOf: base, heads: 2)),
            expert: kind.hasSuffix(".high") ? .high : kind.hasSuffix(".low") ? .low : nil)
        let weights = try LoRAWeights(base, adding: [(file, strength)])
        let prefix = "\(kind).\(strength == 1 ? "1" : "0.5")."
        let changed = Set(base.names.filter { weights.info($0)?.dtype != base.info($0)?.dtype })
        let names = expected.names.filter { $0.hasPrefix(prefix) }
        #expect(!names.isEmpty)
        for name in names {
            let tensor = String(name.dropFirst(prefix.count))
            let error = Deviation(try weights.tensor(tensor).floats(), try expected.tensor(name).floats())
            #expect(error.relative <= 1e-6, "\(tensor): \(error)")
        }
        // Nothing else is touched.
        for name in base.names where !names.contains(prefix + name) {
            #expect(try weights.tensor(name).floats() == base.tensor(name).floats(), "\(name)")
        }
        #expect(changed.count <= names.count)
    }

    private func refusal(_ tensors: [String: HostTensor]) throws -> SwanError? {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let spellings = try WanKeys.spellings(WanConfiguration(shapesOf: base, heads: 2))
        return #expect(throws: SwanError.self) {
            _ = try LoRAWeights(base, adding: [(LoRAFile(InMemoryWeights(tensors), spellings: spellings), 1)])
        }
    }

    private func ones(_ shape: Shape) -> HostTensor {
        HostTensor(shape, [Float](repeating: 1, count: shape.count))
    }

    @Test func refusesHalvesAndMisfits() throws {
        let q = "blocks.0.self_attn.q"
        let cases: [(String, [String: HostTensor])] = [
            ("lacks a factor", [q + ".lora_down.weight": ones([2, 32])]),
            ("lacks a factor", [q + ".lokr_w1": ones([4, 8])]),
            ("lacks a factor", [q + ".lokr_w1": ones([4, 8]), q + ".lokr_w2_a": ones([8, 2])]),
            ("lacks a factor", [q + ".hada_w1_a": ones([32, 2]), q + ".hada_w1_b": ones([2, 32])]),
            ("lacks a factor", [q + ".dora_scale": ones([32])]),
            ("lacks a factor", [q + ".alpha": ones([])]),
            (
                "[16, 32]",
                [q + ".lora_down.weight": ones([2, 32]), q + ".lora_up.weight": ones([16, 2])]
            ),
            ("[32, 64]", [q + ".lokr_w1": ones([4, 8]), q + ".lokr_w2": ones([8, 8])]),
            (
                "do not fit each other",
                [q + ".lora_down.weight": ones([3, 32]), q + ".lora_up.weight": ones([32, 2])]
            ),
            (
                "lengths",
                [
                    q + ".lora_down.weight": ones([2, 32]), q + ".lora_up.weight": ones([32, 2]),
                    q + ".dora_scale": ones([1, 16]),
                ]
            ),
            (
                // PEFT's lengths are those of outputs, whatever they look like.
                "[48, 1]",
                [
                    "blocks.1.ffn.0.lora_A.weight": ones([2, 32]), "blocks.1.ffn.0.lora_B.weight": ones([48, 2]),
                    "blocks.1.ffn.0.lora_magnitude_vector": ones([1, 32]),
                ]
            ),
            (
                "lacks a factor",
                [
                    q + ".lora_A.weight": ones([2, 32]), q + ".lora_B.weight": ones([32, 2]),
                    q + ".lora_magnitude_vector": ones([32]), q + ".dora_scale": ones([32, 1]),
                ]
            ),
            ("[3]", [q + ".diff_b": ones([3])]),
            ("convolution", [q + ".lora_mid.weight": ones([2, 2, 3, 3])]),
            ("'blocks.9.self_attn.q", ["blocks.9.self_attn.q.diff_b": ones([32])]),
        ]
        for (word, tensors) in cases {
            let error = try refusal(tensors)
            #expect(error?.message.contains(word) == true, "\(word): \(error.map(String.init(describing:)) ?? "")")
        }
    }

    /// A convolution's input channels have lengths that stretch over all its places.
    @Test func lengthsOfInputsReachOverAKernel() throws {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let spellings = try WanKeys.spellings(WanConfiguration(shapesOf: base, heads: 2))
        let name = "patch_embedding"
        let shape = try #require(base.info(name + ".weight")?.shape)
        #expect(shape == [32, 16, 1, 2, 2])
        let lengths = (0 ..< 16).map { Float($0 + 1) }
        let file = try LoRAFile(
            InMemoryWeights([
                name + ".lora_down.weight": HostTensor([2, 64], [Float](repeating: 0, count: 128)),
                name + ".lora_up.weight": ones([32, 2]), name + ".dora_scale": HostTensor([1, 16, 1, 1, 1], lengths),
            ]), spellings: spellings)
        let values = try LoRAWeights(base, adding: [(file, 1)]).tensor(name + ".weight").floats()
        for channel in 0 ..< 16 {
            var square = 0.0
            for output in 0 ..< 32 {
                for place in 0 ..< 4 { square += pow(Double(values[output * 64 + channel * 4 + place]), 2) }
            }
            #expect(abs(square.squareRoot() - Double(lengths[channel])) < 1e-4 * Double(lengths[channel]))
        }
    }

    @Test func aFileOfTheLowNoiseExpertIsForThatOne() throws {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let spellings = try WanKeys.spellings(WanConfiguration(shapesOf: base, heads: 2))
        let file = InMemoryWeights(["transformer_2.blocks.1.ffn.net.0.proj.diff": ones([48, 32])])
        #expect(LoRANames.areForLowNoiseOnly(file.names) && !LoRANames.areForLowNoiseOnly(base.names))
        #expect(!LoRANames.areForLowNoiseOnly([]))
        let low = try LoRAFile(file, spellings: spellings, expert: .low)
        let changed = try LoRAWeights(base, adding: [(low, 1)]).tensor("blocks.1.ffn.0.weight").floats()
        #expect(changed == (try base.tensor("blocks.1.ffn.0.weight").floats().map { $0 + 1 }))
        let error = #expect(throws: SwanError.self) { try LoRAFile(file, spellings: spellings, expert: .high) }
        #expect(
            error?.message.contains("low-noise expert only") == true && error?.advice.contains("--lora-low") == true)
    }

    /// Every prefix and both spellings mean the same layer.
    @Test(
        arguments: [
            "", "diffusion_model.", "model.diffusion_model.", "transformer.", "base_model.model.",
            "base_model.model.diffusion_model.", "unet.", "model.",
        ], ["blocks.1.ffn.0", "blocks.1.ffn.net.0.proj"])
    func everyPrefixIsKnown(prefix: String, module: String) throws {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let spellings = try WanKeys.spellings(WanConfiguration(shapesOf: base, heads: 2))
        let file = try LoRAFile(
            InMemoryWeights([prefix + module + ".diff": ones([48, 32])]), spellings: spellings)
        let weights = try LoRAWeights(base, adding: [(file, 1)])
        let (plain, changed) = (
            try base.tensor("blocks.1.ffn.0.weight").floats(), try weights.tensor("blocks.1.ffn.0.weight").floats()
        )
        #expect(changed == plain.map { $0 + 1 })
    }
}
