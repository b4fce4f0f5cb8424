import Foundation
import SwanDiagnostics
import SwanRuntime
public import SwanTensor

/// A device that a test runs on: its name is the test argument that is printed.
public struct TestDevice: Sendable, CustomStringConvertible {
    /// The oracle.
    public static let reference = TestDevice("reference")

    /// The device's name, as `SwanRuntime.Runtime.open(_:)` takes it.
    public let name: String

    /// Names a device.
    public init(_ name: String) { self.name = name }

    /// The name, for the test's title.
    public var description: String { name }

    /// The devices named in `SWAN_TEST_DEVICES`, by default `reference,cpu`.
    ///
    /// A device that is asked for and cannot be opened fails the test: nothing is skipped in silence.
    public static let requested: [TestDevice] = {
        let names = ProcessInfo.processInfo.environment["SWAN_TEST_DEVICES"] ?? "reference,cpu"
        return names.split(separator: ",").map { TestDevice(String($0)) }
    }()

    /// Opens the device.
    public func open() throws -> any Backend { try Runtime.open(name) }
}

extension Backend {
    /// Uploads values as `dtype` (activations by default) and returns the tensor with the values that it
    /// holds after rounding, which are what an exact result is computed from.
    public func place(_ values: [Float], _ shape: Shape, as dtype: DType? = nil) throws -> (Tensor, [Double]) {
        let tensor = try upload(HostTensor(shape, values), as: dtype ?? activationType)
        return (tensor, try download(tensor).map(Double.init))
    }
}

extension DType {
    /// Half the distance from 1 to the next value: the relative error of one rounding.
    public var unitRoundoff: Double {
        switch self {
        case .float64: 0x1p-53
        case .float16: 0x1p-11
        case .bfloat16: 0x1p-8
        default: 0x1p-24
        }
    }
}
