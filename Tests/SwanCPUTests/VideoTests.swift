import Foundation
import SwanCPU
import SwanTensor
import SwanTestSupport
import Testing

@Suite("Video")
struct VideoTests {
    struct Case: CustomStringConvertible, Sendable {
        let name: String
        let geometry: ConvolutionShape
        let frames, height, width: Int
        var description: String { name }

        init(_ name: String, _ geometry: ConvolutionShape, _ frames: Int, _ height: Int, _ width: Int) {
            (self.name, self.geometry) = (name, geometry)
            (self.frames, self.height, self.width) = (frames, height, width)
        }
    }

    static let convolutions = [
        Case("causal 3→16", ConvolutionShape(inputs: 3, outputs: 16, kernel: (3, 3, 3)), 5, 7, 9),
        Case("causal 16→16", ConvolutionShape(inputs: 16, outputs: 16, kernel: (3, 3, 3)), 3, 11, 13),
        Case("causal 20→4", ConvolutionShape(inputs: 20, outputs: 4, kernel: (3, 3, 3)), 4, 6, 5),
        Case("causal 24→3, the head", ConvolutionShape(inputs: 24, outputs: 3, kernel: (3, 3, 3)), 6, 9, 17),
        Case("one position", ConvolutionShape(inputs: 16, outputs: 8, kernel: (3, 3, 3)), 3, 1, 1),
        Case("pointwise", ConvolutionShape(inputs: 20, outputs: 33, kernel: (1, 1, 1)), 3, 7, 5),
        Case("pointwise with steps", ConvolutionShape(inputs: 4, outputs: 8, kernel: (1, 1, 1), stride: 2), 2, 7, 5),
        Case("plane", ConvolutionShape(inputs: 16, outputs: 20, kernel: (1, 3, 3)), 5, 8, 9),
        Case(
            "halving, padded right and below",
            ConvolutionShape(
                inputs: 16, outputs: 16, kernel: (1, 3, 3), stride: 2, top: 0, bottom: 1, left: 0, right: 1), 3, 8, 11),
        Case(
            "padded left and above",
            ConvolutionShape(inputs: 4, outputs: 16, kernel: (2, 2, 3), top: 1, bottom: 0, left: 2, right: 0), 3, 5, 6),
        Case("time", ConvolutionShape(inputs: 16, outputs: 32, kernel: (3, 1, 1)), 6, 5, 7),
        Case("time, halving", ConvolutionShape(inputs: 16, outputs: 16, kernel: (3, 1, 1), frameStride: 2), 7, 5, 3),
        Case("every other frame", ConvolutionShape(inputs: 8, outputs: 8, kernel: (1, 3, 3), frameStride: 2), 5, 5, 4),
        Case("wide 96→96", ConvolutionShape(inputs: 96, outputs: 96, kernel: (3, 3, 3)), 3, 5, 33),
    ]

