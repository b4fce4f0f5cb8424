import SwanDiagnostics
import SwanTensor
import SwanTestSupport
import Testing

@Suite("Linear layers in eight bits")
struct EightBitTests {
    @Test("rows are rounded to the same bits everywhere", arguments: TestDevice.requested, EightBitCoding.allCases)
    func rows(device: TestDevice, coding: EightBitCoding) throws {
        let backend = try device.open()
        var random = SeededRandom(3)
        for width in [1, 113, 1024, 1408, 1424, 1426] {
            let (x, values) = try backend.place(
                random.floats(5 * width, size: 3), [5, width], as: backend.activationType)
            let found = try backend.quantizeRows(x, to: coding)
            #expect(found.coding == coding && found.values.shape == [5, width] && found.scales.shape == [5])
            let (numbers, scales) = (try backend.download(found.values), try backend.download(found.scales))
            for row in 0 ..< 5 {
                let floats = values[row * width ..< (row + 1) * width].map(Float.init)
                var bytes = [UInt8](repeating: 0, count: width)
                let scale = floats.withUnsafeBufferPointer { floats in
                    bytes.withUnsafeMutableBufferPointer { coding.encode(floats, into: $0) }
                }
                #expect(scales[row] == scale)
                #expect(Array(numbers[row * width ..< (row + 1) * width]) == bytes.map(coding.format.decode))
            }
        }
    }

    @Test("products are those of the rounded numbers", arguments: TestDevice.requested, EightBitCoding.allCases)
    func products(device: TestDevice, coding: EightBitCoding) throws {
        let backend = try device.open()
        var random = SeededRandom(4)
        for (rows, inputs, outputs) in [(1, 16, 1), (203, 208, 61), (17, 1024, 304)] {
            let x = try backend.quantizeRows(
                backend.upload(HostTensor([rows, inputs], random.floats(rows * inputs)), as: backend.activationType),
                to: coding)
            let weight = try EightBitWeight(
                HostTensor([outputs, inputs], random.floats(outputs * inputs)), as: coding)
            let bias = random.floats(outputs)
            let weights = try backend.makeLinear(weight: weight, bias: HostTensor([outputs], bias))
            #expect(weights.coding == coding && weights.inputs == inputs && weights.outputs == outputs)
            let (a, b) = (try backend.download(x.values), try weight.values.floats())
            let (s, t) = (try backend.download(x.scales), try weight.scales.floats())
            var (exact, sizes): ([Double], [Double]) = ([], [])
            for row in 0 ..< rows {
                for output in 0 ..< outputs {
                    let terms = (0 ..< inputs).map { Double(a[row * inputs + $0]) * Double(b[output * inputs + $0]) }
                    let scale = Double(s[row]) * Double(t[output])
                    exact.append(terms.reduce(0, +) * scale + Double(bias[output]))
                    sizes.append(terms.reduce(0) { $0 + abs($1) } * scale + 1)
                }
            }
            let y = try backend.linear(x, weights, result: .float32)
            #expect(y.shape == [rows, outputs] && y.dtype == .float32)
            let units = coding == .fp8 && device.name.hasPrefix("cuda") ? 0x1p-13 : 0x1p-22
            let distance = Distance(try backend.download(y), from: exact) { units * sizes[$0] }
            #expect(distance.isExplained, "\(rows)x\(inputs)x\(outputs): \(distance)")

            // Through a function and to eight bits again: what the two operations give one after the other.
            let both = try backend.linear(x, weights, activation: .geluTanh, to: coding)
            let one = try backend.quantizeRows(
                backend.activate(backend.linear(x, weights, result: backend.activationType), .geluTanh), to: coding)
            #expect(try backend.download(both.scales).count == rows && both.values.shape == [rows, outputs])
            if device.name.hasPrefix("cuda") { continue }
            #expect(try backend.download(both.values) == backend.download(one.values))
            #expect(try backend.download(both.scales) == backend.download(one.scales))
        }
    }

    @Test("broken contracts", arguments: TestDevice.requested)
    func contracts(device: TestDevice) throws {
        let backend = try device.open()
        func expectMismatch(_ message: String, _ body: () throws -> Void) {
            #expect { try body() } throws: { error in
                let error = error as? SwanError
                return error?.code == .shapeMismatch && error?.message == message
            }
        }
        let weight = HostTensor([4, 32], [Float](repeating: 1, count: 128))
        let weights = try backend.makeLinear(weight: weight, bias: nil, as: .fp8)
        let x = try backend.upload(HostTensor([2, 32], [Float](repeating: 1, count: 64)), as: .float32)
        expectMismatch("linear: x is stored as int8, expected the weights' fp8.") {
            _ = try backend.linear(backend.quantizeRows(x, to: .int8), weights, result: .float32)
        }
        // Rows and weights are both rotated, or neither is.
        expectMismatch("linear: x is stored as int8, expected the weights' rotated int8.") {
            _ = try backend.linear(
                backend.quantizeRows(x, to: .int8), backend.makeLinear(weight: weight, bias: nil, as: .rotatedInt8),
                result: .float32)
        }
        expectMismatch("linear: x has shape [4, 16], expected [4, 32].") {
            _ = try backend.linear(
                backend.quantizeRows(x.reshaped([4, 16]), to: .fp8), weights, result: .float32)
        }
        expectMismatch("makeLinear: weight has rows of 24 values, expected a multiple of 16 for eight bits.") {
            _ = try backend.makeLinear(
                weight: HostTensor([2, 24], [Float](repeating: 1, count: 48)), bias: nil, as: .int8)
        }
        expectMismatch("makeLinear: bias has shape [5], expected [4].") {
            _ = try backend.makeLinear(weight: weight, bias: HostTensor([5], [1, 2, 3, 4, 5]), as: .int8)
        }
        expectMismatch("quantizeRows: x has shape [64], expected [rows, width].") {
            _ = try backend.quantizeRows(x.reshaped([64]), to: .fp8)
        }
        expectMismatch("QuantizedRows: values has elements of type float32, expected int8.") {
            _ = try QuantizedRows(values: x, scales: backend.zeros([2], .float32), as: .rotatedInt8)
        }
    }
}
