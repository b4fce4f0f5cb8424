import Glibc
import SwanDiagnostics

/// The few calls on files that a cache needs, with errors that name the path.
enum FileSystem {
    /// What is at a path, links followed.
    struct Entry {
        var size: Int
        var isFile, isFolder: Bool
        /// Bytes that it takes on the disk; fewer than `size` where it has holes.
        var allocated: Int
        var device, inode: UInt64
        var links: Int
    }

    static func entry(_ path: String) -> Entry? {
        var status = stat()
        return stat(path, &status) == 0 ? Entry(status) : nil
    }

    /// The regular file of a number of bytes that is at a path.
    static func isFile(_ path: String, size: Int) -> Bool {
        guard let entry = entry(path) else { return false }
        return entry.isFile && entry.size == size
    }

    /// An error that names a path; a full disk says so.
    static func error(_ call: String, _ path: String) -> SwanError {
        let number = errno
        if [ENOSPC, EDQUOT, EFBIG].contains(number) {
            return SwanError(
                .cacheUnwritable, "The disk of \(path.printable()) is full.",
                advice: "Make room, or name a folder on another disk with HF_HUB_CACHE; then run the same command"
                    + " again: what is here is kept.", cause: SystemError(number: number))
        }
        let isReadOnly = [EROFS, EACCES, EPERM].contains(number)
        return SwanError(
            .cacheUnwritable, "\(path.printable()) cannot be \(isReadOnly ? "written to" : "used").",
            advice: isReadOnly ? "Name a folder of your own with HF_HUB_CACHE." : "",
            cause: SystemError(number: number))
    }

    /// Makes a folder and those above it, with the permissions of new files.
    static func makeFolder(_ path: String) throws(SwanError) {
        if let entry = entry(path), entry.isFolder { return }
        guard mkdir(path, 0o777) != 0 else { return }
        if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
            try makeFolder(String(path[..<slash]))
            guard mkdir(path, 0o777) != 0 else { return }
        }
        if errno == EEXIST, let entry = entry(path), entry.isFolder { return }
        throw error("mkdir", path)
    }

    /// Makes the folder that a path's last component is in.
    static func makeFolder(above path: String) throws(SwanError) {
        if let slash = path.lastIndex(of: "/"), slash > path.startIndex { try makeFolder(String(path[..<slash])) }
    }

    /// Writes a file as a whole: readers see the old one or this one.
    static func write(_ bytes: [UInt8], to path: String) throws(SwanError) {
        try makeFolder(above: path)
        let temporary = "\(path).\(getpid()).\(UInt32.random(in: 0 ... .max))"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw error("open", path) }
        do throws(SwanError) {
            try write(bytes.span.bytes, to: descriptor, at: 0, path)
            guard fsync(descriptor) == 0 else { throw error("fsync", path) }
        } catch {
            close(descriptor)
            unlink(temporary)
            throw error
        }
        close(descriptor)
        guard rename(temporary, path) == 0 else {
            let error = error("rename", path)
            unlink(temporary)
            throw error
        }
    }

    /// Writes all bytes at a place of an open file.
    static func write(_ bytes: RawSpan, to descriptor: Int32, at offset: Int, _ path: String) throws(SwanError) {
        var done = 0
        while done < bytes.byteCount {
            let count = bytes.withUnsafeBytes {
                pwrite(descriptor, $0.baseAddress.map { $0 + done }, $0.count - done, off_t(offset + done))
            }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw error("pwrite", path) }
            done += count
        }
    }

    /// The text of a small file.
    static func text(_ path: String, limit: Int = 1 << 20) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while bytes.count <= limit {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += chunk[..<count]
        }
        return nil
    }

    /// The names inside a folder, sorted; none for what is no folder.
    static func names(_ folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != "." && name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Bytes of the files below a folder, links followed, each file once.
    static func bytesBelow(_ folder: String) -> Int {
        var seen: Set<[UInt64]> = []
        func sum(_ path: String, depth: Int) -> Int {
            guard let entry = entry(path), seen.insert([entry.device, entry.inode]).inserted else { return 0 }
            guard entry.isFolder else { return entry.size }
            // A link to a folder above would be met again, and counts once; the depth bounds what is odd.
            return depth > 16 ? 0 : names(path).reduce(0) { $0 + sum("\(path)/\($1)", depth: depth + 1) }
        }
        return sum(folder, depth: 0)
    }

    /// Bytes that are free for this user on the disk of a path that need not be there yet; nil where the system does
    /// not say.
    static func freeBytes(_ path: String) -> Int? {
        var folder = path
        while !folder.isEmpty {
            var disk = statvfs()
            if statvfs(folder, &disk) == 0 { return Int(clamping: UInt64(disk.f_bavail) * UInt64(disk.f_frsize)) }
            guard let slash = folder.lastIndex(of: "/") else { break }
            folder = slash == folder.startIndex && folder.count > 1 ? "/" : String(folder[..<slash])
        }
        var disk = statvfs()
        return statvfs(".", &disk) == 0 ? Int(clamping: UInt64(disk.f_bavail) * UInt64(disk.f_frsize)) : nil
    }

    /// Whether a link's target stays inside a folder, all links followed.
    static func resolves(_ path: String, inside folder: String) -> Bool {
        guard let target = realpath(path, nil), let root = realpath(folder, nil) else { return false }
        defer {
            free(target)
            free(root)
        }
        return String(cString: target).hasPrefix(String(cString: root) + "/")
    }
}

extension FileSystem.Entry {
    fileprivate init(_ status: stat) {
        size = Int(status.st_size)
        isFile = status.st_mode & S_IFMT == S_IFREG
        isFolder = status.st_mode & S_IFMT == S_IFDIR
        allocated = Int(status.st_blocks) * 512
        device = UInt64(status.st_dev)
        inode = UInt64(status.st_ino)
        links = Int(status.st_nlink)
    }
}
