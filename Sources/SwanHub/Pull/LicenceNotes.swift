import SwanDiagnostics

/// Which licences were shown on this machine: each is said once.
struct LicenceNotes {
    /// A text file with a repository and its licence in each line; nil where there is no place for it.
    let path: String?

    /// Whether a licence was not shown before. From now on it was.
    func isNew(_ repository: String, _ licence: String) -> Bool {
        guard let path else { return true }
        let line = "\(repository) \(licence)".printable()
        let known = FileSystem.text(path) ?? ""
        guard !known.split(separator: "\n").contains(Substring(line)) else { return false }
        // A folder that cannot be written to means that it is said again.
        try? FileSystem.write(Array((known + line + "\n").utf8), to: path)
        return true
    }
}
