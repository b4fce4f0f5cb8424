import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanNN
import SwanTensor
import SwanTestSupport
import Testing

/// Guards merging against weights that were merged with PyTorch, in every naming.
@Suite struct LoRATests {
    private func merged(_ file: String, strength: Float) throws -> LoRAWeights {
        let base = try Fixture.open("pipeline/layouts/official/high_noise_model")
        let configuration = try WanConfiguration(shapesOf: base, heads: 2)
        let lora = try LoRAFile(
            Fixture.open("lora/\(file).safetensors"), modules: WanKeys.layers(configuration),
            translate: { WanKeys.official(layer: $0) })
        return try LoRAWeights(base, adding: [(lora, strength)])
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
        let name = "patch_embedding.weight"
        #expect(try weights.tensor(name).floats() == base.tensor(name).floats())
    }
}
