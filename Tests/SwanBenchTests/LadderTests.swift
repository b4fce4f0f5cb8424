import Foundation
import SwanBench
import SwanCPU
import SwanDiagnostics
import SwanPipeline
import SwanTensor
import SwanTestSupport
import Testing

/// A clock that makes every operation slower.
private final class SleepyClock: OperationClock {
    private let microseconds: UInt32
    private var count = 0
    init(microseconds: UInt32) { self.microseconds = microseconds }
    func begin() { usleep(microseconds) }
    func end() { count += 1 }
    func collect() -> [Double] { Array(repeating: 0, count: count) }
}

/// Guards verdicts: what is slower on purpose is rejected, what is faster is kept, what cannot be had is said.
@Suite struct LadderTests {
    private func request(steps: Int) -> GenerationRequest {
        var request = GenerationRequest()
        (request.width, request.height, request.frames) = (64, 48, 5)
        (request.steps, request.preset) = (steps, "none")
        (request.guidanceHigh, request.guidanceLow) = (4, 3)
        return request
    }

    private func options(_ steps: [LadderBench.Step]) -> LadderBench.Options {
        var options = LadderBench.Options()
        (options.steps, options.runs, options.shortRuns) = (steps, 2, 0.5)
        return options
    }

    private func model(_ folder: String) throws -> LadderModel {
        LadderModel(try ModelFiles(in: Fixture.path("pipeline/layouts/diffusers")), folder: folder)
    }

    /// A device on which each operation takes some time more, in every way but one.
    private func climb(
        slow: @escaping (String?) -> UInt32, kernels: [String], _ steps: [LadderBench.Step], solverSteps: Int = 2,
        shortRuns: Double = 0.5
    ) throws -> Ladder {
        var options = options(steps)
        options.shortRuns = shortRuns
        (options.attentionKernels, options.leastSSIM, options.cacheThresholds) = (kernels, 0, [0.8])
        return try LadderBench.run(
            model(NSTemporaryDirectory() + "swan-ladder-\(UUID().uuidString)"), request(steps: solverSteps), options,
            swan: "test"
        ) { (kernel) throws(SwanError) in
            let time = slow(kernel)
            return time == 0
                ? try CPUBackend() : MeasuredBackend(try CPUBackend(), timedBy: SleepyClock(microseconds: time))
        }
    }

    @Test func whatIsSlowerOnPurposeIsRejected() throws {
        let ladder = try climb(slow: { $0 == "lame" ? 2000 : 0 }, kernels: ["lame"], [.attention])
        let rung = try #require(ladder.rungs.last)
        #expect(rung.name == "lame" && rung.verdict == .rejected, "\(rung.reason)")
        #expect((rung.result?.gain ?? 1) < 0.9 && rung.reason.contains("slower"))
        #expect(ladder.best?.verdict == .baseline && ladder.conclusion.contains("Nothing won"))
    }

    @Test func aKernelThatLeavesItsWorkToTheOneBeforeIsNotMeasured() {
        #expect(LadderBench.sameKernel("cudnn", "cudnn") == "Attention is computed by cudnn as before.")
        #expect(LadderBench.sameKernel("cudnn", "flash-sm80") == nil && LadderBench.sameKernel(nil, "cudnn") == nil)
        #expect(LadderBench.sameKernel("exact", "exact") == nil, "a device that has names for none")
    }

    @Test func shortRunsAreMeasuredMoreOften() throws {
        // Long enough that runs are short on a machine that is busy with something else, too.
        let ladder = try climb(slow: { _ in 0 }, kernels: ["same"], [.attention], shortRuns: 10)
        let rung = try #require(ladder.rungs.last)
        #expect((rung.result?.all.count ?? 0) > 2, "of 2 runs that were asked for, each of a fraction of a second")
    }

