import FoundationEssentials
import NIOHTTP1
import SwanDiagnostics

/// What is asked of a hub, in its own protocol.
protocol HubService: Sendable {
    var address: HubAddress { get }

    /// The files of a revision.
    ///
    /// - Throws: `hub.not-found`, `hub.refused`, `hub.rate-limited`, `hub.unreachable`, `hub.bad-answer`.
    func listing(of repository: String, revision: String, _ client: WebClient) async throws(SwanError) -> HubListing

    /// Where a file of a listing is fetched from.
    func url(of file: HubFile, in listing: HubListing) throws(SwanError) -> URL

    /// What proves who asks.
    func credentials() throws(SwanError) -> WebClient.Credentials?

    /// Whether the hub's answer about a file still speaks of what was listed.
    ///
    /// - Parameter headers: of the hub's own answer, which may be a redirect.
    /// - Returns: what is different, as the end of a sentence; nil when nothing is.
    func difference(_ headers: HTTPHeaders, _ file: HubFile, in listing: HubListing) -> String?
}

extension HubService {
    /// What a failed request means.
    ///
    /// - Parameter what: the repository, or a file of it.
    func error(_ failure: WebFailure, _ what: String, revision: String? = nil) -> SwanError {
        let title = address.title
        let message = failure.message.map { " (\($0.printable()))" } ?? ""
        let tokenAdvice =
            switch address.hub {
            case .huggingFace: "put a token into HF_TOKEN (made at \(address.base)/settings/tokens)"
            case .modelScope: "put a token into MODELSCOPE_API_TOKEN"
            }
        let isBadToken = failure.message?.contains("Invalid credentials") == true
        switch (failure.status, failure.code) {
        // Hugging Face answers 401 for what is not there and for what is private alike.
        case (401, "RepoNotFound"?), (404, "RepoNotFound"?):
            return notShown(what, message, tokenAdvice)
        case (401, nil) where !isBadToken:
            return notShown(what, message, tokenAdvice)
        case (_, "GatedRepo"?):
            return SwanError(
                .refused, "\(what) asks for consent to its terms\(message).",
                advice: "Read and accept them at \(address.base)/\(what), then \(tokenAdvice).")
        case (401, _):
            return SwanError(
                .refused, "\(title) does not accept the token\(message).",
                advice: "Correct HF_TOKEN, MODELSCOPE_API_TOKEN or the saved token, or take it away for public models.")
        case (403, _):
            return SwanError(
                .refused, "\(title) does not allow \(what) to be fetched\(message).",
                advice: "Use a token that may read it: \(tokenAdvice).")
        case (404, "RevisionNotFound"?):
            return SwanError(
                .notFound, "\(what) has no revision '\(revision?.printable() ?? "")' on \(title).",
                advice: "Name a branch, a tag or a whole commit that is there.")
        case (404, _), (410, _):
            return SwanError(
                .notFound,
                "\(title) has no \(what)\(revision.map { " at revision '\($0.printable())'" } ?? "")\(message).",
                advice: "Check the name and the revision.")
        case (429, _):
            return SwanError(
                .rateLimited,
                "\(title) asks to wait\(failure.wait.map { " for " + formatted(seconds: $0) } ?? "")\(message).",
                advice:
                    "Run the same command again later: what is here is kept. A token raises the limit: \(tokenAdvice).")
        case (416, _):
            return SwanError(
                .changed, "\(title) says that \(what) is shorter than it was listed.",
                advice: "Run the same command again: the list is read anew.")
        default:
            return SwanError(
                .unreachable, "\(title) cannot be used: \(failure.text) (\(failure.address)).",
                advice:
                    "Check the network and the proxy (HTTPS_PROXY), then run the same command again: what is here is"
                    + " kept. --from names another hub or a mirror.", cause: failure.cause)
        }
    }

    /// A repository that is missing or private: a hub does not say which.
    private func notShown(_ what: String, _ message: String, _ tokenAdvice: String) -> SwanError {
        SwanError(
            .notFound, "\(address.title) has no \(what), or shows it only to some\(message).",
            advice: "Check the name. If it is private or asks for consent, \(tokenAdvice).")
    }

    /// An answer in JSON.
    func decoded<T: Decodable>(_ type: T.Type, _ bytes: [UInt8], _ what: String) throws(SwanError) -> T {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw SwanError(
                .badAnswer, "\(address.title) answers about \(what) with something that is no list of files.",
                advice: "Check the address. A login page of the network gives such answers, too.", cause: error)
        }
    }

    /// Refuses a name that is no `owner/name`.
    func check(_ repository: String) throws(SwanError) {
        let parts = repository.split(separator: "/", omittingEmptySubsequences: false)
        let isPlain =
            parts.count == 2
            && parts.allSatisfy { part in
                !part.isEmpty && part.first != "." && !part.contains("--")
                    && part.utf8.allSatisfy {
                        (48 ... 57).contains($0) || (65 ... 90).contains($0) || (97 ... 122).contains($0) || $0 == 45
                            || $0 == 46 || $0 == 95
                    }
            }
        guard isPlain else {
            throw SwanError(
                .badRequest, "'\(repository.printable())' is no repository's name.",
                advice: "Write it as owner/name, or name a model of `swan models`.")
        }
    }
}
