import CSwanCUDA
package import SwanDiagnostics
import SwanTensor

/// NVIDIA's driver, opened and started.
///
/// The functions may be called by any thread.
package final class Driver: Sendable {
    let table: SwanDriver
    /// The file and version.
    package let found: FoundLibrary

    /// - Throws: `cuda.library-unavailable` where there is no driver, `cuda.device-unavailable` where it finds no
    ///   GPU.
    package init(_ search: LibrarySearch) throws(SwanError) {
        var table = SwanDriver()
        let path = try openFirst(.driver, search) { path in
            swan_driver_open(path, &table).map { String(cString: $0) }
        }
        var version: Int32 = 0
        _ = table.cuDriverGetVersion(&version)
        self.table = table
        found = FoundLibrary(library: .driver, path: path, version: "CUDA \(version / 1000).\(version % 1000 / 10)")
        let status = table.cuInit(0)
        guard status == SWAN_CUDA_SUCCESS else {
            throw SwanError(
                .cudaDeviceUnavailable, "The driver (\(found.version)) cannot be started: \(text(status)).",
                advice: "Check with 'nvidia-smi' that the system sees the GPU, or use the device 'cpu'.")
        }
    }

    /// The driver's own name and text of an error.
    func text(_ error: Int32) -> String {
        var name, text: UnsafePointer<CChar>?
        _ = table.cuGetErrorName(error, &name)
        _ = table.cuGetErrorString(error, &text)
        let parts = [name, text].compactMap { $0.map { String(cString: $0) } }
        return parts.isEmpty ? "error \(error)" : parts.joined(separator: ", ")
    }

    /// Throws for a result other than success.
    func check(_ result: Int32, _ function: String) throws(SwanError) {
        guard result != SWAN_CUDA_SUCCESS else { return }
        throw SwanError(
            result == SWAN_CUDA_ERROR_OUT_OF_MEMORY ? .outOfMemory : .cudaCallFailed,
            "\(function) failed: \(text(result)).",
            advice: result == SWAN_CUDA_ERROR_OUT_OF_MEMORY
                ? "Close other programs on the GPU, or ask for a smaller or shorter video." : "")
    }

    /// The number of GPUs.
    package func deviceCount() throws(SwanError) -> Int {
        var count: Int32 = 0
        try check(table.cuDeviceGetCount(&count), "cuDeviceGetCount")
        return Int(count)
    }
}
