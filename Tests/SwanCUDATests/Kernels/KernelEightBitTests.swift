import CKernelEmulation
import Foundation
import SwanTensor
import SwanTestSupport
import Testing

private func narrow(_ value: Float) -> UInt16 {
    UInt16(truncatingIfNeeded: (value.bitPattern &+ 0x7FFF &+ (value.bitPattern >> 16 & 1)) >> 16)
}

private func wide(_ bits: UInt16) -> Float { Float(bitPattern: UInt32(bits) << 16) }

/// Rows as the host rounds them.
private func rounded(_ x: [Float], _ width: Int, _ coding: EightBitCoding) -> (bytes: [UInt8], scales: [Float]) {
    var bytes = [UInt8](repeating: 0, count: x.count)
    var scales: [Float] = []
    for first in stride(from: 0, to: x.count, by: width) {
        x.withUnsafeBufferPointer { x in
            bytes.withUnsafeMutableBufferPointer { bytes in
                scales.append(
                    coding.encode(
                        UnsafeBufferPointer(rebasing: x[first ..< first + width]),
                        into: UnsafeMutableBufferPointer(rebasing: bytes[first ..< first + width])))
            }
        }
    }
    return (bytes, scales)
}

extension KernelArithmeticTests {
    /// Kernels of eight-bit numbers; run after each other with the others, which share a block's memory.
    @Suite("in eight bits", .serialized)
    struct EightBit {
        @Test("rows get the host's bits", arguments: HardRows.allCases)
        func quantizeRows(kind: HardRows) {
            var random = SeededRandom(11)
            let rows = 4
            func values(_ width: Int) -> [Float] {
                var x = (0 ..< rows).flatMap { _ in kind.values(width, &random) }
                x[width + width / 2] = .nan
                x[2 * width + 1] = .infinity
                return x
            }
            typealias Run = ([Float], inout [UInt8], inout [Float]) -> Void
            let cases: [(width: Int, coding: EightBitCoding, isNarrow: Bool, run: Run)] = [
                (
                    1288, .fp8, true,
                    { swan_emulate_quantize_1288_fp8($0.map(narrow), &$1, &$2, UInt32(rows)) }
                ),
                (1284, .int8, false, { swan_emulate_quantize_1284_int8($0, &$1, &$2, UInt32(rows)) }),
                (203, .fp8, false, { swan_emulate_quantize_203_fp8($0, &$1, &$2, UInt32(rows)) }),
                (
                    1408, .rotatedInt8, true,
                    { swan_emulate_quantize_1408_rotated($0.map(narrow), &$1, &$2, UInt32(rows)) }
                ),
                (1312, .rotatedInt8, false, { swan_emulate_quantize_1312_rotated($0, &$1, &$2, UInt32(rows)) }),
                (1282, .rotatedInt8, false, { swan_emulate_quantize_1282_rotated($0, &$1, &$2, UInt32(rows)) }),
            ]
            for (width, coding, isNarrow, run) in cases {
                let x = isNarrow ? values(width).map { wide(narrow($0)) } : values(width)
                var (bytes, scales) = ([UInt8](repeating: 0xEE, count: x.count), [Float](repeating: -1, count: rows))
                run(x, &bytes, &scales)
                let exact = rounded(x, width, coding)
                for row in [0, 3] {
                    #expect(scales[row] == exact.scales[row], "\(width)")
                    let range = row * width ..< (row + 1) * width
                    #expect(bytes[range] == exact.bytes[range], "\(width)")
                }
                #expect(scales[1].isNaN && scales[2].isNaN)
            }
        }

        @Test("a function stands before the rounding")
        func gelu() {
            var random = SeededRandom(12)
            let (rows, width) = (3, 1288)
            let x = random.floats(rows * width, size: 4).map(narrow)
            var (bytes, scales) = ([UInt8](repeating: 0xEE, count: x.count), [Float](repeating: -1, count: rows))
            swan_emulate_quantize_1288_gelu_int8(x, &bytes, &scales, UInt32(rows))
            for row in 0 ..< rows {
                let exact = x[row * width ..< (row + 1) * width].map { gelu(Double(wide($0))) }
                expectRounded(exact, Array(bytes[row * width ..< (row + 1) * width]), scales[row], .int8, error: 1e-5)
            }
        }

