import FoundationEssentials
import SwanDiagnostics
import SwanHub

/// A model as a person names it: a path, or a name of the catalogue.
struct NamedModel {
    let name: String
    let path: String

    /// Finds a model; swan-tiny when none is named.
    ///
    /// - Throws: `hub.model-unknown`, `hub.model-not-installed`.
    init(_ given: String?) throws(SwanError) {
        name = given ?? "swan-tiny"
        if FileManager.default.fileExists(atPath: name) {
            path = name
            return
        }
        let program = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
        path = try InstalledModels(executable: program, environment: ProcessInfo.processInfo.environment).path(of: name)
    }
}

/// A value as one line of JSON.
func encoded(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}
