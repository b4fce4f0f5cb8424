import SwanCPU
import SwanDiagnostics
import SwanRuntime
import SwanTensor
import SwanTestSupport
import Testing

@Suite("Backends")
struct BackendTests {
    /// A little of everything, in an order that gives each operation recycled memory.
    static func everything(_ backend: any Backend) throws -> [[Float]] {
        var random = SeededRandom(31)
        var results: [[Float]] = []
        let (x, _) = try backend.place(random.floats(203 * 384), [203, 384], as: .float32)
        let (gate, _) = try backend.place(random.floats(384), [1, 384], as: .float32)
        let linear = try backend.makeLinear(
            weight: HostTensor([384, 384], random.floats(384 * 384, size: 0.09)),
            bias: HostTensor([384], random.floats(384)))
        let convolution = try backend.makeConvolution(
            ConvolutionShape(inputs: 16, outputs: 16, kernel: (3, 3, 3)),
            weight: HostTensor([16, 16, 3, 3, 3], random.floats(16 * 16 * 27, size: 0.1)),
            bias: HostTensor([16], random.floats(16)))
        let doubling = try backend.makeUpsample(
            weight: HostTensor([16, 16, 3, 3], random.floats(16 * 16 * 9, size: 0.1)),
            bias: HostTensor([16], random.floats(16)))
        let (frames, _) = try backend.place(random.floats(4 * 12 * 10 * 16), [4, 12, 10, 16])
        let (gamma, _) = try backend.place(random.floats(16), [16], as: .float32)
        for _ in 0 ..< 3 {
            let h = try backend.layerNormModulate(x, shift: gate, scale: gate, eps: 1e-6)
            let y = try backend.linear(h, linear, activation: .geluTanh)
            let heads = try y.reshaped([203, 6, 64])
            let a = try backend.attention(q: heads, k: heads, v: heads, scale: 0.125, bias: nil)
            let z = try backend.allocate(x.shape, .float32)
            try backend.copy(x, into: z)
            try backend.addGated(a.reshaped([203, 384]), gate: gate, to: z)
            results.append(try backend.download(z))
            let n = try backend.normSiLU(frames, gamma: gamma, history: nil, historyFrames: 2)
            let c = try backend.convolution(n, convolution, residual: frames)
            results.append(try backend.download(try backend.upsample(c, doubling)))
        }
        return results
    }

    @Test("the same bits from run to run", arguments: TestDevice.requested)
    func determinism(device: TestDevice) throws {
        let first = try Self.everything(try device.open())
        for _ in 0 ..< 3 {
            let again = try Self.everything(try device.open())
            for (a, b) in zip(first, again) {
                let different = a.indices.first { a[$0].bitPattern != b[$0].bitPattern }
                #expect(different == nil)
            }
        }
        #expect(first[0] == first[2] && first[1] == first[3])
    }

    @Test("every vector level of this processor agrees with the reference")
    func levels() throws {
        let exact = try Self.everything(ReferenceBackend())
        var found = 0
        for level in 0 ..< 3 {
            guard let backend = try CPUBackend(level: level) else { continue }
            found += 1
            for (result, expected) in zip(try Self.everything(backend), exact) {
                // Chains of operations on values of about 1, with a few hundred terms each.
                let distance = Distance(result, from: expected.map(Double.init)) {
                    2e-5 + 2e-6 * abs(Double(expected[$0]))
                }
                #expect(distance.isExplained, "\(backend.summary): \(distance)")
            }
        }
        #expect(found > 0)
    }

    @Test("cpu computes convolutions with oneDNN or its own kernels, as it says")
    func fastPaths() throws {
        let backend = try CPUBackend()
        _ = try Self.everything(backend)
        // Three rounds of a linear layer, an attention, a small convolution and a doubling in four phases.
        #expect(backend.productCount == 3 * 7)
        #expect(backend.convolutionCount == 0)
        let x = try backend.zeros([3, 4, 5, 96], .float32)
        func convolve(_ kernel: (Int, Int, Int)) throws {
            let shape: Shape = [96, 96, kernel.0, kernel.1, kernel.2]
            let weights = try backend.makeConvolution(
                ConvolutionShape(inputs: 96, outputs: 96, kernel: kernel),
                weight: HostTensor(shape, [Float](repeating: 0, count: shape.count)),
                bias: HostTensor([96], [Float](repeating: 0, count: 96)))
            _ = try backend.convolution(x, weights, residual: nil)
        }
        try convolve((3, 3, 3))
        #expect(backend.convolutionCount == 1 && backend.productCount == 21)
        try convolve((1, 3, 3))
        try convolve((3, 1, 1))
        #expect(backend.convolutionCount == 1 && backend.productCount == 23)
    }