    @Test("convolution matches the formula", arguments: TestDevice.requested, convolutions)
    func convolution(device: TestDevice, test: Case) throws {
        let backend = try device.open()
        var random = SeededRandom(21)
        let geometry = test.geometry
        let (kernel, inputs, outputs) = (geometry.kernel, geometry.inputs, geometry.outputs)
        let shape: Shape = [test.frames, test.height, test.width, inputs]
        let output = try #require(geometry.output(of: shape))
        let weight = random.floats(outputs * inputs * kernel.frames * kernel.height * kernel.width)
        let bias = random.floats(outputs)
        let weights = try backend.makeConvolution(
            geometry,
            weight: HostTensor([outputs, inputs, kernel.frames, kernel.height, kernel.width], weight),
            bias: HostTensor([outputs], bias))
        let (x, xs) = try backend.place(random.floats(shape.count), shape)
        let (residual, residuals) = try backend.place(random.floats(output.count), output)

        var (sums, sizes): ([Double], [Double]) = ([], [])
        for f in 0 ..< output[0] {
            for y in 0 ..< output[1] {
                for x in 0 ..< output[2] {
                    for o in 0 ..< outputs {
                        var (sum, size) = (Double(bias[o]), abs(Double(bias[o])))
                        for t in 0 ..< kernel.frames {
                            for j in 0 ..< kernel.height {
                                for i in 0 ..< kernel.width {
                                    let row = y * geometry.stride + j - geometry.top
                                    let column = x * geometry.stride + i - geometry.left
                                    guard (0 ..< test.height).contains(row), (0 ..< test.width).contains(column) else {
                                        continue
                                    }
                                    let frame = f * geometry.frameStride + t
                                    let from = ((frame * test.height + row) * test.width + column) * inputs
                                    for c in 0 ..< inputs {
                                        let at = ((o * inputs + c) * kernel.frames + t) * kernel.height + j
                                        let term = xs[from + c] * Double(weight[at * kernel.width + i])
                                        sum += term
                                        size += abs(term)
                                    }
                                }
                            }
                        }
                        sums.append(sum)
                        sizes.append(size)
                    }
                }
            }
        }
        let taps = Double(inputs * kernel.frames * kernel.height * kernel.width)
        let unit = backend.activationType.unitRoundoff
        let plain = try backend.convolution(x, weights, residual: nil)
        #expect(plain.shape == output)
        let distance = Distance(try backend.download(plain), from: sums) {
            (4 + 2 * taps.squareRoot()) * 0x1p-24 * sizes[$0] + unit * abs(sums[$0])
        }
        #expect(distance.isExplained, "\(distance)")

        let exact = zip(sums, residuals).map { $0 + $1 }
        let added = Distance(try backend.download(backend.convolution(x, weights, residual: residual)), from: exact) {
            (4 + 2 * taps.squareRoot()) * 0x1p-24 * (sizes[$0] + abs(residuals[$0])) + unit * abs(exact[$0])
        }
        #expect(added.isExplained, "with a residual: \(added)")
    }

    @Test("oneDNN and the matrix kernels agree with the reference", arguments: [true, false], convolutions)
    func engines(usesTaps: Bool, test: Case) throws {
        let (backend, oracle) = (try CPUBackend(), ReferenceBackend())
        backend.usesTaps = usesTaps
        var random = SeededRandom(27)
        let (geometry, kernel) = (test.geometry, test.geometry.kernel)
        let shape: Shape = [test.frames, test.height, test.width, geometry.inputs]
        let output = try #require(geometry.output(of: shape))
        let weightShape: Shape = [geometry.outputs, geometry.inputs, kernel.frames, kernel.height, kernel.width]
        let weight = HostTensor(weightShape, random.floats(weightShape.count))
        let bias = HostTensor([geometry.outputs], random.floats(geometry.outputs))
        let (x, residual) = (random.floats(shape.count), random.floats(output.count))
        func run(_ device: any Backend) throws -> [Float] {
            let weights = try device.makeConvolution(geometry, weight: weight, bias: bias)
            let added = try device.place(residual, output).0
            return try device.download(device.convolution(device.place(x, shape).0, weights, residual: added))
        }
        let terms = Double(weightShape.rowCount)
        let distance = Distance(try run(backend), from: try run(oracle).map(Double.init)) { _ in
            // Sums of products of two values below 1.
            (4 + 2 * terms.squareRoot()) * 0x1p-24 * (terms / 4 + 4)
        }
        #expect(distance.isExplained, "\(distance)")
        #expect(usesTaps ? backend.productCount == 1 : backend.convolutionCount == 1)
    }

    @Test("one convolution serves many shapes", arguments: TestDevice.requested)
    func shapes(device: TestDevice) throws {
        let backend = try device.open()
        let oracle = try TestDevice("reference").open()
        var random = SeededRandom(22)
        let geometry = ConvolutionShape(inputs: 12, outputs: 20, kernel: (3, 3, 3))
        let weight = HostTensor([20, 12, 3, 3, 3], random.floats(20 * 12 * 27))
        let bias = HostTensor([20], random.floats(20))
        let weights = try backend.makeConvolution(geometry, weight: weight, bias: bias)
        let expected = try oracle.makeConvolution(geometry, weight: weight, bias: bias)
        for shape: Shape in [[3, 1, 1, 12], [6, 9, 8, 12], [3, 30, 52, 12], [6, 9, 8, 12], [4, 2, 70, 12]] {
            let (x, xs) = try backend.place(random.floats(shape.count), shape)
            let (y, _) = try oracle.place(xs.map { Float($0) }, shape)
            let exact = try oracle.download(oracle.convolution(y, expected, residual: nil)).map(Double.init)
            let found = try backend.download(backend.convolution(x, weights, residual: nil))
            // 324 terms below 1 in size: sums below about 20.
            let distance = Distance(found, from: exact) {
                40 * 0x1p-24 * 20 + backend.activationType.unitRoundoff * abs(exact[$0])
            }
            #expect(distance.isExplained, "\(shape): \(distance)")
        }
    }

