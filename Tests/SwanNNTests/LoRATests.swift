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
            Fixture.open("lora/\(name).safetensors"), modules: WanKeys.layers(configuration),
            translate: { WanKeys.official(layer: $0) })
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
}
