import SwanCheckpoint
import SwanDiagnostics
import SwanSampling
import SwanTensor
import SwanTestSupport
import Testing

/// Guards the noise against PyTorch's own: seeds beyond 32 bits, lengths that are no multiple of 16.
@Suite struct TorchCPUGeneratorTests {
    /// PyTorch's vectorised logarithm, sine and cosine are off by up to 2.4e-7 each, times a radius of at
    /// most 5.8.
    static let allowed = 2.8e-6

    @Test(arguments: [0, 42, (1 << 40) + 7] as [UInt64], [16, 17, 100])
    func drawsAsPyTorch(seed: UInt64, count: Int) throws {
        var generator = TorchCPUGenerator(seed: seed)
        let ours = try generator.normal([count]).floats()
        let golden = try Fixture.open("noise/normals.safetensors").tensor("\(seed).\(count)").floats()
        #expect(Deviation(ours, golden).largest <= Self.allowed, "\(Deviation(ours, golden))")
    }

    @Test(arguments: [0, 42, (1 << 40) + 7] as [UInt64])
    func drawsWholeLatents(seed: UInt64) throws {
        var generator = TorchCPUGenerator(seed: seed)
        let ours = try generator.normal([16, 7, 16, 16]).floats()
        let golden = try Fixture.open("noise/normals.safetensors")
        #expect(
            Deviation(Array(ours.prefix(64)), try golden.tensor("\(seed).28672.first").floats()).largest <= Self.allowed
        )
        #expect(
            Deviation(Array(ours.suffix(64)), try golden.tensor("\(seed).28672.last").floats()).largest <= Self.allowed)
        let sum = ours.reduce(0.0) { $0 + Double($1) }
        #expect(abs(sum - Double(try golden.tensor("\(seed).28672.sum").floats()[0])) < 1e-2)
    }

    /// PyTorch draws fewer than 16 values in another way, which no video needs.
    @Test(arguments: [0, 1, 15])
    func fewerThan16ValuesAreRefused(count: Int) {
        var generator = TorchCPUGenerator(seed: 1)
        let error = #expect(throws: SwanError.self) { try generator.normal([count]) }
        #expect(error?.code.name == "sampling.too-few-values")
    }

    @Test func firstValuesOfSeed42() throws {
        var generator = TorchCPUGenerator(seed: 42)
        let values = try generator.normal([16]).floats()
        for (value, expected) in zip(values, [1.92691529, 1.48728406, 0.90071720, -2.10552096, 0.67841846] as [Float]) {
            #expect(abs(value - expected) <= 1e-6)
        }
    }
}
