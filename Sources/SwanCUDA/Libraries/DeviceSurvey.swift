public import SwanDiagnostics

/// The GPUs and device libraries of a machine, found without starting anything on a GPU.
public struct DeviceSurvey: Sendable {
    /// The GPUs; none without a driver.
    public let devices: [DeviceFacts]
    /// Why there are none; nil when there are.
    public let driverProblem: SwanError?
    /// The libraries that could be opened.
    public let found: [FoundLibrary]
    /// Those that could not, with the reason.
    public let missing: [(library: DeviceLibrary, problem: SwanError)]

    /// Looks for everything. Opens the libraries that it finds, which takes a moment where they are large.
    public init(_ search: LibrarySearch) {
        var found: [FoundLibrary] = []
        var missing: [(library: DeviceLibrary, problem: SwanError)] = []
        var devices: [DeviceFacts] = []
        var driverProblem: SwanError?
        do {
            let driver = try Driver(search)
            found.append(driver.found)
            for ordinal in 0 ..< (try driver.deviceCount()) { devices.append(try driver.facts(ordinal)) }
        } catch {
            driverProblem = error
        }
        func look(_ library: DeviceLibrary, _ open: () throws(SwanError) -> FoundLibrary) {
            do { found.append(try open()) } catch { missing.append((library, error)) }
        }
        look(.nvrtc) { () throws(SwanError) in try Compiler(search).found }
        look(.cublasLt) { () throws(SwanError) in try MatrixLibrary.open(search).found }
        look(.cudnn) { () throws(SwanError) in try GraphLibrary.open(search).found }
        (self.found, self.missing, self.devices, self.driverProblem) = (found, missing, devices, driverProblem)
    }
}
