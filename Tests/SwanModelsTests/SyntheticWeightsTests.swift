import SwanCheckpoint
import SwanModels
import SwanTensor
import Testing

/// Random weights fit the network that they are for, and keep values in its range.
@Suite struct SyntheticWeightsTests {
    @Test func everyTensorIsThereAndOfItsOwn() throws {
        let config = WanConfiguration(width: 24, feedForward: 40, heads: 2, layers: 2, textWidth: 12)
        let weights = SyntheticWeights(config.tensorShapes)
        #expect(Set(weights.names) == Set(config.tensorShapes.keys))
        var starts: Set<[Float]> = []
        for name in weights.names {
            let tensor = try weights.tensor(name)
            #expect(tensor.shape == config.tensorShapes[name] && tensor.dtype == .bfloat16 && tensor.noise != nil)
            let values = try tensor.floats()
            #expect(values.contains { $0 != 0 } && starts.insert(Array(values.prefix(8))).inserted, "\(name)")
            // The extremes are 3.46 deviations away.
            let (mean, deviation): (Float, Float) =
                name.contains("norm") && !name.hasSuffix("bias")
                ? (1, 0.02)
                : tensor.shape.rank == 1 || name.hasSuffix("modulation")
                    ? (0, 0.02) : (0, 1 / Float(tensor.shape.rowCount).squareRoot())
            #expect(values.allSatisfy { abs($0 - mean) <= 3.5 * deviation }, "\(name)")
            #expect(values.contains { abs($0 - mean) > 0.5 * deviation }, "\(name)")
        }
        let first = weights.names[0]
        #expect(try weights.tensor(first).floats() == SyntheticWeights(config.tensorShapes).tensor(first).floats())
        let others = SyntheticWeights(config.tensorShapes, seed: 1)
        #expect(try weights.tensor(first).floats() != others.tensor(first).floats())
        #expect(throws: (any Error).self) { try weights.tensor("none") }
    }

    @Test func outliersAreInFrontOfLinearLayers() throws {
        let config = WanConfiguration(width: 1024, feedForward: 1536, heads: 8, layers: 1, textWidth: 12)
        let plain = SyntheticWeights(config.tensorShapes)
        let weights = SyntheticWeights(config.tensorShapes, hasOutliers: true)
        for (name, count) in [
            ("blocks.0.modulation", 4), ("blocks.0.norm3.weight", 2), ("blocks.0.self_attn.v.bias", 2),
            ("blocks.0.ffn.0.bias", 3), ("blocks.0.self_attn.q.bias", 0), ("head.modulation", 0),
        ] {
            let values = try weights.tensor(name).floats()
            let differences = try zip(values, plain.tensor(name).floats()).map { $0 - $1 }
            #expect(differences.count { $0 > 9 } == count && differences.count { $0 == 0 } == values.count - count)
            #expect(try weights.info(name)?.dtype == weights.tensor(name).dtype)
        }
    }
}