        private func gelu(_ z: Double) -> Double {
            z / 2 * (1 + Foundation.tanh((2 / Double.pi).squareRoot() * (z + 0.044715 * z * z * z)))
        }

        /// Values lie within half a step of the exact ones, and the scale is that of the largest.
        private func expectRounded(
            _ values: [Double], _ bytes: [UInt8], _ scale: Float, _ coding: EightBitCoding, error: Double
        ) {
            let (format, block) = (coding.format, coding.block(of: values.count))
            let exact = rotated(values, block: block)
            // All of a block may be off in one direction.
            let error = error * Double(block).squareRoot()
            let largest = exact.reduce(0) { max($0, abs($1)) }
            #expect(abs(Double(scale) * Double(format.largest) - largest) <= error + 1e-6 * largest)
            let found = bytes.map { format.decode($0) * scale }
            let distance = Distance(found, from: exact) { i in
                let step = format == .fp8 ? max(abs(exact[i]) / 16, Double(scale) * 0x1p-10) : Double(scale) / 2
                return step * 1.0001 + error
            }
            #expect(distance.isExplained, "\(distance)")
        }

        private func rotated(_ row: [Double], block: Int) -> [Double] {
            row.indices.map { i in
                let first = i / block * block
                let sum = (0 ..< block).reduce(0) {
                    $0 + Double(EightBitCoding.element(i - first, $1)) * row[first + $1]
                }
                return sum / Double(block).squareRoot()
            }
        }

        /// The same text without the rounding is checked in the other suite.
        @Test("norms are rounded like their values", arguments: [1284, 203, 1408])
        func norms(width: Int) {
            var random = SeededRandom(13)
            let (rows, perGroup) = (6, 2)
            let count = rows * width
            let coding: EightBitCoding = width == 203 ? .int8 : width == 1408 ? .rotatedInt8 : .fp8
            func choose<Function>(_ int8: Function, _ fp8: Function, _ rotated: Function) -> Function {
                coding == .int8 ? int8 : coding == .fp8 ? fp8 : rotated
            }
            let x = random.floats(count, size: 3)
            let y = random.floats(count).map(narrow)
            let (shift, scale, gate) = (random.floats(3 * width), random.floats(3 * width), random.floats(3 * width))
            let (weight, bias) = (random.floats(width), random.floats(width))
            func normed(_ x: [Float], _ gain: (Int, Int) -> Double, _ offset: (Int, Int) -> Double) -> [[Double]] {
                (0 ..< rows).map { row in
                    let values = x[row * width ..< (row + 1) * width].map(Double.init)
                    let mean = values.reduce(0, +) / Double(width)
                    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
                    return (0 ..< width).map {
                        (values[$0] - mean) / (variance + 1e-6).squareRoot() * gain(row, $0) + offset(row, $0)
                    }
                }
            }
            func expect(_ exact: [[Double]], _ bytes: [UInt8], _ scales: [Float]) {
                for row in 0 ..< rows {
                    expectRounded(
                        exact[row], Array(bytes[row * width ..< (row + 1) * width]), scales[row], coding, error: 2e-5)
                }
            }
            let modulated = { (row: Int, i: Int) in 1 + Double(scale[row / perGroup * width + i]) }
            let shifted = { (row: Int, i: Int) in Double(shift[row / perGroup * width + i]) }

            var (bytes, scales) = ([UInt8](repeating: 0xEE, count: count), [Float](repeating: -1, count: rows))
            let modulate = choose(
                swan_emulate_modulate_203_int8, swan_emulate_modulate_1284_fp8, swan_emulate_modulate_1408_rotated)
            modulate(x, shift, scale, &bytes, &scales, UInt32(rows), UInt32(perGroup), 1e-6)
            expect(normed(x, modulated, shifted), bytes, scales)

            let plain = choose(
                swan_emulate_layer_norm_203_int8, swan_emulate_layer_norm_1284_fp8,
                swan_emulate_layer_norm_1408_rotated)
            plain(x, weight, bias, &bytes, &scales, UInt32(rows), 1e-6)
            expect(normed(x, { Double(weight[$1]) }, { Double(bias[$1]) }), bytes, scales)

            var sum = x
            let add = choose(
                swan_emulate_add_layer_norm_modulate_203_int8, swan_emulate_add_layer_norm_modulate_1284_fp8,
                swan_emulate_add_layer_norm_modulate_1408_rotated)
            let isGated = width == 203
            add(y, isGated ? gate : nil, &sum, shift, scale, &bytes, &scales, UInt32(rows), UInt32(perGroup), 1e-6)
            for i in 0 ..< count {
                let factor = isGated ? gate[i / width / perGroup * width + i % width] : 1
                #expect(abs(sum[i] - (x[i] + wide(y[i]) * factor)) <= 0x1p-22)
            }
            expect(normed(sum, modulated, shifted), bytes, scales)

            sum = x
            let gated = choose(
                swan_emulate_add_gated_layer_norm_203_int8, swan_emulate_add_gated_layer_norm_1284_fp8,
                swan_emulate_add_gated_layer_norm_1408_rotated)
            gated(y, gate, &sum, weight, bias, &bytes, &scales, UInt32(rows), UInt32(perGroup), 1e-6)
            expect(normed(sum, { Double(weight[$1]) }, { Double(bias[$1]) }), bytes, scales)
        }

