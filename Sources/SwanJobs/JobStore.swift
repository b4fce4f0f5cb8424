import FoundationEssentials
import Glibc
public import SwanDiagnostics
import SwanMedia
public import SwanPipeline

/// The jobs of a user on this machine, kept in a SQLite database, and a folder of files for each.
///
/// Every change is one transaction, so that any number of processes may use the store at once, and each may end at any
/// moment. Which jobs have a living process is told by locks and not by the database: a lock cannot outlive its process.
public final class JobStore {
    /// Where everything is.
    public let folder: String
    private let database: Database

    /// The folder that the environment names: `XDG_STATE_HOME/swan`, else `HOME/.local/state/swan`.
    ///
    /// - Throws: `jobs.store-unavailable` where it names none.
    public static func folder(_ variables: [String: String]) throws(SwanError) -> String {
        if let folder = variables["XDG_STATE_HOME"], folder.hasPrefix("/") { return folder + "/swan" }
        if let home = variables["HOME"], home.hasPrefix("/") { return home + "/.local/state/swan" }
        throw SwanError(
            .storeUnavailable, "Neither XDG_STATE_HOME nor HOME names a folder, where jobs are kept.",
            advice: "Set XDG_STATE_HOME.")
    }

    /// Opens a store, and makes it where there is none.
    ///
    /// - Throws: `jobs.store-unavailable`, `jobs.store-damaged`, `jobs.store-newer`.
    public init(folder: String) throws(SwanError) {
        self.folder = folder
        // Prompts are the user's own business.
        try Self.makeFolder(folder + "/jobs", permissions: 0o700)
        database = try Database(path: folder + "/jobs.sqlite")
        try migrate()
    }

    /// The files of a job.
    public func files(of id: Int) -> JobFolder { JobFolder(path: "\(folder)/jobs/\(id)") }

    /// Held by the process that runs queued jobs.
    public var supervisorLock: String { folder + "/supervisor.lock" }
    /// What that process has to say.
    public var supervisorLog: String { folder + "/supervisor.log" }

