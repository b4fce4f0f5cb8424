import CSwanOneDNN
import SwanDiagnostics
import SwanTensor

/// oneDNN and the threads that it computes on.
///
/// `@unchecked Sendable`: the table behind the pointer is filled before the only instance exists and
/// never changed after; its functions may be called by any thread.
final class OneDNN: @unchecked Sendable {
    let table: OpaquePointer
    /// The library's version, `2.6.3`.
    let version: String

    private init(_ table: OpaquePointer, version: String) {
        self.table = table
        self.version = version
    }

    private static let opened: Result<OneDNN, SwanError> = {
        var table: OpaquePointer?
        var numbers: (Int32, Int32, Int32) = (0, 0, 0)
        let missing = withUnsafeMutablePointer(to: &numbers) {
            $0.withMemoryRebound(to: Int32.self, capacity: 3) { swan_onednn_open(&table, $0) }
        }
        let version = "\(numbers.0).\(numbers.1).\(numbers.2)"
        if let table, missing == nil { return .success(OneDNN(table, version: version)) }
        let name = missing.map { String(cString: $0) } ?? "its table"
        let problem =
            switch name {
            case "libdnnl.so.2": "oneDNN (libdnnl.so.2) is not installed."
            case "version": "oneDNN has version \(version), expected 2.6 or a later 2.x."
            case "OpenMP": "oneDNN \(version) was built without OpenMP, whose threads Swan computes on."
            default: "oneDNN \(version) lacks '\(name)'."
            }
        let remedy =
            name == "libdnnl.so.2"
            ? "Install it (Debian, Ubuntu: apt install libdnnl2)"
            : "Another oneDNN is found before the system's: take it off LD_LIBRARY_PATH, or install oneDNN 2.6 or a later 2.x with OpenMP (Debian, Ubuntu: apt install libdnnl2)"
        return .failure(
            SwanError(
                .libraryUnavailable, "The device 'cpu' cannot be opened: \(problem)",
                advice: remedy + ", or use the device 'reference', which is slow."))
    }()

    /// The library, opened once.
    static func open() throws(SwanError) -> OneDNN { try opened.get() }

    /// Threads that work on one operation.
    var threads: Int { Int(swan_threads(table)) }

    /// Throws for a status of oneDNN other than success.
    func check(_ status: Int32, _ function: String) throws(SwanError) {
        guard status != 0 else { return }
        // dnnl_types.h, dnnl_status_t.
        let names = [
            "success", "out of memory", "invalid arguments", "unimplemented", "iterator ends", "runtime error",
            "not required",
        ]
        let name = names.indices.contains(Int(status)) ? names[Int(status)] : "unknown status"
        throw SwanError(
            status == 1 ? .outOfMemory : .libraryFailed, "oneDNN \(version): \(function) failed: \(name) (\(status)).")
    }

    /// Calls `body` with every index below `count` and with the thread that it runs on (below
    /// ``threads``), on all cores; returns when all are done.
    ///
    /// Which thread takes which index is a matter of timing, so that `body` may write to places that
    /// belong to its index or its thread and to nothing else.
    func parallel(_ count: Int, _ body: (_ index: Int, _ thread: Int) -> Void) {
        withoutActuallyEscaping(body) { body in
            var job = Job(body: body)
            // The pointer is used by the threads only while this call waits for them.
            withUnsafeMutablePointer(to: &job) { job in
                swan_parallel(
                    table, count,
                    { context, index, thread in
                        context.assumingMemoryBound(to: Job.self).pointee.body(index, Int(thread))
                    }, job)
            }
        }
    }

    private struct Job {
        let body: (Int, Int) -> Void
    }
}
