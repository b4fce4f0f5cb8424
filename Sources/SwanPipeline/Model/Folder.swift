import Glibc

/// Looking at a folder: names only, sorted, hidden files left out.
struct Folder {
    let path: String

    /// A path without the slashes that people, and shells that complete names, put behind a folder's.
    static func trimmed(_ path: String) -> String {
        var path = path
        while path.utf8.count > 1, path.hasSuffix("/") { path.removeLast() }
        return path
    }

    /// The folder that a file lies in; "." for a bare name.
    static func containing(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// What tells a file or folder from any other, whatever its path; nil when it is not there.
    static func identity(_ path: String) -> [UInt64]? {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        return [UInt64(status.st_dev), UInt64(status.st_ino)]
    }

    /// Names of the files and folders inside; empty when it cannot be read.
    var names: [String] {
        guard let handle = opendir(path) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names.sorted()
    }

    /// The path of something inside, or nil when it is not there.
    func find(_ relative: String) -> String? {
        let full = "\(path)/\(relative)"
        return access(full, F_OK) == 0 ? full : nil
    }

    /// Every file below the folder, at most `depth` folders down; links are followed.
    func files(depth: Int) -> [String] {
        names.flatMap { name -> [String] in
            let full = "\(path)/\(name)"
            if !isFolder(full) { return [full] }
            return depth > 0 ? Folder(path: full).files(depth: depth - 1) : []
        }
    }
}

/// Whether a path is a folder.
func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Whether something is there.
func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }

/// The last component of a path.
func lastComponent(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
