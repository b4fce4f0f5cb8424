import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanTensor
import SwanTestSupport
import Testing

/// Guards the autoencoder against the official code: caches, the first frame's own way, the order of
/// interleaved frames, padding of downsamplings.
@Suite struct WanVAETests {
    static let tiny = WanVAEConfiguration(
        baseChannels: 8, latentChannels: 4, mean: [0, 0, 0, 0], deviation: [1, 1, 1, 1])

    /// Decodes a latent in chunks of so many frames behind the first, and returns `[3, frames, height, width]`.
    private func decode(_ latent: HostTensor, chunk: Int, on backend: any Backend) throws -> [Float] {
        let weights = FilledWeights.autoencoder(baseChannels: 8, latentChannels: 4)
        let decoder = try WanVAEDecoder(Self.tiny, WeightScope(weights), on: backend)
        let stream = WanVAEDecoder.Stream()
        let (frames, size) = (latent.shape[1], latent.shape[2] * latent.shape[3])
        let values = try latent.floats()
        var decoded: [[Float]] = []
        var start = 0
        while start < frames {
            let end = start == 0 ? 1 : min(start + chunk, frames)
            let part = (0 ..< 4).flatMap { values[($0 * frames + start) * size ..< ($0 * frames + end) * size] }
            let input = try backend.upload(
                HostTensor([4, end - start, latent.shape[2], latent.shape[3]], part), as: .float32)
            let pixels = try decoder(input, stream, on: backend)
            for frame in 0 ..< pixels.shape[0] {
                decoded.append(try backend.download(pixels.rows(frame ..< frame + 1)))
            }
            start = end
        }
        let pixels = 64 * size
        return (0 ..< 3).flatMap { channel in
            decoded.flatMap { frame in (0 ..< pixels).map { frame[$0 * 3 + channel] } }
        }
    }

    @Test(arguments: TestDevice.requested, [1, 2])
    func decodesAsTheOfficialCode(device: TestDevice, chunk: Int) throws {
        let backend = try device.open()
        let golden = try Fixture.open("vae/tiny.safetensors")
        for (input, shape, output) in [
            ("input.z", Shape([4, 3, 4, 6]), "decoded"), ("input.z4", [4, 4, 2, 3], "decoded.4"),
        ] {
            let ours = try decode(filledInput(input, shape), chunk: chunk, on: backend)
            let error = Deviation(ours, try golden.tensor(output).floats())
            #expect(error.relative <= 2e-5, "\(output): \(error)")
        }
    }

    @Test(arguments: TestDevice.requested)
    func encodesAsTheOfficialCode(device: TestDevice) throws {
        let backend = try device.open()
        let golden = try Fixture.open("vae/tiny.safetensors")
        let weights = FilledWeights.autoencoder(baseChannels: 8, latentChannels: 4)
        let encoder = try WanVAEEncoder(Self.tiny, WeightScope(weights), on: backend)
        let video = try filledInput("input.video", [3, 9, 32, 48]).floats()
        // The fill's channels come first, the encoder's last.
        let size = 32 * 48
        let frames = (0 ..< 9).map { frame in
            (0 ..< size * 3).map { video[($0 % 3 * 9 + frame) * size + $0 / 3] }
        }
        let stream = WanVAEEncoder.Stream()
        var latents: [[Float]] = []
        for chunk in [0 ..< 1, 1 ..< 5, 5 ..< 9] {
            let input = try backend.upload(
                HostTensor([chunk.count, 32, 48, 3], frames[chunk].flatMap(\.self)), as: .float32)
            latents.append(try backend.download(encoder(input, stream, on: backend)))
        }
        let ours = (0 ..< 4).flatMap { channel in latents.flatMap { $0[channel * 24 ..< (channel + 1) * 24] } }
        let error = Deviation(ours, try golden.tensor("encoded").floats())
        #expect(error.relative <= 2e-5, "\(error)")
        let first = Deviation(latents[0], try golden.tensor("encoded.1").floats())
        #expect(first.relative <= 2e-5, "\(first)")
    }

    /// Means and deviations: decoding `(z - mean) / deviation` under them equals decoding z under none.
    @Test func scalesLatents() throws {
        let backend = try TestDevice.reference.open()
        let weights = FilledWeights.autoencoder(baseChannels: 8, latentChannels: 4)
        let config = WanVAEConfiguration(
            baseChannels: 8, latentChannels: 4, mean: [0.5, -1, 0, 2], deviation: [2, 0.5, 1, 3])
        let z = try filledInput("input.z", [4, 1, 2, 2]).floats()
        let normal = z.enumerated().map { ($1 - config.mean[$0 / 4]) / config.deviation[$0 / 4] }
        let plain = try WanVAEDecoder(Self.tiny, WeightScope(weights), on: backend)
        let scaled = try WanVAEDecoder(config, WeightScope(weights), on: backend)
        let expected = try backend.download(
            plain(backend.upload(HostTensor([4, 1, 2, 2], z), as: .float32), WanVAEDecoder.Stream(), on: backend))
        let ours = try backend.download(
            scaled(backend.upload(HostTensor([4, 1, 2, 2], normal), as: .float32), WanVAEDecoder.Stream(), on: backend))
        #expect(Deviation(ours, expected).relative <= 1e-5)
    }

    @Test func refusesChunksThatDoNotFit() throws {
        let backend = try TestDevice.reference.open()
        let weights = FilledWeights.autoencoder(baseChannels: 8, latentChannels: 4)
        let decoder = try WanVAEDecoder(Self.tiny, WeightScope(weights), on: backend)
        // The first latent frame comes alone.
        let two = try backend.upload(filledInput("input.z", [4, 2, 2, 2]), as: .float32)
        #expect(throws: SwanError.self) { try decoder(two, WanVAEDecoder.Stream(), on: backend) }
    }

    @Test func latentExtents() throws {
        #expect(WanVAEConfiguration.latentExtents(frames: 81, height: 480, width: 832)! == (21, 60, 104))
        #expect(WanVAEConfiguration.latentExtents(frames: 80, height: 480, width: 832) == nil)
        #expect(WanVAEConfiguration.latentExtents(frames: 81, height: 484, width: 832) == nil)
    }
}
