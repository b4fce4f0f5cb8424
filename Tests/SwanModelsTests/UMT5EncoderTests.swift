import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanTensor
import SwanTestSupport
import Testing

/// Guards the encoder against the official code: the gate's side, the bias of each layer and each bucket,
/// the missing scale.
@Suite struct UMT5EncoderTests {
    static let tiny = UMT5Configuration(
        vocabulary: 64, width: 32, heads: 4, headWidth: 8, feedForward: 48, layers: 2, buckets: 32)

    @Test(arguments: TestDevice.requested, ["6", "40", "140"])
    func agreesWithTheOfficialCode(device: TestDevice, length: String) throws {
        let backend = try device.open()
        let golden = try Fixture.open("umt5/tiny.safetensors")
        let encoder = try UMT5Encoder(Self.tiny, WeightScope(FilledWeights.textEncoder(Self.tiny)), on: backend)
        let ids = try golden.tensor("ids.\(length)").floats().map { Int32($0) }
        let states = try encoder(ids, on: backend).floats()
        let error = Deviation(states, try golden.tensor("out.\(length)").floats())
        #expect(error.relative <= 1e-5, "\(error)")
    }

    /// First distance of each bucket from the eighth on, and both ends.
    @Test func bucketsOfDistances() {
        for (distance, bucket) in [
            (0, 0), (1, 1), (7, 7), (8, 8), (11, 8), (12, 9), (15, 9), (16, 10), (22, 10), (23, 11),
            (31, 11), (32, 12), (45, 12), (46, 13), (63, 13), (64, 14), (90, 14), (91, 15), (127, 15), (511, 15),
        ] {
            #expect(relativeBucket(distance: -distance, buckets: 32) == bucket)
            if distance > 0 { #expect(relativeBucket(distance: distance, buckets: 32) == bucket + 16) }
        }
    }

    @Test func readsItsSizesOffTheTensors() throws {
        #expect(try UMT5Configuration(shapesOf: FilledWeights.textEncoder(Self.tiny)) == Self.tiny)
    }

    /// T5 shares the first block's table; running it as UMT5 would give wrong states without a word.
    @Test func refusesT5() {
        let source = Without(FilledWeights.textEncoder(Self.tiny), "blocks.1.pos_embedding.embedding.weight")
        let error = #expect(throws: SwanError.self) { try UMT5Configuration(shapesOf: source) }
        #expect(error?.code == .configuration)
    }

    @Test func refusesAnIdOutsideTheTable() throws {
        let backend = try TestDevice.reference.open()
        let encoder = try UMT5Encoder(Self.tiny, WeightScope(FilledWeights.textEncoder(Self.tiny)), on: backend)
        let error = #expect(throws: SwanError.self) { try encoder([5, 64, 1], on: backend) }
        #expect(error?.code == .configuration)
    }
}