    @Test(
        "upsample equals a doubling and a convolution", arguments: TestDevice.requested,
        [[1, 1, 1, 4, 8], [2, 3, 5, 16, 3], [3, 7, 4, 20, 24], [1, 9, 13, 64, 32]])
    func upsample(device: TestDevice, sizes: [Int]) throws {
        let backend = try device.open()
        var random = SeededRandom(23)
        let (frames, height, width, inputs, outputs) = (sizes[0], sizes[1], sizes[2], sizes[3], sizes[4])
        let weight = random.floats(outputs * inputs * 9)
        let bias = random.floats(outputs)
        let weights = try backend.makeUpsample(
            weight: HostTensor([outputs, inputs, 3, 3], weight), bias: HostTensor([outputs], bias))
        let (x, xs) = try backend.place(
            random.floats(frames * height * width * inputs), [frames, height, width, inputs])
        var (exact, magnitudes): ([Double], [Double]) = ([], [])
        for f in 0 ..< frames {
            for y in 0 ..< 2 * height {
                for x in 0 ..< 2 * width {
                    for o in 0 ..< outputs {
                        var (sum, magnitude) = (Double(bias[o]), abs(Double(bias[o])))
                        for j in 0 ..< 3 {
                            for i in 0 ..< 3 {
                                let (row, column) = (y + j - 1, x + i - 1)
                                guard (0 ..< 2 * height).contains(row), (0 ..< 2 * width).contains(column) else {
                                    continue
                                }
                                let from = ((f * height + row / 2) * width + column / 2) * inputs
                                for c in 0 ..< inputs {
                                    let term = xs[from + c] * Double(weight[(o * inputs + c) * 9 + j * 3 + i])
                                    sum += term
                                    magnitude += abs(term)
                                }
                            }
                        }
                        exact.append(sum)
                        magnitudes.append(magnitude)
                    }
                }
            }
        }
        let result = try backend.upsample(x, weights)
        #expect(result.shape == [frames, 2 * height, 2 * width, outputs])
        let unit = backend.activationType.unitRoundoff
        // Taps are summed before they are rounded to the weights' type.
        let weightUnit = unit == 0x1p-24 ? 0 : unit
        let distance = Distance(try backend.download(result), from: exact) {
            ((4 + 2 * Double(9 * inputs).squareRoot()) * 0x1p-24 + weightUnit) * magnitudes[$0] + unit * abs(exact[$0])
        }
        #expect(distance.isExplained, "\(distance)")
    }

    /// `x / max(|x|, 1e-12) * sqrt(channels) * gamma` at each position.
    static func channelNormalized(_ xs: [Double], _ gammas: [Double]) -> [Double] {
        let channels = gammas.count
        return stride(from: 0, to: xs.count, by: channels).flatMap { first in
            let pixel = xs[first ..< first + channels]
            let length = pixel.reduce(0) { $0 + $1 * $1 }.squareRoot()
            return pixel.indices.map {
                pixel[$0] / max(length, 1e-12) * Double(channels).squareRoot() * gammas[$0 - first]
            }
        }
    }

    @Test("channelNorm matches the formula", arguments: TestDevice.requested, HardRows.allCases)
    func channelNorm(device: TestDevice, kind: HardRows) throws {
        let backend = try device.open()
        var random = SeededRandom(24)
        for channels in [3, 4, 16, 20, 113, 384] {
            let shape: Shape = [2, 3, 5, channels]
            let values = (0 ..< 30).flatMap { _ in kind.values(channels, &random) }
            let (x, xs) = try backend.place(values, shape)
            let (gamma, gammas) = try backend.place(random.floats(channels), [channels], as: .float32)
            let exact = Self.channelNormalized(xs, gammas)
            let distance = Distance(try backend.download(backend.channelNorm(x, gamma: gamma)), from: exact) {
                (6 * 0x1p-24 + backend.activationType.unitRoundoff) * abs(exact[$0])
            }
            #expect(distance.isExplained, "\(channels) channels: \(distance)")
        }
    }