        @Test("a gate joins a product's scales and bias")
        func gates() {
            var random = SeededRandom(15)
            let width = 300
            let (scales, bias, gate) = (random.floats(width), random.floats(width), random.floats(width))
            var gated = [Float](repeating: .nan, count: width + 1)
            var gatedBias = [UInt16](repeating: 0x7FC1, count: width + 1)
            swan_emulate_gate_columns(scales, bias, gate, &gated, &gatedBias, UInt32(width))
            for i in 0 ..< width {
                #expect(gated[i] == scales[i] * gate[i])
                #expect(gatedBias[i] == narrow(bias[i] * gate[i]))
            }
            #expect(gated[width].isNaN && gatedBias[width] == 0x7FC1)
        }

        @Test("whole sums get their scales, bias and function")
        func rescale() {
            var random = SeededRandom(14)
            let rows = 3
            for (width, hasBias, coding) in [
                (1284, true, nil), (203, true, EightBitCoding.fp8), (1284, false, .int8), (1408, false, .rotatedInt8),
            ] {
                let x = random.floats(rows * width, size: 1e6).map { Int32($0) }
                let (rowScales, columnScales) = (random.floats(rows), random.floats(width, size: 1e-5))
                let bias = random.floats(width)
                let exact = (0 ..< rows).map { row in
                    (0 ..< width).map { i in
                        let scale = Double(rowScales[row]) * Double(columnScales[i])
                        return Double(x[row * width + i]) * scale + (hasBias ? Double(bias[i]) : 0)
                    }
                }
                guard let coding else {
                    var y = [UInt16](repeating: 0xFFFF, count: rows * width)
                    swan_emulate_rescale_1284(x, rowScales, columnScales, bias, &y, nil, UInt32(rows))
                    let all = exact.flatMap { $0 }
                    let distance = Distance(y.map(wide), from: all) { 0x1p-8 * abs(all[$0]) + 1e-5 }
                    #expect(distance.isExplained, "\(distance)")
                    continue
                }
                var (y, scales) = ([UInt8](repeating: 0xEE, count: rows * width), [Float](repeating: -1, count: rows))
                let run =
                    coding == .fp8
                    ? swan_emulate_rescale_203_gelu_fp8
                    : coding == .int8 ? swan_emulate_rescale_1284_gelu_int8 : swan_emulate_rescale_1408_gelu_rotated
                run(x, rowScales, columnScales, bias, &y, &scales, UInt32(rows))
                for row in 0 ..< rows {
                    expectRounded(
                        exact[row].map(gelu), Array(y[row * width ..< (row + 1) * width]), scales[row], coding,
                        error: 3e-5)
                }
            }
        }

