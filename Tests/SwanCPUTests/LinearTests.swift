import Foundation
import SwanTensor
import SwanTestSupport
import Testing

@Suite("Linear layers")
struct LinearTests {
    struct Size: CustomStringConvertible, Sendable {
        let rows, inputs, outputs: Int
        var description: String { "\(rows)×\(inputs)→\(outputs)" }
    }

    static let sizes = [
        Size(rows: 1, inputs: 1, outputs: 1), Size(rows: 1, inputs: 1023, outputs: 203),
        Size(rows: 113, inputs: 203, outputs: 17), Size(rows: 203, inputs: 64, outputs: 300),
        Size(rows: 1023, inputs: 16, outputs: 33), Size(rows: 7, inputs: 600, outputs: 16),
        Size(rows: 131, inputs: 257, outputs: 513),
    ]

    @Test("matches the formula", arguments: TestDevice.requested, sizes)
    func parity(device: TestDevice, size: Size) throws {
        let backend = try device.open()
        var random = SeededRandom(7)
        let (x, xs) = try backend.place(random.floats(size.rows * size.inputs), [size.rows, size.inputs])
        let weight = random.floats(size.outputs * size.inputs)
        let bias = random.floats(size.outputs)
        for (hasBias, activation) in [
            (true, Activation.identity), (false, .identity), (true, .geluTanh), (true, .silu),
        ] {
            let weights = try backend.makeLinear(
                weight: HostTensor([size.outputs, size.inputs], weight),
                bias: hasBias ? HostTensor([size.outputs], bias) : nil)
            let type = activation == .silu ? DType.float32 : backend.activationType
            let y = try backend.linear(x, weights, activation: activation, result: type)
            #expect(y.shape == [size.rows, size.outputs])
            #expect(y.dtype == type)

            var exact: [Double] = []
            var magnitudes: [Double] = []
            for row in 0 ..< size.rows {
                for output in 0 ..< size.outputs {
                    var (sum, magnitude) = (hasBias ? Double(bias[output]) : 0, 0.0)
                    for i in 0 ..< size.inputs {
                        let term = xs[row * size.inputs + i] * Double(weight[output * size.inputs + i])
                        sum += term
                        magnitude += abs(term)
                    }
                    exact.append(activation.exact(sum))
                    magnitudes.append(magnitude + abs(hasBias ? Double(bias[output]) : 0))
                }
            }
            // Rounding errors of n additions grow like sqrt(n) (Higham and Mary, 2019); GELU and SiLU
            // have slopes below 1.13 and errors of their own below 1e-6 of |z|.
            let growth = 4 + 2 * Double(size.inputs).squareRoot()
            let distance = Distance(try backend.download(y), from: exact) { i in
                (growth * 0x1p-24 + 1e-6) * magnitudes[i] + backend.activationType.unitRoundoff * abs(exact[i])
            }
            #expect(distance.isExplained, "\(activation), bias \(hasBias): \(distance)")
        }
    }

    @Test("keeps a NaN in its row", arguments: TestDevice.requested)
    func spoiledRow(device: TestDevice) throws {
        let backend = try device.open()
        var values = [Float](repeating: 0.5, count: 20 * 40)
        values[7 * 40 + 3] = .nan
        let (x, _) = try backend.place(values, [20, 40])
        let weights = try backend.makeLinear(
            weight: HostTensor([33, 40], [Float](repeating: 1, count: 33 * 40)), bias: nil)
        let y = try backend.download(try backend.linear(x, weights, activation: .identity))
        for row in 0 ..< 20 {
            #expect(y[row * 33 ..< (row + 1) * 33].allSatisfy { $0.isNaN == (row == 7) })
        }
    }