    @Test func whatIsFasterIsKeptAndStoodOn() throws {
        let ladder = try climb(
            slow: { $0 == "quick" ? 0 : 1000 }, kernels: ["quick"], [.attention, .cache], solverSteps: 8)
        let rung = ladder.rungs[1]
        #expect(rung.verdict == .kept && (rung.result?.gain ?? 0) > 1.1, "\(rung.reason)")
        #expect(rung.result?.quality?.psnr == nil && rung.result?.velocityError == 0, "the same bits")
        // The next stands on it.
        let next = try #require(ladder.rungs.last)
        #expect(next.method.attention == "quick" && next.method.cacheThreshold == 0.8)
        let (first, second) = (try #require(rung.result), try #require(next.result))
        #expect(abs(second.speedUp - first.speedUp * second.gain) < 1e-9)
        #expect(second.velocityError == 0 && second.quality?.psnr != nil && second.forwards < first.forwards)
    }

    @Test func whatCannotBeHadIsSaid() throws {
        let ladder = try climb(slow: { _ in 0 }, kernels: [], LadderBench.Step.allCases)
        let skipped = ladder.rungs.filter { $0.verdict == .skipped }.map { "\($0.step): \($0.reason)" }
        for word in ["attention: The device has one kernel", "step cache: 2 steps", "Lightning: The model brings no"] {
            #expect(skipped.contains { $0.hasPrefix(word) }, "\(skipped)")
        }
        // Every kind of page says the same.
        for text in [ladder.markdown(), ladder.html(), ladder.rungs.map(\.text).joined()] {
            #expect(ladder.rungs.allSatisfy { text.contains($0.step) && text.contains($0.verdict.rawValue) })
        }
        let shares = try #require(ladder.rungs[0].result?.shares)
        #expect(abs(shares.reduce(0) { $0 + $1.share } - 1) < 1e-9 && shares.count >= 4)
        #expect(ladder.rungs[0].result?.forwards == 4)
    }

    @Test func forwardsThatAreSparedAreCounted() throws {
        var options = options([.cache, .guidance])
        (options.leastSSIM, options.runs, options.cacheThresholds) = (0, 1, [0.4, 0.8])
        let ladder = try LadderBench.run(model(""), request(steps: 12), options, swan: "test") {
            (_) throws(SwanError) in
            try CPUBackend()
        }
        #expect(ladder.rungs.map(\.name) == ["plain", "0.4", "0.8", "0:0.6"])
        let forwards = ladder.rungs.compactMap { $0.result?.forwards }
        #expect(forwards[0] == 24 && forwards[1] < 24 && forwards[3] < forwards[0])
        // A least similarity that nothing reaches rejects what changes the picture.
        options.leastSSIM = 1.1
        let strict = try LadderBench.run(model(""), request(steps: 12), options, swan: "test") {
            (_) throws(SwanError) in
            try CPUBackend()
        }
        #expect(strict.rungs.dropFirst().allSatisfy { $0.verdict == .rejected && $0.reason.contains("SSIM") })
    }

    @Test func nothingIsBegunThatHasNoTimeLeft() throws {
        var options = options([.arithmetic])
        options.budget = 0.001
        let ladder = try LadderBench.run(model(""), request(steps: 1), options, swan: "test") { (_) throws(SwanError) in
            try CPUBackend()
        }
        #expect(ladder.rungs.count == 3 && ladder.rungs.dropFirst().allSatisfy { $0.verdict == .skipped })
        #expect(ladder.rungs[1].reason.contains("would take"))
    }

    /// A ladder of videos that swan-tiny's classifier can see, of a small random model.
    private func scored(
        _ change: (inout LadderBench.Options) -> Void, cancellation: Cancellation = Cancellation(),
        report: @escaping (Ladder.Rung, Ladder) -> Void = { _, _ in }
    ) throws -> Ladder {
        var request = request(steps: 1)
        (request.width, request.height, request.frames) = (128, 128, 25)
        (request.guidanceHigh, request.guidanceLow) = (1, 1)
        var options = options([.arithmetic])
        options.runs = 1
        options.scenes = try SceneTest(in: SceneScorerTests.model, count: 2)
        change(&options)
        return try LadderBench.run(
            model(""), request, options, swan: "test", cancellation: cancellation, report: report
        ) { (_) throws(SwanError) in try CPUBackend() }
    }

    @Test func scoresAreOfEveryWay() throws {
        let ladder = try scored { $0.leastSSIM = 0 }
        #expect(ladder.rungs.count == 3)
        for rung in ladder.rungs {
            let scores = try #require(rung.result?.scores, "\(rung.name): \(rung.reason)")
            #expect(scores.clips == 2 && scores.thing.asked == 2 && scores.colour.asked == 1)
            #expect(rung.text.contains("Right of 2 clips: thing"))
        }
        #expect(ladder.markdown().contains("| step | way | clips | thing | place | colour | motion |"))
        #expect(ladder.html().contains("Scores"))
        // Random weights show nothing, so that nothing is lost; asked for a gain, every way is rejected.
        #expect(!ladder.rungs.contains { $0.reason.contains("show less") })
        let strict = try scored { ($0.leastSSIM, $0.mostLost) = (0, -101) }
        for rung in strict.rungs.dropFirst() {
            #expect(rung.verdict == .rejected && rung.reason.contains("show less of what was asked for: thing"))
        }
    }

    @Test func scoresHaveToFitIntoTheBudget() throws {
        let ladder = try scored { $0.budget = 0.001 }
        #expect(ladder.rungs.count == 3 && ladder.rungs.allSatisfy { $0.result?.scores == nil })
        let baseline = ladder.rungs[0]
        #expect(baseline.result != nil && baseline.reason.contains("Its scores would take about"), "\(baseline.reason)")
        #expect(baseline.text.contains("No way is scored"))
        let cancellation = Cancellation()
        let error = #expect(throws: SwanError.self) {
            try scored({ _ in }, cancellation: cancellation) { _, _ in cancellation.cancel() }
        }
        #expect(error?.code == .cancelled)
    }

