import FoundationEssentials
import NIOHTTP1
import SwanDiagnostics

/// The protocol of Hugging Face, which its mirrors speak too.
///
/// Source: huggingface/huggingface_hub at ee0a4510, `hf_api.py` and `file_download.py`.
struct HuggingFaceHub: HubService {
    let address: HubAddress

    private struct Info: Decodable {
        struct Card: Decodable {
            var license: String?

            private enum CodingKeys: CodingKey { case license }

            /// A card may hold anything there; what is no text is no licence.
            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                license = try? container.decodeIfPresent(String.self, forKey: .license)
            }
        }

        var sha: String?
        var cardData: Card?
    }

    private struct Entry: Decodable {
        struct LFS: Decodable {
            var oid: String
            var size: Int
        }

        var type, path: String
        var size: Int?
        var oid: String?
        var lfs: LFS?
    }

    func listing(of repository: String, revision: String, _ client: WebClient) async throws(SwanError) -> HubListing {
        try check(repository)
        let credentials = try credentials()
        let asked = try address.url("/api/models/\(repository)/revision/\(percentEncoded(revision))")
        do {
            let info = try decoded(
                Info.self, await client.bytes(asked, credentials: credentials).bytes, repository)
            guard let commit = info.sha, FileHash(digits: commit) == .gitBlob(commit) else {
                throw SwanError(
                    .badAnswer, "\(address.title) names no commit of \(repository).",
                    advice: "Check the address: it does not answer as Hugging Face does.")
            }
            var files: [HubFile] = []
            var page: URL? = try address.url("/api/models/\(repository)/tree/\(commit)?recursive=true&expand=false")
            var pages = 0
            while let url = page {
                let answer = try await client.bytes(url, credentials: credentials)
                for entry in try decoded([Entry].self, answer.bytes, repository) where entry.type == "file" {
                    files.append(try file(entry))
                }
                pages += 1
                page = try nextPage(answer.headers, from: answer.url)
                guard page == nil || pages < 1000 else {
                    throw SwanError(
                        .badAnswer, "\(address.title) lists \(repository) on more than 1000 pages.",
                        advice: "Use another hub: --from.")
                }
            }
            return try HubListing(
                hub: .huggingFace, repository: repository, revision: revision, commit: commit, files: files,
                licence: info.cardData?.license)
        } catch let failure as WebFailure {
            throw error(failure, repository, revision: revision)
        } catch let error as SwanError {
            throw error
        } catch {
            throw SwanError(.fault, "The list of files could not be read.", cause: error)
        }
    }

    private func file(_ entry: Entry) throws(SwanError) -> HubFile {
        let digits = entry.lfs?.oid ?? entry.oid ?? ""
        // `sha256:` stands before the digits in pointers.
        let hash = FileHash(digits: digits.hasPrefix("sha256:") ? String(digits.dropFirst(7)) : digits)
        guard let hash, let size = entry.lfs?.size ?? entry.size else {
            throw SwanError(
                .badAnswer, "\(address.title) lists \(entry.path.printable()) without a size and a hash.",
                advice: "Without them nothing can be verified. Use another hub: --from.")
        }
        return try HubFile(path: entry.path, size: size, hash: hash)
    }

    /// The address of `Link: <…>; rel="next"`, at the hub's own address whatever host it names: mirrors hand on the
    /// links of the hub behind them, and the token goes nowhere else.
    private func nextPage(_ headers: HTTPHeaders, from url: URL) throws(SwanError) -> URL? {
        let links = headers[canonicalForm: "link"]
        guard let link = links.first(where: { $0.contains(#"rel="next""#) || $0.hasSuffix("rel=next") }) else {
            return nil
        }
        let base = try address.url("")
        guard let start = link.firstIndex(of: "<"), let end = link.firstIndex(of: ">"), start < end,
            let next = URL(string: String(link[link.index(after: start) ..< end]), relativeTo: url)?.absoluteURL,
            let asked = URLComponents(url: next, resolvingAgainstBaseURL: true),
            var parts = URLComponents(url: base, resolvingAgainstBaseURL: true)
        else { throw brokenPages(url) }
        // A mirror may be below a path of its host, and its own links then are, too.
        let isBelow = asked.percentEncodedPath.hasPrefix(parts.percentEncodedPath + "/")
        parts.percentEncodedPath = (isBelow ? "" : parts.percentEncodedPath) + asked.percentEncodedPath
        parts.percentEncodedQuery = asked.percentEncodedQuery
        guard let page = parts.url else { throw brokenPages(url) }
        return page
    }

    private func brokenPages(_ url: URL) -> SwanError {
        SwanError(
            .badAnswer, "\(address.title) does not say where its list goes on (\(WebFailure.address(url))).",
            advice: "Use another hub: --from.")
    }

    func url(of file: HubFile, in listing: HubListing) throws(SwanError) -> URL {
        try address.url("/\(listing.repository)/resolve/\(listing.commit)/\(percentEncoded(file.path, keeping: "/"))")
    }

    func credentials() throws(SwanError) -> WebClient.Credentials? {
        guard let token = address.token else { return nil }
        return .init(fields: [("Authorization", "Bearer \(token)")], origin: try address.url(""))
    }

    func difference(_ headers: HTTPHeaders, _ file: HubFile, in listing: HubListing) -> String? {
        if let commit = headers.first(name: "x-repo-commit"), commit != listing.commit {
            return "it answers for commit \(commit.printable(limit: 40)) instead of \(listing.commit)"
        }
        if let etag = headers.first(name: "x-linked-etag").map(Self.bare), etag != file.hash.digits {
            return "its hash is \(etag.printable(limit: 64)) now, and \(file.hash.digits) was listed"
        }
        if let size = headers.first(name: "x-linked-size").flatMap({ Int($0) }), size != file.size {
            return "it has \(size) bytes now, and \(file.size) were listed"
        }
        return nil
    }

    /// An ETag without `W/` and quotes.
    private static func bare(_ etag: String) -> String {
        let text = etag.hasPrefix("W/") ? etag.dropFirst(2) : etag[...]
        return text.filter { $0 != "\"" }.lowercased()
    }
}
