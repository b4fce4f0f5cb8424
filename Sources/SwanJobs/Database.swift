import CSwanSQLite
import SwanDiagnostics

/// A connection to a SQLite database in WAL mode: readers never wait for the one writer, and what was committed is
/// on the disk.
///
/// Written on SQLite's C interface rather than on GRDB, which needs all of Foundation: that would add some 40 MB to
/// the program. A connection belongs to one owner.
final class Database {
    /// A value of a column or a parameter.
    enum Value {
        case integer(Int64)
        case real(Double)
        case text(String)
        case null

        init(_ value: Int?) { self = value.map { .integer(Int64($0)) } ?? .null }
        init(_ value: Double?) { self = value.map { .real($0) } ?? .null }
        init(_ value: String?) { self = value.map { .text($0) } ?? .null }
        init(_ value: Bool) { self = .integer(value ? 1 : 0) }
    }

    /// One row of a result, valid until the next.
    struct Row {
        fileprivate let statement: OpaquePointer

        func int(_ column: Int32) -> Int? {
            sqlite3_column_type(statement, column) == SQLITE_NULL
                ? nil : Int(exactly: sqlite3_column_int64(statement, column))
        }
        func double(_ column: Int32) -> Double? {
            sqlite3_column_type(statement, column) == SQLITE_NULL ? nil : sqlite3_column_double(statement, column)
        }
        func text(_ column: Int32) -> String? {
            guard let bytes = sqlite3_column_text(statement, column) else { return nil }
            let count = Int(sqlite3_column_bytes(statement, column))
            return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
        }
    }

    private let path: String
    private let handle: OpaquePointer

    /// Opens a database, and makes it where there is none.
    ///
    /// - Throws: `jobs.store-unavailable`, `jobs.store-damaged`.
    init(path: String) throws(SwanError) {
        self.path = path
        var opened: OpaquePointer?
        let result = sqlite3_open_v2(path, &opened, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nil)
        guard result == SQLITE_OK, let opened else {
            let error = Self.error(result, opened, path)
            sqlite3_close(opened)
            throw error
        }
        handle = opened
        sqlite3_extended_result_codes(handle, 1)
        sqlite3_busy_timeout(handle, 20_000)
        // FULL: a commit survives a loss of power, not just a crash.
        for pragma in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"] {
            try run(pragma)
        }
    }

    deinit { sqlite3_close(handle) }

    /// The number of the row that was inserted last.
    var lastID: Int { Int(sqlite3_last_insert_rowid(handle)) }
    /// The rows that the last statement changed.
    var changes: Int { Int(sqlite3_changes(handle)) }

    /// Runs a statement for what it does.
    func run(_ sql: String, _ values: [Value] = []) throws(SwanError) {
        _ = try rows(sql, values) { (_) throws(SwanError) in () }
    }

    /// Runs a query.
    ///
    /// - Parameter read: makes something of each row.
    func rows<Result>(
        _ sql: String, _ values: [Value] = [], _ read: (Row) throws(SwanError) -> Result
    ) throws(SwanError) -> [Result] {
        var prepared: OpaquePointer?
        try check(sqlite3_prepare_v2(handle, sql, -1, &prepared, nil))
        guard let statement = prepared else { throw SwanError(.fault, "'\(sql)' is no statement.") }
        defer { sqlite3_finalize(statement) }
        for (offset, value) in values.enumerated() {
            let index = Int32(offset + 1)
            switch value {
            case .integer(let number): try check(sqlite3_bind_int64(statement, index, number))
            case .real(let number): try check(sqlite3_bind_double(statement, index, number))
            case .text(let text):
                try check(swan_sqlite_bind_text(statement, index, text, Int32(clamping: text.utf8.count)))
            case .null: try check(sqlite3_bind_null(statement, index))
            }
        }
        var results: [Result] = []
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: results.append(try read(Row(statement: statement)))
            case SQLITE_DONE: return results
            case let code: throw Self.error(code, handle, path)
            }
        }
    }

    /// Runs several statements as one: all of them take effect, or none. Nobody else writes meanwhile.
    func transaction<Result>(_ body: () throws(SwanError) -> Result) throws(SwanError) -> Result {
        try run("BEGIN IMMEDIATE")
        do throws(SwanError) {
            let result = try body()
            try run("COMMIT")
            return result
        } catch {
            // Fails where SQLite has rolled back by itself already.
            try? run("ROLLBACK")
            throw error
        }
    }

    private func check(_ code: Int32) throws(SwanError) {
        guard code == SQLITE_OK else { throw Self.error(code, handle, path) }
    }

    private struct Failure: Error, CustomStringConvertible { let description: String }

    private static func error(_ code: Int32, _ handle: OpaquePointer?, _ path: String) -> SwanError {
        let text = handle.map { String(cString: sqlite3_errmsg($0)) } ?? String(cString: sqlite3_errstr(code))
        let cause = Failure(description: "SQLite: \(text)")
        let shown = path.printable(limit: 1024)
        switch code & 0xFF {
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return SwanError(
                .storeDamaged, "The job store \(shown) is damaged.",
                advice: "Move it away, with the files '-wal' and '-shm' beside it; a new one is made.", cause: cause)
        default:
            return SwanError(
                .storeUnavailable, "The job store \(shown) cannot be used.",
                advice:
                    "Check that its folder may be written to and has room; XDG_STATE_HOME names another, on a local disk.",
                cause: cause)
        }
    }
}
