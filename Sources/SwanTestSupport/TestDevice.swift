import SwanCPU
public import SwanTensor
public enum TestDevice: String, Sendable { case reference
    public static var requested: [TestDevice] { [.reference] }
    public func open() throws -> any Backend { ReferenceBackend() } }