    @Test("takes weights of any floating-point type", arguments: TestDevice.requested)
    func weightTypes(device: TestDevice) throws {
        let backend = try device.open()
        var random = SeededRandom(3)
        let halves = random.floats(20 * 32).map { Float16($0) }
        let weight = try halves.withUnsafeBytes {
            try HostTensor([20, 32], .float16, HostBytes(copying: $0))
        }
        let (x, _) = try backend.place(random.floats(5 * 32), [5, 32])
        let narrow = try backend.linear(x, backend.makeLinear(weight: weight, bias: nil), activation: .identity)
        let wide = try backend.linear(
            x, backend.makeLinear(weight: HostTensor([20, 32], halves.map(Float.init)), bias: nil),
            activation: .identity)
        #expect(try backend.download(narrow) == backend.download(wide))
    }

    @Test("activations match their formulas", arguments: TestDevice.requested)
    func activations(device: TestDevice) throws {
        let backend = try device.open()
        let grid = (-2000 ... 2000).map { Float($0) * 0.05 }
        let special: [Float] = [.nan, .infinity, -.infinity, 1e30, -1e30, 1e-30, -1e-30, 0, -0.0, 88.5, -88.5, -104]
        let (x, xs) = try backend.place(grid + special, [grid.count + special.count])
        for activation in Activation.allCases {
            let exact = xs.map { activation.exact($0) }
            let distance = Distance(try backend.download(try backend.activate(x, activation)), from: exact) { i in
                // e^-z is as wrong as z's own rounding makes it: |z| units of roundoff, where z is near 0
                // or positive less than that.
                let slope = activation == .identity ? 0 : min(4 + 4 * abs(xs[i] * xs[i] * xs[i]), 400)
                return (slope * 0x1p-24 + backend.activationType.unitRoundoff) * abs(exact[i])
                    // The formula itself loses digits where 1 + tanh cancels; e^88.7 is the largest of float32.
                    + abs(xs[i]) * 0x1p-52 + 1e-36
            }
            #expect(distance.isExplained, "\(activation): \(distance)")
        }
    }

    @Test("gated GELU matches its formula", arguments: TestDevice.requested, oddSizes)
    func geluGate(device: TestDevice, size: Int) throws {
        let backend = try device.open()
        var random = SeededRandom(UInt64(size))
        let (gate, gates) = try backend.place(random.floats(size * 3, size: 5), [size, 3])
        let (up, ups) = try backend.place(random.floats(size * 3, size: 5), [size, 3])
        let exact = gates.indices.map { Activation.geluTanh.exact(gates[$0]) * ups[$0] }
        let result = try backend.download(try backend.geluGate(gate, up))
        let distance = Distance(result, from: exact) { i in
            (1e-6 + backend.activationType.unitRoundoff) * (abs(exact[i]) + abs(gates[i] * ups[i]) * 0x1p-4)
        }
        #expect(distance.isExplained, "\(distance)")
    }

    @Test("refuses broken contracts", arguments: TestDevice.requested)
    func contracts(device: TestDevice) throws {
        let backend = try device.open()
        let weights = try backend.makeLinear(weight: HostTensor([4, 8], [Float](repeating: 1, count: 32)), bias: nil)
        let x = try backend.zeros([3, 7], backend.activationType)
        expectMismatch("linear: x has shape [3, 7], expected [3, 8].") {
            _ = try backend.linear(x, weights, activation: .identity)
        }
        expectMismatch("makeLinear: bias has shape [5], expected [4].") {
            _ = try backend.makeLinear(
                weight: HostTensor([4, 8], [Float](repeating: 1, count: 32)),
                bias: HostTensor([5], [Float](repeating: 1, count: 5)))
        }
        expectMismatch("geluGate: up has shape [7, 3], expected [3, 7].") {
            _ = try backend.geluGate(x, x.reshaped([7, 3]))
        }
    }
}

extension Activation {
    /// The formula of the contract, in float64.
    func exact(_ z: Double) -> Double {
        switch self {
        case .identity: z
        case .geluTanh: 0.5 * z * (1 + tanh((2 / Double.pi).squareRoot() * (z + 0.044715 * z * z * z)))
        case .silu: z / (1 + exp(-z))
        }
    }
}