        enum Product: String, CaseIterable {
            case int8, fp8, fp8Widened
        }

        @Test("products", arguments: Product.allCases, [[1, 16, 1], [130, 80, 258], [97, 208, 61], [64, 400, 40]])
        func products(kind: Product, size: [Int]) {
            let (rows, inputs, outputs) = (size[0], size[1], size[2])
            var random = SeededRandom(UInt64(rows + inputs))
            let format: EightBitFormat = kind == .int8 ? .int8 : .fp8
            let x = rounded(random.floats(rows * inputs), inputs, EightBitCoding(format))
            let w = rounded(random.floats(outputs * inputs), inputs, EightBitCoding(format))
            let bias = random.floats(outputs)
            let (a, b) = (x.bytes.map(format.decode), w.bytes.map(format.decode))
            var (exact, sizes): ([Double], [Double]) = ([], [])
            for row in 0 ..< rows {
                for output in 0 ..< outputs {
                    var (sum, total) = (0.0, 0.0)
                    for i in 0 ..< inputs {
                        let term = Double(a[row * inputs + i]) * Double(b[output * inputs + i])
                        (sum, total) = (sum + term, total + abs(term))
                    }
                    let scale = Double(x.scales[row]) * Double(w.scales[output])
                    exact.append(sum * scale + (kind == .fp8Widened ? 0 : Double(bias[output])))
                    sizes.append(total * scale + 1)
                }
            }
            var found: [Float]
            let (m, k, n) = (UInt32(rows), UInt32(inputs), UInt32(outputs))
            if kind == .int8 {
                var y = [UInt16](repeating: 0xFFFF, count: rows * outputs)
                swan_emulate_eight_bit_linear_int8(x.bytes, x.scales, w.bytes, w.scales, bias, &y, m, k, n)
                found = y.map(wide)
            } else {
                found = [Float](repeating: .nan, count: rows * outputs)
                let run =
                    kind == .fp8 ? swan_emulate_eight_bit_linear_fp8 : swan_emulate_eight_bit_linear_fp8_widened
                run(x.bytes, x.scales, w.bytes, w.scales, bias, &found, m, k, n)
            }
            let distance = Distance(found, from: exact) {
                0x1p-20 * sizes[$0] + (kind == .int8 ? 0x1p-8 * abs(exact[$0]) : 0)
            }
            #expect(distance.isExplained, "\(kind) \(size): \(distance)")
        }

        @Test("a NaN stays in its row and its column", arguments: [Product.fp8, .fp8Widened])
        func notNumbers(kind: Product) {
            let (rows, inputs, outputs) = (5, 48, 7)
            var random = SeededRandom(3)
            var x = rounded(random.floats(rows * inputs), inputs, .fp8).bytes
            var w = rounded(random.floats(outputs * inputs), inputs, .fp8).bytes
            x[2 * inputs + 13] = 0x7F
            w[4 * inputs + 22] = 0xFF
            var found = [Float](repeating: 0, count: rows * outputs)
            let run = kind == .fp8 ? swan_emulate_eight_bit_linear_fp8 : swan_emulate_eight_bit_linear_fp8_widened
            let (ones, bias) = ([Float](repeating: 1, count: rows + outputs), [Float](repeating: 0, count: outputs))
            run(x, ones, w, ones, bias, &found, UInt32(rows), UInt32(inputs), UInt32(outputs))
            for i in found.indices {
                #expect(
                    found[i].isNaN == (i / outputs == 2 || i % outputs == 4),
                    "row \(i / outputs), column \(i % outputs)")
            }
        }
    }
}
