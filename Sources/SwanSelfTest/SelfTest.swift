public import SwanDiagnostics
import SwanRuntime
public import SwanTensor

/// Every operation of a device against the plain reference, on shapes of real models and on values that break
/// careless code.
///
/// Inputs are numbers that every activation type holds exactly. An error is allowed as much as rounding explains: for
/// each element, one rounding to the device's activation type, and for each sum a few times the square root of its
/// terms in units of float32's roundoff, times the size of what was added.
public struct SelfTest {
    let device: any Backend
    let reference: any Backend
    /// Runs behind each time.
    let runs: Int
    /// The operations that are tested; all when it is empty.
    let operations: Set<String>
    /// The ways to store rows in eight bits that are tested.
    let codings: [EightBitCoding]
    private let progress: (SelfTestReport.Line) -> Void
    private(set) var lines: [SelfTestReport.Line] = []

    /// Tests a device.
    ///
    /// - Parameters:
    ///   - device: what is tested.
    ///   - runs: timed calls of each operation, behind the one that is compared; at least 1.
    ///   - operations: names of the operations to test, as the report shows them; empty for all.
    ///   - format: the eight-bit numbers that are tested, and nothing else; nil for everything.
    ///   - progress: is told each line as soon as it is there.
    /// - Throws: what opening the reference throws. An operation that throws is a line of the report.
    public static func run(
        _ device: any Backend, runs: Int = 3, operations: Set<String> = [], only format: EightBitFormat? = nil,
        progress: @escaping (SelfTestReport.Line) -> Void = { _ in }
    ) throws(SwanError) -> SelfTestReport {
        var test = SelfTest(
            device: device, reference: try Runtime.open("reference"), runs: max(1, runs), operations: operations,
            codings: EightBitCoding.allCases.filter { format == nil || $0.format == format }, progress: progress)
        if format != nil {
            test.eightBit()
            return SelfTestReport(device: device.name, summary: device.summary, lines: test.lines)
        }
        test.memory()
        test.linear()
        test.normalization()
        test.attention()
        test.attentionOfHardValues()
        test.attentionInEightBits()
        test.selfAttention()
        test.distanceBias()
        test.latents()
        test.video()
        test.streaming()
        test.lowRank()
        test.eightBit()
        return SelfTestReport(device: device.name, summary: device.summary, lines: test.lines)
    }

    private init(
        device: any Backend, reference: any Backend, runs: Int, operations: Set<String>,
        codings: [EightBitCoding], progress: @escaping (SelfTestReport.Line) -> Void
    ) {
        (self.device, self.reference, self.runs, self.progress) = (device, reference, runs, progress)
        (self.operations, self.codings) = (operations, codings)
    }

    /// Half the distance from 1 to the next value of the device's activation type.
    var roundoff: Double {
        switch device.activationType {
        case .bfloat16: 0x1p-8
        case .float16: 0x1p-11
        default: 0x1p-24
        }
    }

    /// Half the distance from 1 to the next value of float32.
    static let float32Roundoff = 0x1p-24

    /// What an operation costs at least.
    enum Work {
        /// Multiplications and additions.
        case operations(Int)
        /// Elements that are read or written.
        case elements(Int)
    }

    /// Runs an operation on both devices and compares.
    ///
    /// - Parameters:
    ///   - work: what the rate is computed from.
    ///   - bound: for element `i` with the exact value, the error that rounding explains.
    ///   - body: uploads its inputs to the backend that it is given, and returns what to time and to compare.
    mutating func compare(
        _ operation: String, _ shape: String, _ work: Work, bound: (_ index: Int, _ exact: Double) -> Double,
        _ body: (any Backend) throws(SwanError) -> () throws(SwanError) -> Tensor
    ) {
        compareValues(operation, shape, work, bound: bound) { (backend) throws(SwanError) in
            let run = try body(backend)
            return Prepared(run: { () throws(SwanError) in _ = try run() }) { () throws(SwanError) in
                let tensor = try run()
                return Result(extents: tensor.shape.extents, values: try backend.download(tensor))
            }
        }
    }

    /// What an operation gave.
    struct Result {
        let extents: [Int]
        let values: [Float]
    }

    /// An operation whose inputs are on the device.
    struct Prepared {
        /// Enqueues it.
        let run: () throws(SwanError) -> Void
        /// Enqueues it and waits for its result.
        let result: () throws(SwanError) -> Result
    }

    /// The same for results that are no tensors.
    mutating func compareValues(
        _ operation: String, _ shape: String, _ work: Work, bound: (_ index: Int, _ exact: Double) -> Double,
        _ body: (any Backend) throws(SwanError) -> Prepared
    ) {
        guard operations.isEmpty || operations.contains(operation) else { return }
        var line = SelfTestReport.Line(operation: operation, shape: shape, seconds: 0)
        do {
            let expected = try body(reference).result()
            let prepared = try body(device)
            let found = try prepared.result()
            if found.extents != expected.extents {
                line.problem = "The result has shape \(Shape(found.extents)), expected \(Shape(expected.extents))."
            } else {
                Self.judge(found.values, expected.values, bound, &line)
            }
            var best = Double.infinity
            for _ in 0 ..< runs {
                try device.synchronize()
                let clock = ContinuousClock()
                let start = clock.now
                try prepared.run()
                try device.synchronize()
                let duration = clock.now - start
                best = min(best, Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18)
            }
            line.seconds = best
            switch work {
            case .operations(let count): line.operationsPerSecond = Double(count) / max(best, 1e-9)
            case .elements(let count):
                line.bytesPerSecond = Double(count * device.activationType.blockBytes) / max(best, 1e-9)
            }
        } catch {
            line.problem = "\(error)"
        }
        lines.append(line)
        progress(line)
    }

    private static func judge(
        _ found: [Float], _ expected: [Float], _ bound: (Int, Double) -> Double, _ line: inout SelfTestReport.Line
    ) {
        var worst = 0.0
        for i in expected.indices {
            let (a, b) = (Double(found[i]), Double(expected[i]))
            if b.isNaN || b.isInfinite || a.isNaN || a.isInfinite {
                // Not a number, and infinity, must meet their like.
                guard a.isNaN && b.isNaN || a == b else {
                    line.problem = "Element \(i) is \(a), expected \(b)."
                    return
                }
                continue
            }
            worst = max(worst, abs(a - b) / (bound(i, b) + Double(Float.leastNormalMagnitude)))
        }
        line.error = worst
    }
}

extension Backend {
    /// Uploads values.
    func put(_ values: [Float], _ shape: Shape, as dtype: DType? = nil) throws(SwanError) -> Tensor {
        try upload(HostTensor(shape, values), as: dtype ?? activationType)
    }
}
