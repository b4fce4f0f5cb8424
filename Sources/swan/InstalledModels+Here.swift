import FoundationEssentials
import SwanHub

extension InstalledModels {
    /// The models that this program finds: beside itself, and in the cache that the environment names.
    static var here: InstalledModels {
        InstalledModels(executable: programPath, environment: ProcessInfo.processInfo.environment)
    }
}

/// A value as one line of JSON.
func encoded(_ value: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(value), as: UTF8.self)
}
