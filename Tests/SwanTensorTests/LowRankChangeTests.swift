import SwanDiagnostics
import SwanTensor
import SwanTestSupport
import Testing

/// Guards that a matrix with low-rank changes has the values of the sum, whoever asks for them and in whatever way, and
/// that its parts stay as they were stored.
@Suite struct LowRankChangeTests {
    /// How a matrix is stored.
    enum Storage: String, CaseIterable {
        case float32, bfloat16, float16, blocks, noise, scaled
    }

    private static let (outputs, inputs) = (37, 96)

    private func base(_ storage: Storage) throws -> HostTensor {
        let shape: Shape = [Self.outputs, Self.inputs]
        var random = SeededRandom(31)
        let values = HostTensor(shape, random.floats(shape.count))
        switch storage {
        case .float32: return values
        case .bfloat16: return try values.rounded(to: .bfloat16)
        case .float16: return try values.rounded(to: .float16)
        case .blocks: return try values.rounded(to: .q80)
        case .noise: return HostTensor(shape, .bfloat16, Noise(seed: 4, deviation: 0.5))
        case .scaled: return HostTensor(try values.quantized(to: .float8E4M3, .row))
        }
    }

    /// Changes of several ranks, stored in several types.
    private func changes() throws -> [LowRankChange] {
        var random = SeededRandom(32)
        return try [(7, Float(0.5), DType.bfloat16), (16, -1.25, .float32), (1, 2, .float16)].map {
            rank, factor, type in
            try LowRankChange(
                up: HostTensor([Self.outputs, rank], random.floats(Self.outputs * rank)).rounded(to: type),
                down: HostTensor([rank, Self.inputs], random.floats(rank * Self.inputs)).rounded(to: type),
                factor: factor)
        }
    }

    private func sum(_ storage: Storage) throws -> HostTensor {
        try changes().reduce(base(storage)) { (tensor, change) throws(SwanError) in try tensor.adding(change) }
    }

    @Test(arguments: Storage.allCases) func valuesAreThoseOfTheSum(storage: Storage) throws {
        let (base, changes) = (try base(storage), try changes())
        let values = try base.floats()
        var (exact, sizes) = (values.map(Double.init), values.map { abs(Double($0)) })
        // The sum that was made before devices could make it: one product after the other, in float32.
        var host = values
        for change in changes {
            let (up, down) = (try change.up.floats(), try change.down.floats())
            for i in exact.indices {
                for k in 0 ..< change.rank {
                    let term =
                        Double(up[i / Self.inputs * change.rank + k]) * Double(down[k * Self.inputs + i % Self.inputs])
                    exact[i] += Double(change.factor) * term
                    sizes[i] += abs(Double(change.factor) * term)
                }
            }
            host.withUnsafeMutableBufferPointer { host in
                up.withUnsafeBufferPointer { up in
                    down.withUnsafeBufferPointer { down in
                        ElementFormat.addProduct(
                            up, down, rank: change.rank, factor: change.factor, rows: 0 ..< Self.outputs, to: host)
                    }
                }
            }
        }
        let sum = try sum(storage)
        #expect(sum.dtype == .float32 && sum.shape == base.shape)
        #expect(try sum.floats() == host)
        // Four terms at a time, some six roundings of each group.
        let distance = Distance(host, from: exact) { 8 * 0x1p-24 * sizes[$0] }
        #expect(distance.isExplained, "\(distance)")
    }

    @Test(arguments: Storage.allCases) func everyWayGivesTheSameValues(storage: Storage) throws {
        let sum = try sum(storage)
        let values = try sum.floats()
        let width = Self.inputs
        #expect(try HostTensor(sum.shape, .float32, sum.bytes).floats() == values)
        #expect(try sum.merged.floats() == values && sum.merged.lowRank == nil)
        #expect(try sum.slice(5 ..< 9).floats() == Array(values[5 * width ..< 9 * width]))
        #expect(
            try sum.rows([30, 2]).floats() == Array(values[30 * width ..< 31 * width] + values[2 * width ..< 3 * width])
        )
        var part = [Float](repeating: 0, count: 130)
        sum.copyFloats(101 ..< 231, to: &part)
        #expect(part == Array(values[101 ..< 231]))
        #expect(try sum.reshaped([width, Self.outputs]).floats() == values)
        #expect(
            try sum.rounded(to: .bfloat16).floats() == HostTensor(sum.shape, values).rounded(to: .bfloat16).floats())
        #expect(
            try EightBitWeight(sum, as: .int8).dequantized().floats()
                == EightBitWeight(HostTensor(sum.shape, values), as: .int8).dequantized().floats())
    }

    @Test(arguments: Storage.allCases) func partsStayAsTheyAreStored(storage: Storage) throws {
        let (base, changes) = (try base(storage), try changes())
        let found = try #require(try sum(storage).lowRank)
        #expect(found.base.dtype == base.dtype && found.base.noise == base.noise)
        #expect((found.base.quantized == nil) == (base.quantized == nil))
        #expect(try found.base.floats() == base.floats())
        #expect(found.changes.map(\.factor) == changes.map(\.factor))
        #expect(found.changes.map(\.up.dtype) == changes.map(\.up.dtype))
        // Weights of convolutions over one place have more axes.
        let seen = try sum(storage).reshaped([Self.outputs, Self.inputs, 1, 1])
        #expect(seen.lowRank?.base.shape == seen.shape && base.lowRank == nil)
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let base = try base(.float32)
        func factor(_ shape: Shape) -> HostTensor { HostTensor(shape, .float32, Noise(seed: 1, deviation: 1)) }
        func code(_ body: () throws -> Void) -> SwanError.Code? {
            #expect(throws: SwanError.self) { try body() }?.code
        }
        #expect(
            code { _ = try LowRankChange(up: factor([37, 3]), down: factor([4, 96]), factor: 1) } == .shapeMismatch)
        #expect(code { _ = try LowRankChange(up: factor([37]), down: factor([1, 96]), factor: 1) } == .shapeMismatch)
        let booleans = try HostTensor(
            [37, 96], .bool, [UInt8](repeating: 1, count: 37 * 96).withUnsafeBytes { HostBytes(copying: $0) })
        #expect(code { _ = try LowRankChange(up: factor([2, 37]), down: booleans, factor: 1) } == .conversion)
        for (rows, columns) in [(96, 37), (37, 95), (36, 96)] {
            let change = try LowRankChange(up: factor([rows, 2]), down: factor([2, columns]), factor: 1)
            #expect(code { _ = try base.adding(change) } == .shapeMismatch, "\(rows)x\(columns)")
        }
        let change = try LowRankChange(up: factor([37, 2]), down: factor([2, 96]), factor: 1)
        #expect(code { _ = try booleans.adding(change) } == .conversion)
    }
}
