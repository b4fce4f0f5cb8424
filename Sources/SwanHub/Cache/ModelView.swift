import Glibc
import SwanDiagnostics

/// A folder of links that brings a model's files together, where they are in several repositories or are a part of one.
struct ModelView {
    /// The folder.
    let path: String

    /// - Parameter dataFolder: Swan's own folder.
    init(_ name: String, in dataFolder: String) { path = "\(dataFolder)/models/\(name)" }

    /// Makes the folder, in place of an earlier one, or of a link.
    ///
    /// - Parameter links: where each link is in the folder, and the absolute path that it leads to.
    /// - Throws: `hub.cache-unwritable`, also when the earlier one holds anything but links and folders: then nothing is
    ///   changed.
    func make(_ links: [(place: String, target: String)]) throws(SwanError) {
        if let file = Self.firstFile(path) {
            throw SwanError(
                .cacheUnwritable, "\(file.printable()) is no link, and stands where a folder of links is to be.",
                advice: "Move it elsewhere, then run the same command again: what is here is kept.")
        }
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

    /// What is at a path itself, links not followed.
    private static func kind(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
    }

    /// The first thing at or below a path that is neither a link nor a folder.
    private static func firstFile(_ path: String) -> String? {
        switch kind(path) {
        case nil, S_IFLNK?: nil
        case S_IFDIR?: FileSystem.names(path).lazy.compactMap { firstFile("\(path)/\($0)") }.first
        default: path
        }
    }

    /// Removes a link or a folder of links; what they lead to stays, and so does everything else.
    private static func remove(_ path: String) {
        switch kind(path) {
        case S_IFLNK?: unlink(path)
        case S_IFDIR?:
            for name in FileSystem.names(path) { remove("\(path)/\(name)") }
            rmdir(path)
        default: break
        }
    }
}
