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
}