    @Test("normSiLU and withHistory put history in front", arguments: TestDevice.requested, [nil, 0, 1, 2])
    func history(device: TestDevice, kept: Int?) throws {
        let backend = try device.open()
        var random = SeededRandom(25)
        for channels in [4, 16, 20] {
            let shape: Shape = [3, 5, 7, channels]
            let frame = 35 * channels
            let (x, xs) = try backend.place(random.floats(shape.count, size: 4), shape)
            let (gamma, gammas) = try backend.place(random.floats(channels, size: 3), [channels], as: .float32)
            let old = try kept.map { try backend.place(random.floats($0 * frame), [$0, 5, 7, channels]) }
            let front = [Double](repeating: 0, count: (2 - (kept ?? 0)) * frame) + (old?.1 ?? [])

            let normalized = Self.channelNormalized(xs, gammas)
            let exact = front + normalized.map { $0 / (1 + exp(-$0)) }
            let result = try backend.normSiLU(x, gamma: gamma, history: old?.0, historyFrames: 2)
            #expect(result.shape == [5, 5, 7, channels])
            let distance = Distance(try backend.download(result), from: exact) { i in
                i < front.count
                    ? 0
                    : (12 * 0x1p-24 * (1 + abs(normalized[i - front.count])) + backend.activationType.unitRoundoff)
                        * abs(exact[i])
            }
            #expect(distance.isExplained, "normSiLU, \(channels) channels: \(distance)")
            let joined = try backend.withHistory(x, history: old?.0, historyFrames: 2)
            #expect(try backend.download(joined).map(Double.init) == front + xs)
        }
    }

    @Test("frames interleave", arguments: TestDevice.requested, [1, 3, 20])
    func interleave(device: TestDevice, channels: Int) throws {
        let backend = try device.open()
        let (frames, height, width) = (3, 5, 7)
        let values = (0 ..< frames * height * width * 2 * channels).map { Float($0 % 253) }
        let (x, _) = try backend.place(values, [frames, height, width, 2 * channels])
        let result = try backend.frameInterleave(x)
        #expect(result.shape == [2 * frames, height, width, channels])
        let found = try backend.download(result)
        for frame in 0 ..< 2 * frames {
            for position in 0 ..< height * width {
                for c in 0 ..< channels {
                    let from = (frame / 2 * height * width + position) * 2 * channels + frame % 2 * channels + c
                    #expect(found[(frame * height * width + position) * channels + c] == values[from])
                }
            }
        }
    }

    @Test("channels move last and first", arguments: TestDevice.requested, [(1, 1), (16, 16), (20, 3)])
    func layouts(device: TestDevice, channels: (Int, Int)) throws {
        let backend = try device.open()
        var random = SeededRandom(26)
        let (all, taken) = channels
        let (frames, height, width) = (3, 5, 7)
        let positions = frames * height * width
        let (latent, ls) = try backend.place(
            random.floats(all * positions), [all, frames, height, width], as: .float32)
        let (scale, scales) = try backend.place(random.floats(all), [all], as: .float32)
        let (shift, shifts) = try backend.place(random.floats(all), [all], as: .float32)
        let unit = backend.activationType.unitRoundoff

        let last = try backend.channelsLast(latent, scale: scale, shift: shift)
        #expect(last.shape == [frames, height, width, all])
        let exact = (0 ..< all * positions).map {
            ls[$0 % all * positions + $0 / all] * scales[$0 % all] + shifts[$0 % all]
        }
        let there = Distance(try backend.download(last), from: exact) {
            2 * 0x1p-24 * (abs(exact[$0]) + abs(shifts[$0 % all])) + unit * abs(exact[$0])
        }
        #expect(there.isExplained, "channelsLast: \(there)")

        let lasts = try backend.download(last).map(Double.init)
        let first = try backend.channelsFirst(last, scale: scale.rows(0 ..< taken), shift: shift.rows(0 ..< taken))
        #expect(first.shape == [taken, frames, height, width] && first.dtype == .float32)
        let back = (0 ..< taken * positions).map {
            lasts[$0 % positions * all + $0 / positions] * scales[$0 / positions] + shifts[$0 / positions]
        }
        let here = Distance(try backend.download(first), from: back) {
            2 * 0x1p-24 * (abs(back[$0]) + abs(shifts[$0 / positions]))
        }
        #expect(here.isExplained, "channelsFirst: \(here)")
    }

