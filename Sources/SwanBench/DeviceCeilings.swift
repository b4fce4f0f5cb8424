public import SwanDiagnostics
public import SwanTensor

/// The most that a device was seen to do: what operations are measured by.
///
/// Measured, never looked up: it depends on the device's power and on what runs beside it.
public struct DeviceCeilings: Sendable, Hashable, Codable {
    /// Floating-point operations per second of a large product of activations.
    public var operationsPerSecond: Double
    /// Operations per second of a large product of eight-bit numbers; nil where it was not measured.
    public var eightBitOperationsPerSecond: Double?
    /// Bytes per second, read and written, of a large copy on the device.
    public var bytesPerSecond: Double

    /// Notes rates.
    public init(operationsPerSecond: Double, eightBitOperationsPerSecond: Double? = nil, bytesPerSecond: Double) {
        self.operationsPerSecond = operationsPerSecond
        self.eightBitOperationsPerSecond = eightBitOperationsPerSecond
        self.bytesPerSecond = bytesPerSecond
    }

    enum CodingKeys: String, CodingKey {
        case operationsPerSecond = "operations_per_second"
        case eightBitOperationsPerSecond = "eight_bit_operations_per_second", bytesPerSecond = "bytes_per_second"
    }

    /// Measures a device, with sizes that grow until a call takes long enough to be timed: a second or two in all.
    ///
    /// - Parameters:
    ///   - backend: the device.
    ///   - format: the eight-bit numbers whose products are measured besides; nil for none.
    public init(of backend: any Backend, _ format: EightBitFormat? = nil) throws(SwanError) {
        let type = backend.activationType
        operationsPerSecond = 0
        for size in [256, 512, 1024, 2048, 4096, 8192] {
            let shape: Shape = [size, size]
            let x = try backend.upload(HostTensor(shape, .bfloat16, Noise(seed: 1, deviation: 1)), as: type)
            let weights = try backend.makeLinear(
                weight: HostTensor(shape, .bfloat16, Noise(seed: 2, deviation: 1)), bias: nil)
            let seconds = try Self.seconds(on: backend) { () throws(SwanError) in
                _ = try backend.linear(x, weights, activation: .identity)
            }
            let cost = OperationCost.linear(
                rows: size, inputs: size, outputs: size, input: type, weight: type, result: type)
            operationsPerSecond = max(operationsPerSecond, cost.operations / seconds)
            guard seconds < 0.02 else { break }
        }
        if let format { eightBitOperationsPerSecond = try Self.rate(format, on: backend) }
        bytesPerSecond = 0
        for mebibytes in [64, 128, 256, 512] {
            let shape: Shape = [mebibytes << 18]
            let source = try backend.upload(HostTensor(shape, .float32, Noise(seed: 3, deviation: 1)), as: .float32)
            let target = try backend.allocate(shape, .float32)
            let seconds = try Self.seconds(on: backend) { () throws(SwanError) in
                try backend.copy(source, into: target)
            }
            let cost = OperationCost.moving((shape, .float32), (shape, .float32))
            bytesPerSecond = max(bytesPerSecond, cost.bytes / seconds)
            guard seconds < 5e-4 else { break }
        }
    }

    private static func rate(_ format: EightBitFormat, on backend: any Backend) throws(SwanError) -> Double {
        var best = 0.0
        for size in [256, 512, 1024, 2048, 4096, 8192] {
            let shape: Shape = [size, size]
            let noise = try backend.upload(
                HostTensor(shape, .bfloat16, Noise(seed: 1, deviation: 1)), as: backend.activationType)
            let x = try backend.quantizeRows(noise, to: format.coding)
            let weights = try backend.makeLinear(
                weight: HostTensor(shape, .bfloat16, Noise(seed: 2, deviation: 1)), bias: nil, as: format.coding)
            let seconds = try seconds(on: backend) { () throws(SwanError) in
                _ = try backend.linear(x, weights, result: backend.activationType)
            }
            best = max(best, 2 * Double(size) * Double(size) * Double(size) / seconds)
            guard seconds < 0.02 else { break }
        }
        return best
    }

    /// Seconds of one call among many that follow each other for some time.
    private static func seconds(
        on backend: any Backend, _ work: () throws(SwanError) -> Void
    ) throws(SwanError) -> Double {
        try work()
        try backend.synchronize()
        let clock = ContinuousClock()
        let start = clock.now
        try work()
        try backend.synchronize()
        let once = (clock.now - start).inSeconds
        let count = max(1, min(50, Int(0.1 / max(once, 1e-6))))
        let begin = clock.now
        for _ in 0 ..< count { try work() }
        try backend.synchronize()
        return max((clock.now - begin).inSeconds / Double(count), 1e-9)
    }
}
