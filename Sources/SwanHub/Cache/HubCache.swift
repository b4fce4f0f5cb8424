import Crypto
import FoundationEssentials
import Glibc
import SwanDiagnostics

/// The cache that the Hugging Face tools share: contents by their hash, and snapshots of links to them.
///
/// ```
/// .locks/models--owner--name/HASH.lock     held while a content is fetched
/// models--owner--name/blobs/HASH           a content
/// models--owner--name/refs/REVISION        the commit that a branch or tag stands for
/// models--owner--name/snapshots/COMMIT/…   links into blobs, by the paths of the repository
/// models--owner--name/trees/COMMIT.json    sizes and hashes of a commit's files
/// ```
///
/// Source: huggingface/huggingface_hub at ee0a4510, `file_download.py`, `_tree_cache.py`.
struct HubCache: Sendable {
    /// The folder of all repositories.
    let root: String

    /// A repository of models.
    func repository(_ id: String) -> CachedRepository {
        CachedRepository(root: root, name: "models--" + id.split(separator: "/").joined(separator: "--"))
    }

    /// Marks the folder for backup programs, as the hub's tools do.
    func prepare() throws(SwanError) {
        try FileSystem.makeFolder(root)
        let tag = root + "/CACHEDIR.TAG"
        guard FileSystem.entry(tag) == nil else { return }
        let text = "Signature: 8a477f597d28d172789f06886806bc55\n# Models that were fetched and can be fetched again.\n"
        try FileSystem.write(Array(text.utf8), to: tag)
    }
}

/// A repository's folder of the cache.
struct CachedRepository: Sendable {
    let folder: String
    private let locks: String

    fileprivate init(root: String, name: String) {
        folder = "\(root)/\(name)"
        locks = "\(root)/.locks/\(name)"
    }

    /// Where a content is, and where it is while it arrives.
    func places(_ hash: FileHash) -> DownloadPlaces {
        let name = hash.digits
        // The digits spell "swan". A name of its own is neither appended to nor taken for finished by other tools;
        // a constant one is found again by the next run.
        return DownloadPlaces(
            destination: "\(folder)/blobs/\(name)", partial: "\(folder)/blobs/\(name).\(Self.mark).incomplete",
            progress: "\(locks)/\(name).progress", lock: "\(locks)/\(name).lock",
            prefix: "\(folder)/blobs/\(name).incomplete")
    }

    private static let mark = "7377616e"

    func snapshot(_ commit: String) -> String { "\(folder)/snapshots/\(commit)" }

    // MARK: Revisions

    /// The commit that a revision stood for last.
    func commit(_ revision: String) -> String? {
        if FileHash(digits: revision) == .gitBlob(revision) { return revision }
        guard isSafe(revision) else { return nil }
        let text = FileSystem.text("\(folder)/refs/\(revision)")?.split(whereSeparator: \.isWhitespace).first
        return text.map(String.init).flatMap { FileHash(digits: $0) == .gitBlob($0) ? $0 : nil }
    }

    /// Notes what a revision stands for, unless that is known.
    func write(commit: String, for revision: String) throws(SwanError) {
        guard revision != commit, isSafe(revision), self.commit(revision) != commit else { return }
        try FileSystem.write(Array(commit.utf8), to: "\(folder)/refs/\(revision)")
    }

