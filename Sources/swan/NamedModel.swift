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
        path = try InstalledModels.here.path(of: name)
    }
}

extension InstalledModels {
    /// The models that this program finds: beside itself, and in the cache that the environment names.
    static var here: InstalledModels {
        let program = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return InstalledModels(
            executable: program ?? CommandLine.arguments[0], environment: ProcessInfo.processInfo.environment)
    }
}

/// A value as one line of JSON.
func encoded(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}