    @Test("memory is used again")
    func recycling() throws {
        let backend = try CPUBackend()
        _ = try Self.everything(backend)
        let before = backend.memoryUse
        #expect(before.currentBytes < before.peakBytes)
        _ = try Self.everything(backend)
        let after = backend.memoryUse
        #expect(after.systemAllocations == before.systemAllocations)
        #expect(after.peakBytes == before.peakBytes)
        backend.releaseIdleMemory()
        #expect(backend.memoryUse.idleBytes == 0)
    }

    @Test("tensors come and go", arguments: TestDevice.requested)
    func transfers(device: TestDevice) throws {
        let backend = try device.open()
        #expect(backend.name == device.name)
        let (x, _) = try backend.place([1, 2, 3, 4, 5, 6], [3, 2], as: .float32)
        #expect(try backend.download(x.rows(1 ..< 3)) == [3, 4, 5, 6])
        let target = try backend.zeros([3, 2], .float32)
        #expect(try backend.download(target) == [0, 0, 0, 0, 0, 0])
        try backend.copy(x.rows(0 ..< 2), into: target.rows(1 ..< 3))
        #expect(try backend.download(target) == [0, 0, 1, 2, 3, 4])
        try backend.synchronize()
        #expect(try backend.download(try backend.zeros([0, 2], .float32)) == [])
        expectMismatch("copy: source and target overlap in memory.") {
            try backend.copy(x.rows(0 ..< 2), into: x.rows(1 ..< 3))
        }
        expectMismatch("copy: source has shape [2, 2], expected [3, 2].") {
            try backend.copy(x.rows(0 ..< 2), into: target)
        }
        expectMismatch("upload: the wanted element type is int8, expected float32 or \(backend.activationType).") {
            _ = try backend.upload(HostTensor([1], [1]), as: .int8)
        }
    }

    @Test("a tensor of another backend is refused")
    func foreignTensor() throws {
        let (a, b) = (try CPUBackend(), ReferenceBackend())
        let x = try b.zeros([2, 2], .float32)
        let own = try a.zeros([2, 2], .float32)
        for (y, x) in [(x, own), (own, x)] {
            #expect { try a.add(y, to: x) } throws: { ($0 as? SwanError)?.code == .fault }
        }
        let weights = try b.makeLinear(weight: HostTensor([2, 2], [1, 2, 3, 4]), bias: nil)
        let y = try a.zeros([2, 2], .float32)
        #expect { try a.linear(y, weights, activation: .identity) } throws: { ($0 as? SwanError)?.code == .fault }
    }

    @Test("more memory than there is gives an error")
    func outOfMemory() throws {
        let backend = try CPUBackend()
        #expect { try backend.allocate([1 << 50], .float32) } throws: { ($0 as? SwanError)?.code == .outOfMemory }
    }

    @Test("devices open by name or say why not")
    func names() throws {
        #expect(try Runtime.open("cpu").summary.hasPrefix("oneDNN 2."))
        for name in ["cuda:", "cuda:x", "cuda:-1", "cuda:+1", "gpu"] {
            #expect { try Runtime.open(name) } throws: { ($0 as? SwanError)?.code == .deviceUnknown }
        }
        #expect { try Runtime.open("tpu\u{1B}") } throws: {
            ($0 as? SwanError)?.message == "There is no device named 'tpu\\u{1b}'."
        }
    }
}

@Suite("Test support")
struct TestSupportTests {
    @Test("the deterministic fill gives the values of the specification")
    func fill() throws {
        let x = try deterministicFill(name: "input.x", shape: [16, 3, 4, 6], kind: .input).floats()
        #expect(
            zip(x, [-0.89516707, -0.65955450, -0.32519950, 0.30489405] as [Float]).allSatisfy { abs($0 - $1) < 1e-7 })
        let patch = try deterministicFill(name: "patch_embedding.weight", shape: [96, 16, 1, 2, 2], kind: .weight)
            .floats()
        #expect(abs(patch[0] - 0.1708388) < 1e-7 && abs(patch[1] + 0.0015018) < 1e-7)
        let gain = try deterministicFill(name: "blocks.0.self_attn.norm_q.weight", shape: [96], kind: .gain).floats()
        #expect(abs(gain[0] - 1.0443563) < 1e-6 && abs(gain[1] - 1.0845580) < 1e-6)
        let bias = try deterministicFill(name: "head.head.bias", shape: [64], kind: .bias).floats()
        #expect(abs(bias[0] + 0.0002846) < 1e-7 && abs(bias[1] + 0.0807507) < 1e-7)
    }
}
