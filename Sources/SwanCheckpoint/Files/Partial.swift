import Glibc
import SwanDiagnostics

extension SwanError {
    /// The advice for a damaged file.
    static let fetchAgain = "The file is damaged or its download stopped early: fetch it again."

    /// The error for a path at which there is nothing.
    static func fileMissing(_ path: String, cause: (any Error)? = nil) -> SwanError {
        let hint = partialDownloadHint(beside: path)
        return SwanError(
            .fileMissing, "There is no file \(path.printable()).",
            advice: hint.isEmpty ? "Check the path, or download the file." : String(hint.dropFirst()), cause: cause)
    }
}

/// Endings that download programs give to files they have not finished.
let partialSuffixes = [".incomplete", ".aria2", ".part", ".crdownload"]

/// A sentence, after a space, about an unfinished download at or beside `path`; empty when there is none.
func partialDownloadHint(beside path: String) -> String {
    if partialSuffixes.contains(where: path.hasSuffix) { return " Its name is that of an unfinished download." }
    guard let suffix = partialSuffixes.first(where: { access(path + $0, F_OK) == 0 }) else { return "" }
    return " An unfinished download lies beside it, \((path + suffix).printable()): let it finish first."
}
