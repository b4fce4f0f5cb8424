import SwanBench
import SwanCPU
import SwanDiagnostics
import SwanTensor
import Testing

/// Shares and rates by numbers that a pencil gives.
@Suite struct OperationTableTests {
    /// Says what the operations of a test took.
    private final class GivenClock: OperationClock {
        let seconds: [Double]
        init(_ seconds: [Double]) { self.seconds = seconds }
        func begin() {}
        func end() {}
        func collect() -> [Double] { seconds }
    }

    @Test func sharesAreOfTheCallAndOfTheCeilings() throws {
        // Zeros, two products of one shape, one of another, and a sum.
        let backend = MeasuredBackend(ReferenceBackend(), timedBy: GivenClock([0.5, 0.125, 1, 2, 4, 0.25]))
        let x = try backend.zeros([10, 20], .float32)
        let y = try backend.allocate([10, 20], .float32)
        let weights = try backend.makeLinear(weight: HostTensor([5, 20], [Float](repeating: 1, count: 100)), bias: nil)
        for rows in [10, 10, 4] { _ = try backend.linear(x.rows(0 ..< rows), weights, activation: .identity) }
        try backend.add(y, to: x)
        let ceilings = DeviceCeilings(operationsPerSecond: 4000, bytesPerSecond: 9600)
        let table = OperationTable(try backend.takeProfile(), seconds: 10, ceilings)
        #expect(table.idleSeconds == 2.125)
        #expect(table.rows.map(\.operation) == ["linear", "linear", "linear", "zeros", "add", "weights"])
        #expect(table.rows.map(\.form) == [nil, "4x20 to 5", "10x20 to 5", "10x20", "10x20", "5x20"])
        #expect(table.rows.map(\.calls) == [3, 1, 2, 1, 1, 1])
        #expect(table.rows.map(\.seconds) == [7, 4, 3, 0.5, 0.25, 0.125])
        #expect(table.rows[0].share == 0.7)
        // 2 * 10 * 20 * 5 operations take 0.5 s; two calls of that in three seconds.
        #expect(table.rows[2].operations == 4000 && abs(table.rows[2].ceilingShare - 1.0 / 3) < 1e-12)
        #expect(abs(table.rows[0].ceilingShare - 1.2 / 7) < 1e-12)
        // A sum reads two tensors of 800 bytes and writes one: a quarter of a second.
        #expect(table.rows[4].bytes == 2400 && table.rows[4].ceilingShare == 1)
        let text = table.text.split(separator: "\n").map(String.init)
        #expect(text.count == 8 && text[1].hasPrefix("linear ") && text[2].hasPrefix("  4x20 to 5 "))
        #expect(text[1].hasSuffix("70.0 %    0.0 MFLOP/s      17.1 %"), "\(text[1])")
        #expect(text[7].hasPrefix("nothing ") && text[7].contains("2125.00 ms") && text[7].contains("21.3 %"))
    }

    @Test func theAgeOfAProcessIsReadBehindItsName() throws {
        let age = try #require(ProcessAge.seconds)
        #expect(age >= 0 && age < 1e6)
        // Started with the machine.
        let ages = ["1 (a) b) S", "1 (swan) S"].map {
            ProcessAge.seconds(stat: $0 + " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 7")
        }
        let (first, second) = (try #require(ages[0]), try #require(ages[1]))
        #expect(first > age && abs(first - second) < 1)
        for text in ["", "1 (swan) S 0 0", "1 (swan) S 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 x"] {
            #expect(ProcessAge.seconds(stat: text) == nil)
        }
    }
}
