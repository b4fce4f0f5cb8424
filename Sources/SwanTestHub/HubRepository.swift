import Crypto

/// A repository of a test's hub: files of one revision.
public struct HubRepository: Sendable {
    /// A file.
    public struct File: Sendable {
        /// Its path.
        public var path: String
        /// What it holds.
        public var content: HubContent
        /// Whether it is kept in storage of its own, under its SHA-256.
        public var isLarge: Bool
        /// SHA-256 and Git's SHA-1.
        public let sha256, gitBlob: String

        /// Notes a file; its hashes are computed.
        public init(_ path: String, _ content: HubContent, isLarge: Bool = false) {
            (self.path, self.content, self.isLarge) = (path, content, isLarge)
            (sha256, gitBlob) = (content.sha256, content.gitBlob)
        }

        /// The name of its content on Hugging Face.
        public var etag: String { isLarge ? sha256 : gitBlob }
    }

    /// `owner/name`.
    public var id: String
    /// The files.
    public var files: [File]
    /// The licence on the card.
    public var licence: String?
    /// Stands for what a commit holds beside the files.
    public var message = ""

    /// Makes a repository.
    public init(_ id: String, _ files: [File], licence: String? = "apache-2.0") {
        (self.id, self.files, self.licence) = (id, files, licence)
    }

    /// 40 digits that change with the files.
    public var commit: String {
        var hash = Insecure.SHA1()
        for file in files { hash.update(data: Array("\(file.path) \(file.sha256)\n".utf8)) }
        hash.update(data: Array(message.utf8))
        return hexadecimal(hash.finalize())
    }
}
