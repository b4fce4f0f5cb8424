import SwanHub
import Testing

@Suite struct MemoryFitTests {
    /// An expert of 14,288,491,584 parameters in 40 blocks, and a text encoder of a third of that.
    let a14b: CatalogueModel
    /// A transformer of 1.4 billion parameters whose text encoder is larger.
    let small: CatalogueModel

    init() throws {
        a14b = try Catalogue.standard.model(named: "wan2.2-t2v-a14b")
        small = try Catalogue.standard.model(named: "wan2.1-t2v-1.3b")
    }

    @Test func needsFourBytesPerParameterOfTheLargestPart() {
        let whole = 4 * 14_288_491_584
        #expect(a14b.fit(availableMemory: whole, hasGPU: false) == .runs(bytes: whole))
        #expect(a14b.fit(availableMemory: whole - 1, hasGPU: false) == .needs(bytes: whole))
        #expect(a14b.fit(availableMemory: 0, hasGPU: false)?.summary == "needs 57.2 GB")
    }

    @Test func theTextEncoderMayBeTheLargestPart() {
        let encoder = 4 * 4_630_761_472
        #expect(small.fit(availableMemory: encoder, hasGPU: false) == .runs(bytes: encoder))
        #expect(small.fit(availableMemory: encoder - 1, hasGPU: false) == .needs(bytes: encoder))
    }

    @Test func aGPUTakesBlocksInTurn() {
        // Two blocks of 16-bit weights.
        let inFlight = 2 * 2 * (14_288_491_584 / 40)
        let whole = 4 * 14_288_491_584
        #expect(a14b.fit(availableMemory: whole - 1, hasGPU: true) == .streams(bytes: inFlight))
        #expect(a14b.fit(availableMemory: inFlight, hasGPU: true) == .streams(bytes: inFlight))
        #expect(a14b.fit(availableMemory: inFlight - 1, hasGPU: true) == .needs(bytes: whole))
        #expect(a14b.fit(availableMemory: whole, hasGPU: true) == .runs(bytes: whole))
    }

    @Test func saysNothingOfModelsThatDoNotRun() throws {
        for model in Catalogue.standard.models where !model.runs {
            #expect(model.fit(availableMemory: .max, hasGPU: true) == nil)
        }
    }

    @Test func theReasonNamesThePartAndBothAmounts() throws {
        let fit = try #require(a14b.fit(availableMemory: 23_000_000_000, hasGPU: false))
        let reason = try #require(a14b.reason(for: fit, availableMemory: 23_000_000_000))
        for words in ["57.2 GB", "one expert", "14.3B", "23.0 GB are free"] {
            #expect(reason.contains(words), "\(reason)")
        }
    }
}
