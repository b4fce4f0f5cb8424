import FoundationEssentials
import SwanDiagnostics

/// A file as a hub lists it.
public struct HubFile: Sendable, Hashable, Codable {
    /// Its path in the repository, with `/` between folders.
    public var path: String
    /// Its bytes.
    public var size: Int
    /// What its content has to be.
    public var hash: FileHash

    /// Bytes that a file may have: 17.6 TB at most, so that sums of them are numbers.
    static let sizes = 0 ..< 1 << 44

    /// Refuses what would lead out of a folder, or cannot be a file's name on every system.
    ///
    /// - Throws: `hub.bad-answer` for a path that is absolute or has an empty component, `.`, `..`, a backslash, a
    ///   colon after one letter, or a control character; for a size that no file has.
    init(path: String, size: Int, hash: FileHash) throws(SwanError) {
        let components = path.split(separator: "/", omittingEmptySubsequences: false)
        let isSafe =
            !path.isEmpty && path.utf8.count <= 1024
            && components.allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." && $0.utf8.count <= 255 }
            && path.unicodeScalars.allSatisfy { $0.value >= 32 && $0.value != 127 && $0 != "\\" }
            && !(path.dropFirst().first == ":")
        guard isSafe else {
            throw SwanError(
                .badAnswer, "The hub lists a file with the unsafe name '\(path.printable())'.",
                advice: "Nothing was fetched. Name the files that you want with --include, or another repository.")
        }
        guard Self.sizes.contains(size) else {
            throw SwanError(
                .badAnswer, "The hub lists \(path.printable()) with \(size) bytes, which no file has.",
                advice: "Use another hub: --from.")
        }
        (self.path, self.size, self.hash) = (path, size, hash)
    }
}

/// The files of one revision of a repository.
public struct HubListing: Sendable {
    /// Where it is.
    public var hub: Hub
    /// `owner/name`.
    public var repository: String
    /// The branch, tag or commit that was asked for.
    public var revision: String
    /// What the revision stands for now: a commit, or for ModelScope, which names none, a digest of the list.
    public var commit: String
    /// All files, by path.
    public var files: [HubFile]
    /// The licence that the repository's card names, if it names one.
    public var licence: String?

    /// Notes a list.
    ///
    /// - Throws: `hub.bad-answer` when a path is listed twice, or twice but for upper and lower case; when all files
    ///   together have more than 10^15 bytes.
    init(
        hub: Hub, repository: String, revision: String, commit: String, files: [HubFile], licence: String?
    ) throws(SwanError) {
        var seen: Set<String> = []
        for file in files where !seen.insert(file.path.lowercased()).inserted {
            throw SwanError(
                .badAnswer, "The hub lists two files that are named \(file.path.printable()) but for upper case.")
        }
        var bytes = 0
        for file in files {
            bytes += file.size
            guard bytes <= 1_000_000_000_000_000 else {
                throw SwanError(
                    .badAnswer, "The hub lists more than \(formatted(bytes: 1_000_000_000_000_000)) of files.",
                    advice: "Use another hub: --from.")
            }
        }
        (self.hub, self.repository, self.revision, self.commit) = (hub, repository, revision, commit)
        (self.files, self.licence) = (files.sorted { $0.path < $1.path }, licence)
    }
}

/// A place where repositories are kept.
public typealias Hub = CatalogueModel.Repository.Hub

extension Hub {
    /// The branch that is meant where none is named.
    var defaultBranch: String {
        switch self {
        case .huggingFace: "main"
        case .modelScope: "master"
        }
    }
}

/// Where a hub is and who asks.
struct HubAddress: Sendable {
    var hub: Hub
    /// Without a slash at the end.
    var base: String
    /// Proves who asks; nil for public repositories.
    var token: String?

    /// How sentences name it: with the host where it is not the public one.
    var title: String {
        base == Self.publicBase(hub) ? hub.rawValue : "\(hub.rawValue)'s mirror \(base.printable())"
    }

    static func publicBase(_ hub: Hub) -> String {
        switch hub {
        case .huggingFace: "https://huggingface.co"
        case .modelScope: "https://www.modelscope.cn"
        }
    }

    /// An address below the hub's own.
    ///
    /// - Throws: `hub.bad-request` when the base is no address.
    func url(_ path: String) throws(SwanError) -> URL {
        guard let url = URL(string: base + path), let scheme = url.scheme?.lowercased(),
            ["http", "https"].contains(scheme), url.host() != nil
        else {
            throw SwanError(
                .badRequest, "The address of \(hub.rawValue) is none: '\(base.printable())'.",
                advice: "Write it as https://host, in --from, HF_ENDPOINT or MODELSCOPE_ENDPOINT.")
        }
        return url
    }
}

/// Percent-encodes all bytes but letters, digits, `-._~` and those of `kept`.
func percentEncoded(_ text: String, keeping kept: String = "") -> String {
    let plain = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8).union(kept.utf8)
    let digits = Array("0123456789ABCDEF".utf8)
    var bytes: [UInt8] = []
    for byte in text.utf8 {
        if plain.contains(byte) {
            bytes.append(byte)
        } else {
            bytes += [37, digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
    }
    return String(decoding: bytes, as: UTF8.self)
}