    @Test func scoresNeedVideosOfTheirSize() throws {
        var options = options([])
        options.scenes = try SceneTest(in: SceneScorerTests.model, count: 1)
        let error = #expect(throws: SwanError.self) {
            try LadderBench.run(model(""), request(steps: 1), options, swan: "test") {
                (_) throws(SwanError) in try CPUBackend()
            }
        }
        #expect(error?.code == .scores && error?.message.contains("5 frames of 64x48") == true)
    }

    @Test func randomWeightsAreTimedOnly() throws {
        var request = request(steps: 2)
        request.preset = "none"
        var options = options([.weights, .lightning])
        options.runs = 1
        let ladder = try LadderBench.run(
            LadderModel(SyntheticModel.named("swan-tiny")), request, options, swan: "test"
        ) { (_) throws(SwanError) in try CPUBackend() }
        #expect(ladder.rungs.map(\.verdict.rawValue)[1] == "skipped")
        #expect(ladder.rungs[2].result?.forwards == 4 && ladder.rungs[2].result?.quality == nil)
    }

    @Test(
        "what pairs of noisy runs tell: nothing of a gain that is less than their noise, and of a larger one that it is"
    )
    func pairs() {
        var random = SeededRandom(41)
        /// Ratios around a gain, up to a twelfth off.
        func pairs(_ gain: Double, _ count: Int) -> [Double] {
            random.floats(count).map { gain * (1 + 0.08 * Double($0)) }
        }
        var kept = (byMedian: 0, near: 0, far: 0, sooner: 0)
        for _ in 0 ..< 200 {
            let near = PairedGain(pairs(1.02, 13))
            if near.median >= 1.03 { kept.byMedian += 1 }
            if near.isSurely(atLeast: 1.03) { kept.near += 1 }
            if PairedGain(pairs(1.15, 13)).isSurely(atLeast: 1.03) { kept.far += 1 }
            if PairedGain(pairs(1.05, 100)).isSurely(atLeast: 1.03) { kept.sooner += 1 }
        }
        #expect(kept.byMedian > 40 && kept.near <= 16 && kept.far >= 196 && kept.sooner >= 100, "\(kept)")
        // One run that was disturbed moves nothing.
        let disturbed = PairedGain([1.2, 1.21, 1.19, 1.2, 40])
        #expect(disturbed.median == 1.2 && (disturbed.error ?? 1) < 0.02 && !disturbed.isNear(1.03))
        #expect(PairedGain([1.01, 1.06, 1.03, 1.04, 1.02]).isNear(1.03))
        let few = PairedGain([1.04, 1.05])
        #expect(few.error == nil && few.isSurely(atLeast: 1.03) && !few.isNear(1.03))
        #expect(PairedGain([]).median == 1)
    }

    @Test func convertedFilesAreRemoved() throws {
        let folder = NSTemporaryDirectory() + "swan-ladder-\(UUID().uuidString)"
        _ = try LadderBench.run(model(folder), request(steps: 1), options([.weights]), swan: "test") {
            (_) throws(SwanError) in try CPUBackend()
        }
        #expect(!FileManager.default.fileExists(atPath: folder))
    }
}
