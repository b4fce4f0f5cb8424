import SwanTensor
import Testing

/// What operations have to do, by numbers that a pencil gives.
@Suite struct OperationCostTests {
    @Test func productsCountTwoForEachTerm() {
        let cost = OperationCost.linear(
            rows: 3, inputs: 5, outputs: 7, input: .bfloat16, weight: .bfloat16, result: .float32)
        #expect(cost == OperationCost(operations: 210, bytes: 30 + 70 + 84))
        let narrow = OperationCost.linear(
            rows: 3, inputs: 5, outputs: 7, input: .int8, weight: .int8, result: .bfloat16)
        #expect(narrow == OperationCost(operations: 210, eightBitOperations: 210, bytes: 15 + 35 + 42))
        // Rows times inputs times outputs of a feed-forward at 720p passes 2³².
        let large = OperationCost.linear(
            rows: 75_600, inputs: 5120, outputs: 13_824, input: .bfloat16, weight: .bfloat16, result: .bfloat16)
        #expect(large.operations == 10_701_766_656_000)
    }

    @Test func attentionCountsBothProducts() {
        // Self-attention of Wan2.2-A14B at 832x480 and 81 frames: 22 TFLOP a layer.
        let cost = OperationCost.attention(queries: 32_760, keys: 32_760, heads: 40, width: 128, dtype: .bfloat16)
        #expect(cost.operations == 21_979_496_448_000 && cost.bytes == 1_341_849_600)
        let biased = OperationCost.attention(queries: 2, keys: 3, heads: 5, width: 4, dtype: .float32, biases: 30)
        #expect(biased == OperationCost(operations: 480, bytes: 800 + 120))
    }

    @Test func convolutionsCountEveryTap() {
        let geometry = ConvolutionShape(inputs: 4, outputs: 6, kernel: (3, 3, 3))
        // Five frames in, three out; space keeps its size.
        let (input, output, weights): (Int, Int, Int) = (5 * 7 * 8 * 4, 3 * 7 * 8 * 6, 6 * 4 * 27)
        let plain = OperationCost.convolution(geometry, input: [5, 7, 8, 4], dtype: .bfloat16)
        #expect(plain.operations == Double(2 * output * 4 * 27))
        #expect(plain.bytes == Double(2 * (input + output + weights)))
        let added = OperationCost.convolution(geometry, input: [5, 7, 8, 4], dtype: .bfloat16, hasResidual: true)
        #expect(added.bytes == plain.bytes + Double(2 * output))
        #expect(OperationCost.convolution(geometry, input: [2, 7, 8, 4], dtype: .bfloat16).operations == 0)
        let doubled = OperationCost.upsample(input: [2, 3, 5, 4], outputs: 6, dtype: .float32)
        let (small, large): (Int, Int) = (2 * 3 * 5 * 4, 2 * 6 * 10 * 6)
        #expect(doubled.operations == Double(2 * large * 4 * 4))
        #expect(doubled.bytes == Double(4 * (small + large + 16 * 4 * 6)))
    }

    @Test func theSlowerOfTwoDecides() {
        let cost =
            OperationCost.moving(([3, 4], .float32), ([12], .bfloat16)) + OperationCost(operations: 300, bytes: 28)
        #expect(cost == OperationCost(operations: 300, bytes: 100))
        #expect(cost.seconds(operationsPerSecond: 100, bytesPerSecond: 100) == 3)
        #expect(cost.seconds(operationsPerSecond: 1000, bytesPerSecond: 100) == 1)
        let mixed = OperationCost(operations: 300, eightBitOperations: 200, bytes: 100)
        #expect(mixed.seconds(operationsPerSecond: 100, eightBitOperationsPerSecond: 200, bytesPerSecond: 1000) == 2)
        #expect(mixed.seconds(operationsPerSecond: 100, bytesPerSecond: 1000) == 3)
    }
}
