import SwanCPU
public import SwanDiagnostics
public import SwanTensor

/// Devices by name.
public enum Runtime {
    /// Opens a device.
    ///
    /// - Parameter name: `reference` (plain loops, the oracle), `cpu` (oneDNN), or `auto` for the best
    ///   that this machine has.
    /// - Throws: `runtime.device-unknown`, `runtime.device-unavailable`, or `cpu.library-unavailable`.
    ///   A device that was asked for by name is never replaced by another.
    public static func open(_ name: String) throws(SwanError) -> any Backend {
        switch name {
        case "auto", "cpu":
            return try CPUBackend()
        case "reference":
            return ReferenceBackend()
        case _ where name == "cuda" || name.hasPrefix("cuda:"):
            throw SwanError(
                .deviceUnavailable,
                "This version of Swan has no GPU engine yet, so that \(name.printable()) cannot be opened.",
                advice: "Use the device 'cpu'.")
        default:
            throw SwanError(
                .deviceUnknown, "There is no device named '\(name.printable())'.",
                advice: "Devices are 'auto', 'cpu' and 'reference'.")
        }
    }
}
