import FoundationEssentials
import SwanDiagnostics
import SwanJobs
import SwanPipeline

extension JobStore {
    /// The store that the environment names.
    static func here() throws(SwanError) -> JobStore {
        try JobStore(folder: folder(ProcessInfo.processInfo.environment))
    }

    /// Sees to it that somebody runs the jobs that wait.
    ///
    /// - Returns: whether nobody did.
    @discardableResult
    func ensureSupervisor() throws(SwanError) -> Bool {
        try Supervisor.ensure(
            self, executable: programPath, arguments: ["jobs", "supervise"],
            environment: ProcessInfo.processInfo.environment)
    }
}

/// The path of the running program, as it was when it was first asked for: the system names none for one whose file has
/// been replaced since.
let programPath =
    (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]

/// The job store as a run needs it that its user waits for: a run is made even where it cannot be noted.
struct RunRecords {
    private let store: Result<JobStore, SwanError>?

    /// - Parameter isUsed: false leaves the store alone.
    init(isUsed: Bool) {
        guard isUsed else {
            store = nil
            return
        }
        do throws(SwanError) { store = .success(try JobStore.here()) } catch { store = .failure(error) }
    }

    /// Whether a job is to write a file.
    func isPlanned(_ path: String) -> Bool {
        guard case .success(let store) = store else { return false }
        return (try? store.plannedJob(for: path, in: FileManager.default.currentDirectoryPath)) != nil
    }

    /// The store, where there is no doing without it.
    func requireStore() throws(SwanError) -> JobStore {
        guard let store else { throw SwanError(.fault, "A run that is not to be noted was queued.") }
        return try store.get()
    }

    /// Notes a run that begins.
    ///
    /// - Throws: `jobs.output-planned` when a job is to write one of its files; of anything else that keeps it from
    ///   being noted there is a remark.
    func begin(_ request: JobRequest, remark: @escaping (String) -> Void) throws(SwanError) -> RunRecord? {
        do throws(SwanError) {
            guard let store = try store?.get() else { return nil }
            let (id, lock) = try store.add(request)
            return RunRecord(store: store, id: id, lock: lock, remark: remark)
        } catch {
            if error.code == .outputPlanned { throw error }
            remark("warning: this run is not noted for `swan report`. \(error)")
            return nil
        }
    }
}

/// A run in the job store, which its user waits for.
struct RunRecord {
    let store: JobStore
    let id: Int
    /// Says that the run's process lives.
    let lock: FileLock?
    let remark: (String) -> Void

    /// Ends it with what was measured.
    func finish(_ report: RunReport) {
        note { () throws(SwanError) in
            for video in report.videos.indices { try store.notePublished(id, video) }
            try store.finish(id, report)
        }
    }

    /// Ends it with an error.
    func fail(_ error: SwanError) {
        note { () throws(SwanError) in
            if error.code == .cancelled { try store.cancel(id) } else { try store.fail(id, error) }
        }
    }

    private func note(_ body: () throws(SwanError) -> Void) {
        do throws(SwanError) { try body() } catch { remark("warning: the end of this run is not noted. \(error)") }
    }
}

/// What of its user's environment a job gets: where programs, models and caches are, and how libraries behave. Tokens and
/// other secrets are not among it.
enum JobEnvironment {
    private static let names: Set = [
        "PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
        "XDG_DATA_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE",
    ]
    private static let prefixes = ["SWAN_", "OMP_", "GOMP_", "DNNL_"]

    /// Those variables that a job keeps.
    static func kept(_ variables: [String: String]) -> [String: String] { variables.filter { isKept($0.key) } }

    /// What a job's process gets: of the variables that jobs keep its own and no others, the supervisor's for the rest.
    static func forJob(_ job: [String: String], supervisor: [String: String]) -> [String: String] {
        supervisor.filter { !isKept($0.key) }.merging(job) { $1 }
    }

    private static func isKept(_ name: String) -> Bool {
        names.contains(name) || prefixes.contains { name.hasPrefix($0) }
    }
}