    @Test("pixels are truncated", arguments: TestDevice.requested)
    func pixels(device: TestDevice) throws {
        let backend = try device.open()
        let cases: [(Float, UInt8)] = [
            (-1, 0), (-0.5, 63), (0, 127), (0.5, 191), (0.999, 254), (1, 255), (-7, 0), (7, 255), (.nan, 0),
            (.infinity, 255), (-.infinity, 0), (-0.9999, 0), (0.25, 159), (-0.25, 95), (0.0078125, 128),
        ]
        // bfloat16 cannot hold 0.999.
        let usable = cases.filter { backend.activationType == .float32 || ($0.0 != 0.999 && $0.0 != -0.9999) }
        let pixels = (usable.count + 2) / 3
        let padded = usable + [(Float, UInt8)](repeating: (0, 127), count: 3 * pixels - usable.count)
        let many = (0 ..< 41).flatMap { _ in padded }
        let (x, _) = try backend.place(many.map(\.0), [1, 41, pixels, 3])
        #expect(try backend.framesToRGB8(x) == many.map(\.1))
    }

    @Test("refuses broken contracts", arguments: TestDevice.requested)
    func contracts(device: TestDevice) throws {
        let backend = try device.open()
        let geometry = ConvolutionShape(inputs: 4, outputs: 2, kernel: (3, 3, 3))
        let weight = HostTensor([2, 4, 3, 3, 3], [Float](repeating: 1, count: 216))
        let bias = HostTensor([2], [0, 0])
        let weights = try backend.makeConvolution(geometry, weight: weight, bias: bias)
        let x = try backend.zeros([2, 5, 5, 4], backend.activationType)
        expectMismatch(
            "convolution: x has shape [2, 5, 5, 4], expected 4 channels and, padded, at least 3×3×3."
        ) {
            _ = try backend.convolution(x, weights, residual: nil)
        }
        expectMismatch("convolution: residual has shape [2, 5, 5, 4], expected [1, 5, 5, 2].") {
            let three = try backend.zeros([3, 5, 5, 4], backend.activationType)
            _ = try backend.convolution(three, weights, residual: x)
        }
        expectMismatch("makeConvolution: weight has shape [2, 4, 3, 3, 3], expected [2, 4, 1, 3, 3].") {
            _ = try backend.makeConvolution(
                ConvolutionShape(inputs: 4, outputs: 2, kernel: (1, 3, 3)), weight: weight, bias: bias)
        }
        expectMismatch("makeConvolution: geometry has strides 1 and 0, expected at least 1.") {
            _ = try backend.makeConvolution(
                ConvolutionShape(inputs: 4, outputs: 2, kernel: (3, 3, 3), stride: 0), weight: weight, bias: bias)
        }
        let gamma = try backend.zeros([4], .float32)
        expectMismatch("normSiLU: history has 2 frames, expected at most 1.") {
            _ = try backend.normSiLU(x, gamma: gamma, history: x, historyFrames: 1)
        }
        expectMismatch("channelNorm: gamma has shape [3], expected [4].") {
            _ = try backend.channelNorm(x, gamma: gamma.rows(0 ..< 3))
        }
        expectMismatch("framesToRGB8: x has 4 channels, expected 3.") { _ = try backend.framesToRGB8(x) }
        let odd = try backend.zeros([1, 1, 1, 3], backend.activationType)
        expectMismatch("frameInterleave: x has 3 channels, expected an even number.") {
            _ = try backend.frameInterleave(odd)
        }
        let doubling = try backend.makeUpsample(
            weight: HostTensor([2, 3, 3, 3], [Float](repeating: 1, count: 54)), bias: bias)
        expectMismatch("upsample: x has 4 channels, expected the weights' 3.") { _ = try backend.upsample(x, doubling) }
    }
}
