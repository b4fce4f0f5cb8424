import Crypto
import FoundationEssentials
import NIOHTTP1
import SwanDiagnostics

/// The protocol of ModelScope.
///
/// Source: modelscope 1.31.0, `modelscope/hub/api.py` and `file_download.py`.
struct ModelScopeHub: HubService {
    let address: HubAddress

    private struct Reply: Decodable {
        struct Content: Decodable {
            var files: [Entry]?

            private enum CodingKeys: String, CodingKey { case files = "Files" }
        }

        var code: Int?
        var message: String?
        var data: Content?

        private enum CodingKeys: String, CodingKey { case code = "Code", message = "Message", data = "Data" }
    }

    private struct Entry: Decodable {
        var path, type: String
        var size: Int?
        var sha256: String?

        private enum CodingKeys: String, CodingKey {
            case path = "Path", type = "Type", size = "Size", sha256 = "Sha256"
        }
    }

    /// Lists are cut without a word at some length; from this one on, folders are asked for one by one.
    private static let suspiciousLength = 900

    func listing(of repository: String, revision: String, _ client: WebClient) async throws(SwanError) -> HubListing {
        try check(repository)
        do {
            var entries = try await list(repository, revision, root: nil, isRecursive: true, client)
            if entries.count >= Self.suspiciousLength {
                entries = []
                var folders: [String?] = [nil]
                while let folder = folders.popLast() {
                    for entry in try await list(repository, revision, root: folder, isRecursive: false, client) {
                        if entry.type == "tree" { folders.append(entry.path) } else { entries.append(entry) }
                    }
                }
            }
            var files: [HubFile] = []
            for entry in entries where entry.type == "blob" {
                guard let size = entry.size, let digits = entry.sha256, let hash = FileHash(digits: digits),
                    case .sha256 = hash
                else {
                    throw SwanError(
                        .badAnswer, "\(address.title) lists \(entry.path.printable()) without a size and a hash.",
                        advice: "Without them nothing can be verified. Use another hub: --from.")
                }
                files.append(try HubFile(path: entry.path, size: size, hash: hash))
            }
            return try HubListing(
                hub: .modelScope, repository: repository, revision: revision, commit: Self.digest(files), files: files,
                licence: nil)
        } catch let failure as WebFailure {
            throw error(failure, repository, revision: revision)
        } catch let error as SwanError {
            throw error
        } catch {
            throw SwanError(.fault, "The list of files could not be read.", cause: error)
        }
    }

    private func list(
        _ repository: String, _ revision: String, root: String?, isRecursive: Bool, _ client: WebClient
    ) async throws -> [Entry] {
        var path = "/api/v1/models/\(repository)/repo/files?Revision=\(form(revision))"
        path += "&Recursive=\(isRecursive ? "True" : "False")"
        if let root { path += "&Root=\(form(root))" }
        let url = try address.url(path)
        let bytes = try await client.bytes(url, credentials: credentials()).bytes
        let reply = try decoded(Reply.self, bytes, repository)
        guard let files = reply.data?.files else {
            // Some errors come with status 200 and the true one inside.
            var failure = WebFailure(.status(reply.code ?? 404), url)
            failure.message = reply.message
            throw failure
        }
        return files
    }

    /// A name of the list's content in the form of a commit, which this hub does not give.
    static func digest(_ files: [HubFile]) -> String {
        var hash = Insecure.SHA1()
        for file in files.sorted(by: { $0.path < $1.path }) {
            hash.update(data: Array("\(file.path)\0\(file.hash.digits)\n".utf8))
        }
        return hexadecimal(hash.finalize())
    }

    /// Form encoding: a space is a plus, a slash is encoded.
    private func form(_ text: String) -> String {
        text.split(separator: " ", omittingEmptySubsequences: false).map { percentEncoded(String($0)) }
            .joined(separator: "+")
    }

    func url(of file: HubFile, in listing: HubListing) throws(SwanError) -> URL {
        try address.url(
            "/api/v1/models/\(listing.repository)/repo?Revision=\(form(listing.revision))&FilePath=\(form(file.path))")
    }

    func credentials() throws(SwanError) -> WebClient.Credentials? {
        guard let token = address.token else { return nil }
        return .init(
            fields: [("Authorization", "Bearer \(token)"), ("Cookie", "m_session_id=\(token)")],
            origin: try address.url(""))
    }

    /// Its answers name neither commit nor hash; size and hash of what arrives tell.
    func difference(_ headers: HTTPHeaders, _ file: HubFile, in listing: HubListing) -> String? { nil }
}
