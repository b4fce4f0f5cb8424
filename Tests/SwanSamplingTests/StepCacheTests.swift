import SwanDiagnostics
import SwanSampling
import SwanTensor
import SwanTestSupport
import Testing

/// Guards when velocities are taken over: by the estimate that the documentation gives, worked out by hand.
@Suite struct StepCacheTests {
    private let backend: any Backend

    init() throws { backend = try TestDevice.reference.open() }

    private func tensor(_ values: [Float]) throws -> Tensor {
        try backend.upload(HostTensor([2], values), as: .float32)
    }

    /// Steps of a latent that moves by 0.1, and of a velocity of magnitude 2 that moves `slope` times as far.
    ///
    /// - Returns: the steps in which the network ran, and the velocities in use.
    private func run(
        _ threshold: Double, slope: Float, guided: (Int) -> Bool = { _ in false }, start: Int = 0,
        cache: StepCache? = nil, notANumberAt broken: Int? = nil
    ) throws -> (ran: [Int], used: [Float], cache: StepCache) {
        var cache = cache ?? StepCache(threshold: threshold, steps: 12)
        var (ran, used): ([Int], [Float]) = ([], [])
        for step in start ..< 12 {
            let place = 0.1 * Float(step)
            let latent = try tensor([step == broken ? .nan : place, -place])
            if let known = try cache.velocities(at: step, latent, isGuided: guided(step), on: backend) {
                #expect((known.unconditional != nil) == guided(step))
                used.append(try backend.download(known.conditional)[0])
            } else {
                let velocity = try tensor([2 + slope * place, 2 - slope * place])
                let other = guided(step) ? try tensor([0, 0]) : nil
                try cache.keep(conditional: velocity, unconditional: other, at: latent, on: backend)
                used.append(2 + slope * place)
                ran.append(step)
            }
        }
        return (ran, used, cache)
    }

    @Test func theNetworkRunsWhenWhatIsMissedAddsUp() throws {
        // A step misses 0.5 * 0.1 / 2 = 0.025 of the velocity: two are below 0.06, the third is not.
        let (ran, used, _) = try run(0.06, slope: 0.5)
        #expect(ran == [0, 1, 4, 7, 10, 11])
        #expect(used[2] == used[1] && used[3] == used[1] && used[4] != used[1], "the velocity itself is taken over")
        #expect(try run(0.02, slope: 0.5).ran == Array(0 ..< 12))
        #expect(try run(0.06, slope: 0.25).ran == [0, 1, 6, 11], "half the change, twice the steps")
        #expect(try run(1, slope: 0).ran == [0, 1, 11], "the last step is always computed")
    }

    @Test func whatWasNotComputedIsNotTakenOver() throws {
        // Guidance begins where nothing without the prompt is known.
        #expect(try run(1, slope: 0, guided: { $0 >= 5 }).ran == [0, 1, 5, 11])
        #expect(try run(1, slope: 0, guided: { $0 < 5 }).ran == [0, 1, 11])
        // A latent that is no number is not passed over.
        #expect(try run(1, slope: 0.5, notANumberAt: 6).ran.contains(6))
    }

    @Test func anotherCacheGoesOnFromWhatIsRemembered() throws {
        let (ran, used, _) = try run(0.06, slope: 0.5)
        for stop in 1 ... 11 {
            var early = StepCache(threshold: 0.06, steps: 12)
            for step in 0 ..< stop {
                let place = 0.1 * Float(step)
                let latent = try tensor([place, -place])
                if try early.velocities(at: step, latent, isGuided: false, on: backend) == nil {
                    try early.keep(
                        conditional: tensor([2 + 0.5 * place, 2 - 0.5 * place]), unconditional: nil, at: latent,
                        on: backend)
                }
            }
            var late = StepCache(threshold: 0.06, steps: 12)
            late.resume(with: early.memory)
            let rest = try run(0.06, slope: 0.5, start: stop, cache: late)
            #expect(rest.ran == ran.filter { $0 >= stop } && rest.used == Array(used[stop...]), "stopped at \(stop)")
        }
    }

    @Test func guidanceHasItsPart() {
        let interval = GuidanceInterval(0.25, 0.75)
        #expect((0 ..< 8).filter { interval.contains($0, of: 8) } == [2, 3, 4, 5])
        for (start, stop) in [(0.5, 0.5), (-0.1, 1), (0, 1.1), (.nan, 1), (0, .nan)] {
            #expect(!GuidanceInterval(start, stop).isValid)
        }
    }
}
