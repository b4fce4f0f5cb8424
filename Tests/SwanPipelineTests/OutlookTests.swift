import SwanPipeline
import Testing

/// How long the rest of a run is said to take.
@Suite struct OutlookTests {
    private static let stages = [
        stage(.text, 1), stage(.high, 60), stage(.low, 20), stage(.decode, 100),
    ]

    private static func stage(_ stage: GenerationEvent.Stage, _ operations: Double) -> GenerationPlan.Stage {
        .init(stage: stage, weightBytes: 0, activationBytes: 0, operations: operations, parts: 1)
    }

    @Test func nothingIsSaidBeforeAnythingWasMeasured() {
        #expect(Outlook(Self.stages).remainingSeconds == nil)
    }

    /// Both experts and the decoder are in it, each at its own pace once that is known.
    @Test func theWholeRunIsInIt() {
        var outlook = Outlook(Self.stages)
        outlook.end(.text)
        outlook.did(30, of: .high, in: 15)  // 0.5 s per operation
        #expect(outlook.remainingSeconds == 0.5 * (30 + 20 + 100))
        outlook.did(30, of: .high, in: 45)  // 1 s on average
        outlook.end(.high)
        #expect(outlook.remainingSeconds == 120)
        outlook.did(20, of: .low, in: 40)  // 2 s, and the latest pace
        #expect(outlook.remainingSeconds == 200)
        outlook.did(50, of: .decode, in: 10)
        #expect(outlook.remainingSeconds == 10)
        outlook.did(60, of: .decode, in: 12)
        #expect(outlook.remainingSeconds == 0)
    }
}
