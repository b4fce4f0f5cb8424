public import SwanDiagnostics

extension SwanError.Code {
    /// The job store cannot be opened, read or written.
    public static let storeUnavailable = Self("jobs.store-unavailable", .io)
    /// The job store is damaged.
    public static let storeDamaged = Self("jobs.store-damaged", .data)
    /// The job store was made by a later version of Swan.
    public static let storeNewer = Self("jobs.store-newer", .unavailable)
    /// There is no job with this number.
    public static let jobUnknown = Self("jobs.unknown", .missing)
    /// A job is in a state in which this cannot be done.
    public static let jobState = Self("jobs.state", .usage)
    /// Another job will write the same file.
    public static let outputPlanned = Self("jobs.output-planned", .usage)
    /// A job's process ended again and again before the job was done.
    public static let jobCrashed = Self("jobs.crashed", .fault)
    /// A run's process ended without saying why.
    public static let runLost = Self("jobs.lost", .fault)
    /// A process could not be started.
    public static let notStarted = Self("jobs.not-started", .io)
}