    static func makeFolder(_ path: String, permissions: Int) throws(SwanError) {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: permissions])
        } catch {
            throw SwanError(
                .storeUnavailable, "The folder \(path.printable(limit: 1024)), where jobs are kept, cannot be made.",
                advice: "Check that the folder above it may be written to and has room; XDG_STATE_HOME names another.",
                cause: error)
        }
    }

    // MARK: Schema

    private static let version = 1

    private func migrate() throws(SwanError) {
        guard try storedVersion() != Self.version else { return }
        try database.transaction { () throws(SwanError) in
            // Another process may have been here between the two looks.
            switch try storedVersion() {
            case Self.version: return
            case 0: break
            case let other:
                throw SwanError(
                    .storeNewer,
                    "The job store in \(folder.printable(limit: 1024)) has version \(other), expected \(Self.version).",
                    advice: "Use the Swan that made it, or name another folder with XDG_STATE_HOME.")
            }
            // AUTOINCREMENT: a number that was shown once never means another job.
            try database.run(
                """
                CREATE TABLE jobs (
                    id INTEGER PRIMARY KEY AUTOINCREMENT,
                    detached INTEGER NOT NULL, state TEXT NOT NULL, prompt TEXT NOT NULL, model TEXT NOT NULL, seed TEXT,
                    folder TEXT NOT NULL, arguments TEXT NOT NULL, environment TEXT NOT NULL,
                    device_asked TEXT NOT NULL, device TEXT, created REAL NOT NULL, started REAL, ended REAL,
                    attempts INTEGER NOT NULL DEFAULT 0, crashes INTEGER NOT NULL DEFAULT 0,
                    cancel_requested INTEGER NOT NULL DEFAULT 0, stages TEXT, failure TEXT, report TEXT)
                """)
            try database.run("CREATE INDEX jobs_by_state ON jobs (state)")
            try database.run(
                """
                CREATE TABLE outputs (
                    job INTEGER NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, video INTEGER NOT NULL,
                    path TEXT NOT NULL, absolute TEXT NOT NULL, state TEXT NOT NULL DEFAULT 'planned', part TEXT,
                    part_device TEXT, part_number TEXT, PRIMARY KEY (job, video))
                """)
            try database.run("CREATE INDEX outputs_by_path ON outputs (absolute)")
            try database.run("PRAGMA user_version = \(Self.version)")
        }
    }

    private func storedVersion() throws(SwanError) -> Int {
        try database.rows("PRAGMA user_version") { (row) throws(SwanError) in row.int(0) ?? 0 }.first ?? 0
    }

    // MARK: Adding

    /// Adds a run: one that waits to be started, or one that this process begins now and holds the lock of.
    ///
    /// - Parameters:
    ///   - request: what is known of the run.
    ///   - prompts: the text of the file of prompts that it was given; kept with the job.
    /// - Returns: its number, and the lock of a run that begins now.
    /// - Throws: `jobs.output-planned` when a job that has not ended will write one of the files.
    public func add(_ request: JobRequest, prompts: String? = nil) throws(SwanError) -> (id: Int, lock: FileLock?) {
        try database.transaction { () throws(SwanError) in
            for path in request.outputs { try checkIsFree(path, in: request.folder) }
            let now = Date().timeIntervalSince1970
            try database.run(
                """
                INSERT INTO jobs (detached, state, prompt, model, seed, folder, arguments, environment, device_asked,
                    device, created, started, attempts) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
                [
                    .init(request.isDetached),
                    .init((request.isDetached ? Job.State.queued : .running).rawValue), .init(request.prompt),
                    .init(request.model), .init(request.seed.map(String.init)), .init(request.folder),
                    .init(try Self.json(request.arguments)), .init(try Self.json(request.environment)),
                    .init(request.device), .init(request.deviceInUse), .real(now),
                    .init(request.isDetached ? nil : now),
                    .integer(request.isDetached ? 0 : 1),
                ])
            let id = database.lastID
            for (video, path) in request.outputs.enumerated() {
                try database.run(
                    "INSERT INTO outputs (job, video, path, absolute) VALUES (?, ?, ?, ?)",
                    [.init(id), .init(video), .init(path), .init(Self.absolute(path, in: request.folder))])
            }
            let files = files(of: id)
            try Self.makeFolder(files.path, permissions: 0o700)
            if let prompts { try Self.write(prompts, to: files.prompts) }
            return (id, request.isDetached ? nil : try FileLock(path: files.lock))
        }
    }

    /// Whether no job that has not ended will write a file.
    private func checkIsFree(_ path: String, in folder: String) throws(SwanError) {
        guard let other = try plannedJob(for: path, in: folder) else { return }
        throw SwanError(
            .outputPlanned, "Job \(other) will write '\(path.printable())'.",
            advice: "Choose another output, or cancel that job: swan cancel \(other)")
    }

    /// The job that will write a file; nil where there is none.
    public func plannedJob(for path: String, in folder: String) throws(SwanError) -> Int? {
        try database.rows(
            """
            SELECT jobs.id FROM outputs JOIN jobs ON jobs.id = outputs.job
            WHERE outputs.absolute = ? AND jobs.state IN ('queued', 'running') AND outputs.state != 'published'
            """, [.init(Self.absolute(path, in: folder))]
        ) { (row) throws(SwanError) in row.int(0) ?? 0 }.first
    }

    private static func absolute(_ path: String, in folder: String) -> String {
        let whole = path.hasPrefix("/") ? path : "\(folder)/\(path)"
        var parts: [Substring] = []
        for part in whole.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(part) }
        }
        return "/" + parts.joined(separator: "/")
    }

    private static func write(_ text: String, to path: String) throws(SwanError) {
        do {
            try Data(text.utf8).write(to: URL(filePath: path), options: .atomic)
        } catch {
            throw SwanError(
                .storeUnavailable, "\(path.printable(limit: 1024)) cannot be written.",
                advice: "Check that its folder has room.", cause: error)
        }
    }

    // MARK: Looking

    private static let columns = """
        id, detached, state, prompt, model, seed, folder, arguments, environment, device_asked, device, created, started,
        ended, attempts, crashes, cancel_requested, stages, failure, report
        """

    /// A job.
    ///
    /// - Throws: `jobs.unknown`.
    public func job(_ id: Int) throws(SwanError) -> Job {
        let found = try select("WHERE id = ?", [.init(id)])
        guard let job = found.first else {
            throw SwanError(.jobUnknown, "There is no job \(id).", advice: "`swan jobs` lists them.")
        }
        return job
    }

    /// Every job and every run, oldest first.
    public func jobs() throws(SwanError) -> [Job] { try select("", []) }

    /// The jobs in some states, oldest first.
    ///
    /// - Parameters:
    ///   - states: any of these.
    ///   - detached: queued ones, or runs that a user waits for.
    public func jobs(_ states: Set<Job.State>, detached: Bool) throws(SwanError) -> [Job] {
        let names = states.map { "'\($0.rawValue)'" }.sorted().joined(separator: ", ")
        return try select("WHERE state IN (\(names)) AND detached = ?", [.init(detached)])
    }

    private func select(_ condition: String, _ values: [Database.Value]) throws(SwanError) -> [Job] {
        var jobs = try database.rows("SELECT \(Self.columns) FROM jobs \(condition) ORDER BY id", values, Self.job)
        for index in jobs.indices {
            jobs[index].outputs = try database.rows(
                "SELECT path, state FROM outputs WHERE job = ? ORDER BY video", [.init(jobs[index].id)]
            ) { (row) throws(SwanError) in
                Job.Output(path: row.text(0) ?? "", isPublished: row.text(1) == "published")
            }
        }
        return jobs
    }

    private static func job(_ row: Database.Row) throws(SwanError) -> Job {
        var job = Job(
            id: row.int(0) ?? 0, isDetached: row.int(1) == 1, state: row.text(2).flatMap(Job.State.init) ?? .failed,
            prompt: row.text(3) ?? "", model: row.text(4) ?? "", seed: row.text(5).flatMap { UInt64($0) },
            folder: row.text(6) ?? "", arguments: try value(row.text(7)) ?? [], deviceAsked: row.text(9) ?? "",
            device: row.text(10), created: row.double(11) ?? 0, started: row.double(12), ended: row.double(13),
            attempts: row.int(14) ?? 0, isCancelRequested: row.int(16) == 1, outputs: [],
            failure: try value(row.text(18)), report: try value(row.text(19)))
        job.environment = try value(row.text(8)) ?? [:]
        job.crashes = row.int(15) ?? 0
        job.earlierStages = try value(row.text(17)) ?? []
        return job
    }

    // MARK: Running

    /// Makes a queued job a running one.
    ///
    /// - Returns: false when it is not queued any more.
    package func claim(_ id: Int, device: String) throws(SwanError) -> Bool {
        try database.run(
            """
            UPDATE jobs SET state = 'running', device = ?, attempts = attempts + 1, started = COALESCE(started, ?)
            WHERE id = ? AND state = 'queued'
            """, [.init(device), .real(Date().timeIntervalSince1970), .init(id)])
        return database.changes == 1
    }

    /// Puts a job that was interrupted back where it was: before all that were added later.
    ///
    /// - Parameters:
    ///   - id: the job's number.
    ///   - hasCrashed: whether its process ended by itself.
    public func requeue(_ id: Int, hasCrashed: Bool = false) throws(SwanError) {
        try database.run(
            "UPDATE jobs SET state = 'queued', crashes = crashes + ? WHERE id = ? AND state = 'running'",
            [.init(hasCrashed), .init(id)])
    }

    /// Notes that a job has come on, with the time its stages have taken in all.
    func keep(_ id: Int, stages: [RunReport.StageTime]) throws(SwanError) {
        try database.run(
            "UPDATE jobs SET crashes = 0, stages = ? WHERE id = ?", [.init(try Self.json(stages)), .init(id)])
    }

    /// Whether somebody wants a job to stop.
    public func isCancelRequested(_ id: Int) throws(SwanError) -> Bool {
        try database.rows("SELECT cancel_requested FROM jobs WHERE id = ?", [.init(id)]) { (row) throws(SwanError) in
            row.int(0) == 1
        }.first ?? true
    }

    /// What became of a wish to stop a job.
    public enum CancelOutcome: Sendable, Hashable {
        /// It was waiting, and will not be started.
        case cancelled
        /// It runs, and is asked to stop.
        case requested
        /// It had ended before.
        case ended(Job.State)
    }

    /// Stops a job that waits, and notes the wish for one that runs; its process is told by whoever calls.
    public func requestCancel(_ id: Int) throws(SwanError) -> CancelOutcome {
        try database.transaction { () throws(SwanError) in
            let job = try job(id)
            switch job.state {
            case .queued:
                try end(id, .cancelled)
                return .cancelled
            case .running:
                try database.run("UPDATE jobs SET cancel_requested = 1 WHERE id = ?", [.init(id)])
                return .requested
            case let state: return .ended(state)
            }
        }
    }

    /// Ends a run or job that was made, in one transaction with its measured numbers.
    public func finish(_ id: Int, _ report: RunReport) throws(SwanError) {
        try end(id, .done, "report = ?", [.init(try Self.json(report))])
    }

    /// Ends a run or job that failed.
    public func fail(_ id: Int, _ error: SwanError) throws(SwanError) {
        try end(id, .failed, "failure = ?", [.init(try Self.json(Job.Failure(error)))])
    }

    /// Ends a run or job that was stopped on request.
    public func cancel(_ id: Int) throws(SwanError) { try end(id, .cancelled) }

    /// Only what has not ended ends: two processes may see the same end.
    private func end(
        _ id: Int, _ state: Job.State, _ more: String? = nil, _ values: [Database.Value] = []
    ) throws(SwanError) {
        try database.run(
            "UPDATE jobs SET state = ?, ended = ?\(more.map { ", " + $0 } ?? "") WHERE id = ? AND state IN ('queued', 'running')",
            [.init(state.rawValue), .real(Date().timeIntervalSince1970)] + values + [.init(id)])
        guard database.changes == 1 else { return }
        let isDetached = try database.rows("SELECT detached FROM jobs WHERE id = ?", [.init(id)]) {
            (row) throws(SwanError) in row.int(0) == 1
        }
        if isDetached == [false] {
            // There is nothing but the lock.
            try? FileManager.default.removeItem(atPath: files(of: id).path)
        } else if state != .failed {
            // What is kept of videos serves a job that is tried again after it failed.
            removeStates(of: id)
        }
    }

    // MARK: Afterwards

    /// Queues a job once more that failed or was cancelled; it goes on where it stopped, as far as that was kept.
    ///
    /// - Throws: `jobs.unknown`, `jobs.state`, `jobs.output-planned`.
    public func retry(_ id: Int) throws(SwanError) {
        try database.transaction { () throws(SwanError) in
            let job = try job(id)
            guard job.isDetached, job.state == .failed || job.state == .cancelled else {
                throw SwanError(
                    .jobState, "Job \(id) \(job.isDetached ? "is \(job.state.rawValue)" : "was not queued").",
                    advice: "A job that failed or was cancelled can be tried again.")
            }
            for output in job.outputs where !output.isPublished { try checkIsFree(output.path, in: job.folder) }
            try database.run(
                """
                UPDATE jobs SET state = 'queued', ended = NULL, failure = NULL, crashes = 0, cancel_requested = 0,
                stages = CASE state WHEN 'cancelled' THEN NULL ELSE stages END
                WHERE id = ?
                """, [.init(id)])
        }
    }

    /// Forgets a job that has ended. Its videos stay.
    ///
    /// - Throws: `jobs.unknown`, `jobs.state`.
    public func remove(_ id: Int) throws(SwanError) {
        try database.transaction { () throws(SwanError) in
            let job = try job(id)
            guard job.state.isEnded else {
                throw SwanError(
                    .jobState, "Job \(id) is \(job.state.rawValue).", advice: "Stop it first: swan cancel \(id)")
            }
            guard !FileLock.isHeld(files(of: id).lock) else {
                throw SwanError(
                    .jobState, "Job \(id)'s process is about to end.", advice: "Try again in a moment.")
            }
            try database.run("DELETE FROM jobs WHERE id = ?", [.init(id)])
        }
        try? FileManager.default.removeItem(atPath: files(of: id).path)
    }

    /// Ends runs whose process has ended without a word: killed, or with the machine.
    public func settleLostRuns() throws(SwanError) {
        for run in try jobs([.running], detached: false) where !FileLock.isHeld(files(of: run.id).lock) {
            try fail(
                run.id,
                SwanError(.runLost, "The run's process ended without a word: it was killed, or the machine went down."))
        }
    }

    private func removeStates(of id: Int) {
        let folder = files(of: id).path
        for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        where name.hasPrefix("video-") {
            unlink("\(folder)/\(name)")
        }
    }

    // MARK: Videos on their way

    func noteBegan(_ id: Int, _ video: Int, part: String) throws(SwanError) {
        try database.run(
            """
            UPDATE outputs SET state = 'writing', part = ?, part_device = NULL, part_number = NULL
            WHERE job = ? AND video = ?
            """, [.init(part), .init(id), .init(video)])
    }

    func notePlanned(_ id: Int, _ video: Int) throws(SwanError) {
        try database.run(
            "UPDATE outputs SET state = 'planned', part = NULL WHERE job = ? AND video = ?", [.init(id), .init(video)])
    }

    func noteCompleted(_ id: Int, _ video: Int, part: String, _ identity: FileIdentity) throws(SwanError) {
        try database.run(
            """
            UPDATE outputs SET state = 'complete', part = ?, part_device = ?, part_number = ?
            WHERE job = ? AND video = ?
            """,
            [.init(part), .init(String(identity.device)), .init(String(identity.number)), .init(id), .init(video)])
    }

    /// Notes that a video has got its name.
    public func notePublished(_ id: Int, _ video: Int) throws(SwanError) {
        try database.run(
            "UPDATE outputs SET state = 'published', part = NULL WHERE job = ? AND video = ?",
            [.init(id), .init(video)])
    }

    /// Gives videos that are whole their names, and removes those that are not: to be called by whoever holds the
    /// job's lock, before anything new is written.
    func settleOutputs(of id: Int) throws(SwanError) {
        typealias Entry = (video: Int, output: InterruptedOutput)
        let entries = try database.rows(
            """
            SELECT video, absolute, part, part_device, part_number FROM outputs
            WHERE job = ? AND state IN ('writing', 'complete') AND part IS NOT NULL
            """, [.init(id)]
        ) { (row) throws(SwanError) -> Entry in
            var identity: FileIdentity?
            if let device = row.text(3).flatMap({ UInt64($0) }), let number = row.text(4).flatMap({ UInt64($0) }) {
                identity = FileIdentity(device: device, number: number)
            }
            return (
                row.int(0) ?? 0,
                InterruptedOutput(path: row.text(1) ?? "", part: row.text(2) ?? "", completed: identity)
            )
        }
        for (video, output) in entries {
            if try output.settle() {
                try notePublished(id, video)
            } else {
                try notePlanned(id, video)
            }
        }
    }

    // MARK: JSON

    private static func json(_ value: some Encodable) throws(SwanError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(value), as: UTF8.self)
        } catch {
            throw SwanError(.fault, "A value of the job store cannot be written as JSON.", cause: error)
        }
    }

    /// A column's value; nil where there is none, and where a later version wrote what this one does not know.
    private static func value<Value: Decodable>(_ text: String?) throws(SwanError) -> Value? {
        guard let text else { return nil }
        return try? JSONDecoder().decode(Value.self, from: Data(text.utf8))
    }
}
