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

    /// Whether Swan can compute on one of the GPUs.
    public var isUsable: Bool {
        devices.contains { $0.capability >= CUDABackend.oldest } && found.contains { $0.library == .nvrtc }
    }

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

extension CUDABackend {
    /// The GPUs that have what Swan needs; none without a driver or compiler. Starts nothing on them.
    public static func usableDevices(_ search: LibrarySearch) -> [DeviceFacts] {
        guard let driver = try? Driver(search), (try? Compiler(search)) != nil else { return [] }
        return usableDevices(driver)
    }

    private static func usableDevices(_ driver: Driver) -> [DeviceFacts] {
        (0 ..< ((try? driver.deviceCount()) ?? 0)).compactMap { try? driver.facts($0) }
            .filter { $0.capability >= oldest }
    }

    /// The GPU that has what Swan needs and the most free memory; nil where there is none, or no driver or compiler.
    public static func usableDevice(_ search: LibrarySearch) -> Int? {
        guard let driver = try? Driver(search), (try? Compiler(search)) != nil else { return nil }
        let usable = usableDevices(driver).map(\.ordinal)
        guard usable.count > 1 else { return usable.first }
        // Free memory can only be asked of a GPU that is in use.
        return usable.max { freeBytes(driver, $0) < freeBytes(driver, $1) }
    }

    private static func freeBytes(_ driver: Driver, _ ordinal: Int) -> Int {
        (try? Device(driver, ordinal: ordinal).freeBytes()) ?? 0
    }
}