    private func isSafe(_ revision: String) -> Bool {
        !revision.isEmpty && !revision.hasPrefix("/")
            && revision.split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
                !$0.isEmpty && $0 != "." && $0 != ".." && !$0.contains("\0")
            }
    }

    // MARK: Files

    /// Whether a file of a snapshot is there: a content by its name, or a plain file where links cannot be made.
    func has(_ file: HubFile, in commit: String) -> Bool {
        let path = "\(snapshot(commit))/\(file.path)"
        return FileSystem.isFile(path, size: file.size) && FileSystem.resolves(path, inside: folder)
    }

    /// Whether a file's content is there, linked or not.
    func hasContent(_ file: HubFile) -> Bool { FileSystem.isFile(places(file.hash).destination, size: file.size) }

    /// Puts a link to a file's content into a snapshot, in place of what may be there.
    ///
    /// - Throws: `hub.cache-unwritable`.
    func link(_ file: HubFile, in commit: String) throws(SwanError) {
        guard !has(file, in: commit) else { return }
        let path = "\(snapshot(commit))/\(file.path)"
        try FileSystem.makeFolder(above: path)
        let depth = file.path.split(separator: "/").count + 1
        let target = String(repeating: "../", count: depth) + "blobs/" + file.hash.digits
        let temporary = "\(path).\(getpid()).link"
        unlink(temporary)
        if symlink(target, temporary) == 0 {
            guard rename(temporary, path) == 0 else {
                let error = FileSystem.error("rename", path)
                unlink(temporary)
                throw error
            }
            return
        }
        // A file system without links: a second name for the same bytes, which the hub's tools read as well.
        guard [EPERM, EOPNOTSUPP, ENOSYS].contains(errno) else { throw FileSystem.error("symlink", path) }
        unlink(path)
        guard Glibc.link("\(folder)/blobs/\(file.hash.digits)", path) == 0 else {
            throw FileSystem.error("link", path)
        }
    }

    // MARK: Lists

    private struct Tree: Codable {
        struct File: Codable {
            var size: Int
            var blob: String?
            var sha256: String?
            var largeSize: Int?

            private enum CodingKeys: String, CodingKey {
                case size, blob = "blob_id", sha256 = "lfs_sha256", largeSize = "lfs_size"
            }
        }

        var version: Int
        var files: [String: File]

        private enum CodingKeys: String, CodingKey { case version = "format_version", files }
    }

    /// Git's name of the pointer that stands in a repository for a large file: readers of lists ask for it.
    ///
    /// Source: the specification of Git LFS, version 1.
    private static func pointer(_ digits: String, _ size: Int) -> String {
        let text = "version https://git-lfs.github.com/spec/v1\noid sha256:\(digits)\nsize \(size)\n"
        var hash = Insecure.SHA1()
        hash.update(data: Array("blob \(text.utf8.count)\0\(text)".utf8))
        return hexadecimal(hash.finalize())
    }

    /// Keeps a listing, so that without the network it is known what belongs to the commit.
    func write(_ listing: HubListing) throws(SwanError) {
        let path = "\(folder)/trees/\(listing.commit).json"
        guard files(of: listing.commit) != listing.files else { return }
        var tree = Tree(version: 1, files: [:])
        for file in listing.files {
            switch file.hash {
            case .sha256(let digits):
                tree.files[file.path] = .init(
                    size: file.size, blob: Self.pointer(digits, file.size), sha256: digits, largeSize: file.size)
            case .gitBlob(let digits): tree.files[file.path] = .init(size: file.size, blob: digits)
            }
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            try FileSystem.write(Array(try encoder.encode(tree)), to: path)
        } catch let error as SwanError {
            throw error
        } catch {
            throw SwanError(.fault, "A list of files cannot be written as JSON.", cause: error)
        }
    }

    /// The files of a commit as they were listed; nil when that is not known.
    func files(of commit: String) -> [HubFile]? {
        guard let text = FileSystem.text("\(folder)/trees/\(commit).json", limit: 64 << 20),
            let tree = try? JSONDecoder().decode(Tree.self, from: Data(text.utf8)), tree.version == 1
        else { return nil }
        var files: [HubFile] = []
        for (path, file) in tree.files {
            guard let hash = FileHash(digits: file.sha256 ?? file.blob ?? ""),
                let file = try? HubFile(path: path, size: file.largeSize ?? file.size, hash: hash)
            else { return nil }
            files.append(file)
        }
        return files.sorted { $0.path < $1.path }
    }

    // MARK: Leftovers

    /// Removes what earlier runs began to fetch and nobody asks for any more.
    ///
    /// - Parameter kept: contents that are still wanted.
    func removePartials(except kept: Set<String>) {
        for name in FileSystem.names(locks) where name.hasSuffix(".progress") {
            let digits = String(name.dropLast(".progress".count))
            guard !kept.contains(digits), let hash = FileHash(digits: digits) else { continue }
            let places = places(hash)
            // Somebody who holds the lock is fetching it just now.
            guard let lock = try? FileLock(places.lock) else { continue }
            withExtendedLifetime(lock) {
                unlink(places.partial)
                unlink(places.progress)
            }
        }
    }
}
