import FoundationEssentials
public import SwanDiagnostics

/// A model as a person names it: a path, or a name of the catalogue.
public struct NamedModel: Sendable, Hashable {
    /// The name of the catalogue, or the path, as it was given.
    public let name: String
    /// The folder.
    public let path: String
    /// What finds the same model again from anywhere: the name, or the folder's absolute path.
    public let source: String

    /// Finds a model.
    ///
    /// Without a name it is swan-tiny, whatever lies where the user stands. A path with a slash is the folder that
    /// is there. Anything else is an installed model's name or id, and a folder only where no such model is.
    ///
    /// - Throws: as ``InstalledModels/path(of:)``.
    public init(_ given: String?, _ installed: InstalledModels) throws(SwanError) {
        let folder = given.flatMap { FileManager.default.fileExists(atPath: $0) ? $0 : nil }
        if let folder, folder.contains("/") {
            name = Self.trimmed(folder)
            (path, source) = (name, Self.absolute(folder))
            return
        }
        name = given ?? "swan-tiny"
        do throws(SwanError) {
            path = try installed.path(of: name)
            source = name
        } catch {
            guard let folder else { throw error }
            (path, source) = (folder, Self.absolute(folder))
        }
    }

    /// A path that means the same from any folder, without slashes behind it.
    public static func absolute(_ path: String) -> String {
        trimmed(path.hasPrefix("/") ? path : FileManager.default.currentDirectoryPath + "/" + path)
    }

    private static func trimmed(_ path: String) -> String {
        var path = path
        while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }
}
