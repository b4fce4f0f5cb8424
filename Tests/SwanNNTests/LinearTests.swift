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
            // To the bit: the file's numbers times rows that are rounded as they are.
            let quantized = try #require(weight.quantized)
            var random = SeededRandom(5)
            let bias = HostTensor([outputs], random.floats(outputs))
            let x = try backend.upload(HostTensor([3, inputs], random.floats(3 * inputs)), as: backend.activationType)
            let weights = try backend.makeLinear(
                weight: EightBitWeight(
                    values: HostTensor(weight.shape, format.dtype, quantized.payload),
                    scales: HostTensor([quantized.scales.count], quantized.scales)), bias: bias)
            #expect(weights.coding == EightBitCoding(format))
            #expect(
                try found
                    == backend.download(
                        backend.linear(
                            backend.quantizeRows(x, to: EightBitCoding(format)), weights,
                            result: backend.activationType)))
            // The other format has to round them.
            let other: EightBitFormat = format == .fp8 ? .int8 : .fp8
            #expect(
                try product(weight, other, on: backend)
                    == product(HostTensor(weight.shape, weight.floats()), other, on: backend))
        }
    }

    /// A LoRA makes other weights of those of a file: they are rotated like all that are rounded here, and layers that
    /// take their rows differently share none.
    @Test(arguments: TestDevice.requested)
    func changedNumbersAreRotated(device: TestDevice) throws {
        let backend = try device.open()
        var random = SeededRandom(9)
        let weight = try stored(.int8, .row)
        let changed = try weight.adding(
            LowRankChange(
                up: HostTensor([outputs, 2], random.floats(outputs * 2, size: 0.1)),
                down: HostTensor([2, inputs], random.floats(2 * inputs, size: 0.1)), factor: 1))
        func layer(_ weight: HostTensor) throws -> Linear {
            let bias = HostTensor([outputs], [Float](repeating: 0, count: outputs))
            return try Linear(
                inputs, outputs, WeightScope(OneLinear(weight: weight, bias: bias)), as: .int8, on: backend)
        }
        let (plain, merged) = (try layer(weight), try layer(changed))
        #expect(plain.inputCoding == .int8 && merged.inputCoding == .rotatedInt8)
        #expect(EightBitCoding.shared(by: plain, plain) == .int8)
        #expect(EightBitCoding.shared(by: merged, plain) == nil)
        let exact = try product(HostTensor(weight.shape, changed.floats()), nil, on: backend)
        #expect(try Deviation(product(changed, .int8, on: backend), exact).relative < 0.02)
        // Rows of the wrong kind are refused.
        let rows = try backend.quantizeRows(backend.zeros([3, inputs], backend.activationType), to: .int8)
        #expect(throws: SwanError.self) { try merged(.quantized(rows), on: backend) }
    }

    /// What the rotation is for: behind a norm some channels are 20 times the others, and take the whole range of a row
    /// that is rounded as it is. It has to stand before the rounding on both sides, and in operations with a rounding at
    /// their end.
    @Test(arguments: TestDevice.requested)
    func outliersCostInt8NoMoreThanFloat8(device: TestDevice) throws {
        let backend = try device.open()
        var random = SeededRandom(10)
        let (tokens, width, hidden) = (9, 1024, 640)
        func bell(_ count: Int) -> [Float] { (0 ..< count).map { _ in random.floats(12).reduce(0, +) / 2 } }
        let x = try backend.upload(HostTensor([tokens, width], bell(tokens * width)), as: .float32)
        let shift = try backend.upload(HostTensor([1, width], random.floats(width)), as: .float32)
        let scale = try backend.upload(
            HostTensor([1, width], (0 ..< width).map { $0 % 512 == 100 ? 20 : 0 }), as: .float32)
        let up = HostTensor([hidden, width], bell(hidden * width).map { $0 / Float(width).squareRoot() })
        let down = HostTensor([width, hidden], bell(width * hidden).map { $0 / Float(hidden).squareRoot() })
        let (upBias, downBias) = (HostTensor([hidden], bell(hidden)), HostTensor([width], bell(width)))
        /// Norm, product, function and product, as in a feed-forward.
        func forward(_ format: EightBitFormat?) throws -> (middle: [Float], end: [Float]) {
            let first = try Linear(
                width, hidden, WeightScope(OneLinear(weight: up, bias: upBias)), as: format, on: backend)
            let second = try Linear(
                hidden, width, WeightScope(OneLinear(weight: down, bias: downBias)), as: format, on: backend)
            let h = try backend.layerNormModulate(x, shift: shift, scale: scale, eps: 1e-6, for: first.inputCoding)
            let middle = try backend.download(first(h, result: .float32, on: backend))
            let f = try first(h, activation: .geluTanh, for: second.inputCoding, on: backend)
            return (middle, try backend.download(second(f, result: .float32, on: backend)))
        }
        let exact = try forward(nil)
        let (int8, fp8) = (try forward(.int8), try forward(.fp8))
        let errors = (Deviation(int8.middle, exact.middle).relative, Deviation(int8.end, exact.end).relative)
        // 1 % of each side, and a little more of rows whose outliers are spread over one block.
        #expect(errors.0 < 0.02 && errors.1 < 0.03, "\(errors)")
        #expect(errors.0 < Deviation(fp8.middle, exact.middle).relative)
        #expect(errors.1 < Deviation(fp8.end, exact.end).relative)
        // The same numbers without the rotation.
        let plain = try backend.linear(
            backend.layerNormModulate(x, shift: shift, scale: scale, eps: 1e-6, to: .int8),
            backend.makeLinear(weight: up, bias: upBias, as: .int8), result: .float32)
        #expect(try errors.0 < Deviation(backend.download(plain), exact.middle).relative / 2)
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
