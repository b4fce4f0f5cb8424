import SwanDiagnostics
import SwanPipeline
import SwanSampling
import SwanTensor
import SwanTestSupport
import Testing

/// Guards runs that go on where an earlier one was stopped: the same bits as a run that nobody stopped, and no step
/// twice.
@Suite struct ResumeTests {
    private static func request(_ solver: SolverName) -> GenerationRequest {
        var request = GenerationRequest()
        (request.width, request.height, request.frames) = (64, 48, 9)
        (request.steps, request.solver, request.shift, request.boundary) = (6, solver, 5, 0.875)
        (request.guidanceHigh, request.guidanceLow, request.negativePrompt) = (4, 3, "blurry")
        return request
    }

    /// Stopped behind each step: in the high-noise expert, at the switch, in the low-noise one, before decoding.
    @Test(arguments: TestDevice.requested, SolverName.allCases)
    func aStoppedRunEndsInTheSameBits(device: TestDevice, solver: SolverName) throws {
        let files = try ModelFolder.official.files()
        let backend = try device.open()
        let whole = try TestRun(files, Self.request(solver), seed: 5, on: backend)
        for stop in 1 ... 6 {
            let keeper = MemoryKeeper(keepsAll: stop % 2 == 0)
            let cancellation = Cancellation()
            let error = #expect(throws: SwanError.self) {
                try TestRun(files, Self.request(solver), seeds: [5], on: backend, cancellation, keeper: keeper) {
                    if case .step(_, let step, _, _, _) = $0, step == stop { cancellation.cancel() }
                }
            }
            #expect(error?.code == .cancelled)
            #expect(keeper.states[0]?.steps == stop, "the last step is kept when the run is to stop")

            var steps: [Int] = []
            var stages: [GenerationEvent.Stage] = []
            let rest = try TestRun(files, Self.request(solver), seeds: [5], on: backend, keeper: keeper) { event in
                if case .step(_, let step, _, _, _) = event { steps.append(step) }
                if case .stage(let stage) = event { stages.append(stage) }
            }
            #expect(rest.latents.map(\.bitPattern) == whole.latents.map(\.bitPattern), "stopped behind step \(stop)")
            #expect(rest.pixels == whole.pixels)
            #expect(steps == Array(stop ..< 6).map { $0 + 1 })
            // What has nothing to do is not read.
            #expect(stages.contains(.text) == (stop < 6))
            #expect(stages.contains(.loadLow) == (stop < 6))
        }
    }

    /// What a step cache takes over, and when, is kept as well; as is how much it has spared.
    @Test(arguments: TestDevice.requested)
    func aStepCacheGoesOn(device: TestDevice) throws {
        let files = try ModelFolder.official.files()
        let backend = try device.open()
        var request = Self.request(.unipc)
        (request.steps, request.cacheThreshold, request.guidanceInterval) = (16, 0.4, GuidanceInterval(0, 0.8))
        let whole = try TestRun(files, request, seed: 5, on: backend)
        let all = whole.generator.plan.forwards
        #expect(
            all == 13 * 2 + 3 && whole.report.forwards < all - 4 && whole.report.forwards > 10,
            "\(whole.report.forwards)")
        for stop in [4, 6, 7, 9, 10, 12, 15] {
            let keeper = MemoryKeeper(keepsAll: false)
            let cancellation = Cancellation()
            #expect(throws: SwanError.self) {
                try TestRun(files, request, seeds: [5], on: backend, cancellation, keeper: keeper) {
                    if case .step(_, let step, _, _, _) = $0, step == stop { cancellation.cancel() }
                }
            }
            let rest = try TestRun(files, request, seeds: [5], on: backend, keeper: keeper)
            #expect(rest.latents.map(\.bitPattern) == whole.latents.map(\.bitPattern), "stopped behind step \(stop)")
            #expect(rest.report.forwards == whole.report.forwards)
        }
        request.cacheThreshold = 0
        let plain = try TestRun(files, request, seed: 5, on: backend)
        #expect(plain.report.forwards == all && plain.latents != whole.latents)
    }

    /// Several videos are at different steps when a run stops; one is finished.
    @Test func severalVideosGoOnEachFromItsOwnStep() throws {
        let files = try ModelFolder.official.files()
        let backend = try TestDevice("cpu").open()
        let whole = try TestRun(files, Self.request(.unipc), seeds: [1, 2, 3], on: backend)
        let keeper = MemoryKeeper(keepsAll: false)
        let cancellation = Cancellation()
        #expect(throws: SwanError.self) {
            try TestRun(files, Self.request(.unipc), seeds: [1, 2, 3], on: backend, cancellation, keeper: keeper) {
                if case .step(2, 1, _, _, _) = $0 { cancellation.cancel() }
            }
        }
        let first = try #require(keeper.states[0]?.steps)
        #expect(first > 1 && first < 6, "kept where the first expert ends: \(first)")
        #expect(keeper.states[2]?.steps == 1)
        keeper.states[0] = nil
        var steps: [Int: [Int]] = [:]
        let rest = try TestRun(
            files, Self.request(.unipc), seeds: [1, 2, 3], on: backend, keeper: keeper, finished: [0]
        ) { if case .step(let video, let step, _, _, _) = $0 { steps[video, default: []].append(step) } }
        #expect(rest.pixels == whole.pixels)
        #expect(steps == [1: Array(first + 1 ... 6), 2: Array(2 ... 6)])
    }

    @Test func whatDoesNotFitIsRefused() throws {
        let files = try ModelFolder.official.files()
        let keeper = MemoryKeeper()
        for (steps, frames) in [(7, 3), (2, 2)] {
            let latent = HostTensor([16, frames, 6, 8], [Float](repeating: 0, count: 16 * frames * 48))
            keeper.states[0] = DenoisingState(steps: steps, latent: latent, memory: [:])
            let error = #expect(throws: SwanError.self) {
                try TestRun(files, Self.request(.euler), seeds: [5], on: TestDevice("cpu").open(), keeper: keeper)
            }
            #expect(error?.code == .stateInvalid)
        }
    }

    /// Work that was done before is no part of what is left.
    @Test func theOutlookKnowsWhatWasDoneBefore() {
        var outlook = Outlook([
            .init(stage: .high, weightBytes: 0, activationBytes: 0, operations: 100, parts: 10)
        ])
        outlook.skip(50, of: .high)
        outlook.did(10, of: .high, in: 2)
        #expect(outlook.remainingSeconds == 8)
    }
}
