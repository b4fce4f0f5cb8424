import SwanCheckpoint
import SwanDiagnostics
import SwanNN
import SwanTensor
import SwanTestSupport
import Testing

/// One weight and its bias, as a file would hold them.
private struct OneLinear: WeightSource {
    let weight: HostTensor
    let bias: HostTensor
    let names = ["bias", "weight"]
    let origin = "one linear layer"

    func info(_ name: String) -> TensorInfo? {
        name == "bias" ? TensorInfo(bias.shape, bias.dtype) : TensorInfo(weight.shape, weight.dtype)
    }

    func tensor(_ name: String) throws(SwanError) -> HostTensor { name == "bias" ? bias : weight }
}

/// Guards which numbers a layer multiplies by: those of the file, where it holds them in the format that is asked for.
@Suite struct LinearTests {
    private let inputs = 32
    private let outputs = 6

    private func product(
        _ weight: HostTensor, _ format: EightBitFormat?, on backend: any Backend
    ) throws -> [Float] {
        var random = SeededRandom(5)
        let bias = HostTensor([outputs], random.floats(outputs))
        let layer = try Linear(
            inputs, outputs, WeightScope(OneLinear(weight: weight, bias: bias)), as: format, on: backend)
        let x = try backend.upload(HostTensor([3, inputs], random.floats(3 * inputs)), as: backend.activationType)
        return try backend.download(layer(x, on: backend))
    }

    /// Bytes that are not the ones that rounding again, row by row, would give.
    private func stored(_ format: EightBitFormat, _ granularity: QuantizedWeight.Granularity) throws -> HostTensor {
        var random = SeededRandom(6)
        let bytes = random.floats(outputs * inputs).map { format.encode($0 * 0.7 * format.largest) }
        let scales = random.floats(granularity == .tensor ? 1 : outputs).map { 0.01 + abs($0) }
        return HostTensor(
            try QuantizedWeight(
                [outputs, inputs], format.dtype, bytes.withUnsafeBytes { HostBytes(copying: $0) }, scales: scales,
                granularity))
    }

    @Test(arguments: TestDevice.requested, EightBitFormat.allCases)
    func storedNumbersAreTakenAsTheyAre(device: TestDevice, format: EightBitFormat) throws {
        let backend = try device.open()
        for granularity in [QuantizedWeight.Granularity.tensor, .row] {
            let weight = try stored(format, granularity)
            let found = try product(weight, format, on: backend)
            // The same values as plain floats, which are rounded when the layer is made.
            let again = try product(HostTensor(weight.shape, weight.floats()), format, on: backend)
            let exact = try product(HostTensor(weight.shape, weight.floats()), nil, on: backend)
            #expect(Deviation(found, exact).relative < 0.05, "\(granularity)")
            #expect(found != again, "\(granularity)")
            // The other format has to round them.
            let other: EightBitFormat = format == .fp8 ? .int8 : .fp8
            #expect(
                try product(weight, other, on: backend)
                    == product(HostTensor(weight.shape, weight.floats()), other, on: backend))
        }
    }

    @Test(arguments: TestDevice.requested)
    func float8WithoutAScaleIsTakenAsItIs(device: TestDevice) throws {
        let backend = try device.open()
        let values = try stored(.fp8, .tensor)
        let quantized = try #require(values.quantized)
        let plain = try HostTensor(values.shape, .float8E4M3, quantized.payload)
        let scaled = HostTensor(
            try QuantizedWeight(values.shape, .float8E4M3, quantized.payload, scales: [1], .tensor))
        #expect(try product(plain, .fp8, on: backend) == product(scaled, .fp8, on: backend))
    }

    @Test(arguments: TestDevice.requested)
    func scalesOfBlocksAreRoundedAgain(device: TestDevice) throws {
        let backend = try device.open()
        let weight = HostTensor(
            try QuantizedWeight(
                [outputs, inputs], .float8E4M3,
                [UInt8](repeating: 0x3F, count: outputs * inputs).withUnsafeBytes { HostBytes(copying: $0) },
                scales: [1, 2, 3, 4], .block(rows: 3, columns: 16)))
        #expect(
            try product(weight, .fp8, on: backend)
                == product(HostTensor(weight.shape, weight.floats()), .fp8, on: backend))
    }
}
