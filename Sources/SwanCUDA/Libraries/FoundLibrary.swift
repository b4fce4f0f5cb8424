package import SwanDiagnostics

/// A library that was found and opened.
public struct FoundLibrary: Sendable, Codable, Hashable {
    /// Which one.
    public var library: DeviceLibrary
    /// The file, or the bare name where the system's loader found it.
    public var path: String
    /// Its version as people write it, `13.0`.
    public var version: String
}

/// Opens the first candidate that can be opened and holds all functions.
///
/// - Parameter open: tries a path; returns the name of what is missing, the path itself or a function.
package func openFirst(
    _ library: DeviceLibrary, _ search: LibrarySearch, _ open: (String) -> String?
) throws(SwanError) -> String {
    var problems: [String] = []
    for path in search.candidates(for: library) {
        guard let missing = open(path) else { return path }
        // A bare name that the loader does not know, or a file that it refuses, says nothing by itself.
        if missing != path { problems.append("\(path.printable()) lacks '\(missing)'") }
    }
    let name = library.fileNames.joined(separator: " or ")
    throw SwanError(
        .cudaLibraryUnavailable,
        problems.isEmpty ? "\(name) was not found." : "\(name) cannot be used: \(problems.joined(separator: "; ")).",
        advice: library == .driver
            ? "Install NVIDIA's driver, or use the device 'cpu'."
            : "Looked in \(search.description(for: library)). Name a folder with SWAN_CUDA_LIBRARIES, or use the device 'cpu'."
    )
}
