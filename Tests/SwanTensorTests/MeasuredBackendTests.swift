import SwanCPU
import SwanDiagnostics
import SwanTensor
import Testing

/// What a measured backend notes. That it has everything done right is seen by the self-test.
@Suite struct MeasuredBackendTests {
    @Test func callsOfOneFormAreAddedUp() throws {
        let backend = try MeasuredBackend(ReferenceBackend())
        let weights = try backend.makeLinear(
            weight: HostTensor([7, 5], .float32, Noise(seed: 1, deviation: 1)), bias: nil)
        let x = try backend.upload(HostTensor([3, 5], .bfloat16, Noise(seed: 2, deviation: 1)), as: .float32)
        let y = try backend.zeros([3, 5], .float32)
        _ = try backend.takeProfile()
        for rows in [3, 3, 2] {
            _ = try backend.linear(x.rows(0 ..< rows), weights, activation: .silu)
        }
        try backend.add(x, to: y)
        let profile = try backend.takeProfile()
        #expect(profile.entries.map(\.kind) == [.linear, .linear, .add])
        #expect(profile.entries.map(\.form) == ["3x5 to 7, silu", "2x5 to 7, silu", "3x5"])
        #expect(profile.entries.map(\.calls) == [2, 1, 1])
        #expect(profile.entries.map(\.cost.operations) == [420, 140, 0])  // two for each of the terms
        #expect(profile.entries.map(\.cost.bytes) == [568, 236, 180])  // four for each element
        #expect(profile.entries.allSatisfy { $0.seconds > 0 } && profile.seconds > 0)
        #expect(try backend.takeProfile().entries.isEmpty)
    }

    @Test func eightBitsAreNotedAsSuch() throws {
        let backend = try MeasuredBackend(ReferenceBackend())
        let weights = try backend.makeLinear(
            weight: HostTensor([7, 16], .float32, Noise(seed: 1, deviation: 1)), bias: nil, as: .fp8)
        let x = try backend.upload(HostTensor([3, 16], .bfloat16, Noise(seed: 2, deviation: 1)), as: .float32)
        _ = try backend.takeProfile()
        let rows = try backend.quantizeRows(x, to: .fp8)
        _ = try backend.linear(rows, weights, result: .float32)
        _ = try backend.linear(rows, weights, activation: .geluTanh, to: .int8)
        let profile = try backend.takeProfile()
        #expect(profile.entries.map(\.kind) == [.quantizeRows, .linear, .linear])
        #expect(
            profile.entries.map(\.form)
                == ["3x16, to fp8", "3x16 to 7, fp8", "3x16 to 7, fp8, geluTanh, to int8"])
        // A byte for each element in eight bits, four for others.
        #expect(profile.entries.map(\.cost.bytes) == [240, 244, 181])
        #expect(profile.entries.map(\.cost.eightBitOperations) == [0, 672, 672])
    }

    @Test func whatFailsIsNotCounted() throws {
        let backend = try MeasuredBackend(ReferenceBackend())
        let (x, y) = (try backend.zeros([2, 3], .float32), try backend.zeros([3, 2], .float32))
        #expect(throws: SwanError.self) { try backend.add(x, to: y) }
        _ = try backend.activate(x, .silu)
        let profile = try backend.takeProfile()
        #expect(profile.entries.map(\.kind) == [.zeros, .zeros, .activate])
        #expect(profile.entries.map(\.form) == ["2x3", "3x2", "2x3"])
    }

    /// A device's own clock is asked for the times of all operations at once.
    @Test func timesAreThoseOfTheClock() throws {
        let clock = GivenClock()
        let backend = MeasuredBackend(ReferenceBackend(), timedBy: clock)
        let x = try backend.zeros([2, 3], .float32)
        _ = try backend.activate(x, .silu)
        clock.seconds = [1, 2]
        let profile = try backend.takeProfile()
        #expect(profile.entries.map(\.seconds) == [1, 2] && profile.seconds == 3)
        #expect(clock.calls == ["begin", "end", "begin", "end", "collect"])
        _ = try backend.activate(x, .silu)
        #expect(throws: SwanError.self) { try backend.takeProfile() }
    }
}

/// Says what it is told to.
private final class GivenClock: OperationClock {
    var seconds: [Double] = []
    private(set) var calls: [String] = []
    func begin() { calls.append("begin") }
    func end() { calls.append("end") }
    func collect() -> [Double] {
        calls.append("collect")
        return seconds
    }
}
