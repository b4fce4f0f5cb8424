import SwanTensor
import SwanTestSupport
import Testing

@Suite("Latents")
struct LatentTests {
    static let cases: [(Shape, PatchSize)] = [
        ([16, 3, 4, 6], PatchSize(frames: 1, height: 2, width: 2)),
        ([3, 4, 6, 9], PatchSize(frames: 2, height: 1, width: 3)),
        ([1, 1, 1, 1], PatchSize(frames: 1, height: 1, width: 1)),
        ([5, 2, 22, 14], PatchSize(frames: 2, height: 2, width: 2)),
    ]

    @Test("patches hold the right elements", arguments: TestDevice.requested, 0 ..< cases.count)
    func patches(device: TestDevice, index: Int) throws {
        let backend = try device.open()
        let (shape, patch) = Self.cases[index]
        // bfloat16 holds whole numbers up to 256 exactly.
        let values = (0 ..< shape.count).map { Float($0 * 37 % 251) }
        let (latent, _) = try backend.place(values, shape, as: .float32)
        let tokens = try backend.patchify(latent, patch: patch)
        let found = try backend.download(tokens)
        let (h, w) = (shape[2] / patch.height, shape[3] / patch.width)
        var back = [Float](repeating: 0, count: shape.count)
        for c in 0 ..< shape[0] {
            for f in 0 ..< shape[1] {
                for y in 0 ..< shape[2] {
                    for x in 0 ..< shape[3] {
                        let token = (f / patch.frames * h + y / patch.height) * w + x / patch.width
                        let place = (f % patch.frames * patch.height + y % patch.height) * patch.width + x % patch.width
                        let at = ((c * shape[1] + f) * shape[2] + y) * shape[3] + x
                        let feature = c * patch.volume + place
                        #expect(found[token * shape[0] * patch.volume + feature] == values[at])
                        back[at] = found[token * shape[0] * patch.volume + place * shape[0] + c]
                    }
                }
            }
        }
        // The way back reads the same features in another order: channel fastest.
        let latentAgain = try backend.unpatchify(tokens, patch: patch, shape: shape)
        #expect(latentAgain.dtype == .float32)
        #expect(try backend.download(latentAgain) == back)
    }

    @Test("linear combinations match the formula", arguments: TestDevice.requested, oddSizes)
    func combination(device: TestDevice, size: Int) throws {
        let backend = try device.open()
        var random = SeededRandom(9)
        let shape: Shape = [size, 2, 3]
        let parts = try (0 ..< 3).map { _ in try backend.place(random.floats(shape.count), shape, as: .float32) }
        let coefficients: [Float] = [0.3, -1.7, 2.5]
        for count in 1 ... 3 {
            let terms = (0 ..< count).map { (coefficient: coefficients[$0], tensor: parts[$0].0) }
            let exact = (0 ..< shape.count).map { i in
                (0 ..< count).reduce(0.0) { $0 + Double(coefficients[$1]) * parts[$1].1[i] }
            }
            let distance = Distance(try backend.download(backend.linearCombination(terms)), from: exact) { i in
                (0 ..< count).reduce(0.0) { $0 + abs(Double(coefficients[$1]) * parts[$1].1[i]) } * 3 * 0x1p-24
            }
            #expect(distance.isExplained, "\(count) terms: \(distance)")
        }
    }

    @Test("refuses broken contracts", arguments: TestDevice.requested)
    func contracts(device: TestDevice) throws {
        let backend = try device.open()
        let latent = try backend.zeros([2, 3, 4, 5], .float32)
        let patch = PatchSize(frames: 1, height: 2, width: 2)
        expectMismatch("patchify: latent [2, 3, 4, 5] is no multiple of the patch 1×2×2.") {
            _ = try backend.patchify(latent, patch: patch)
        }
        let tokens = try backend.zeros([7, 8], .float32)
        expectMismatch("unpatchify: x has shape [7, 8], expected [6, 8].") {
            _ = try backend.unpatchify(tokens, patch: patch, shape: [2, 1, 4, 6])
        }
        expectMismatch("linearCombination: there is no term, expected at least one.") {
            _ = try backend.linearCombination([])
        }
        expectMismatch("linearCombination: term 1 has shape [7, 8], expected [2, 3, 4, 5].") {
            _ = try backend.linearCombination([(1, latent), (1, tokens)])
        }
    }
}
