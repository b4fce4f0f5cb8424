import Glibc
import SwanDiagnostics

/// A folder of links that brings a model's files together, where they are in several repositories or are a part of one.
struct ModelView {
    /// The folder.
    let path: String

    /// - Parameter dataFolder: Swan's own folder.
    init(_ name: String, in dataFolder: String) { path = "\(dataFolder)/models/\(name)" }

    /// Makes the folder, in place of an earlier one.
    ///
    /// - Parameter links: where each link is in the folder, and the absolute path that it leads to.
    /// - Throws: `hub.cache-unwritable`.
    func make(_ links: [(place: String, target: String)]) throws(SwanError) {
        let temporary = "\(path).\(getpid()).new"
        Self.remove(temporary)
        for link in links {
            let place = "\(temporary)/\(link.place)"
            try FileSystem.makeFolder(above: place)
            guard symlink(link.target, place) == 0 else { throw FileSystem.error("symlink", place) }
        }
        // A folder that is in the way cannot be replaced in one step; nothing but links is lost in between.
        Self.remove(path)
        guard rename(temporary, path) == 0 else {
            let error = FileSystem.error("rename", path)
            Self.remove(temporary)
            throw error
        }
    }

    /// Removes a folder of links; what they lead to stays.
    private static func remove(_ path: String) {
        for name in FileSystem.names(path) {
            let inner = "\(path)/\(name)"
            var status = stat()
            if lstat(inner, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { remove(inner) } else { unlink(inner) }
        }
        rmdir(path)
    }
}
