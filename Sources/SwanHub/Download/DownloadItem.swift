import FoundationEssentials
import NIOHTTP1
import SwanDiagnostics

/// One content to be fetched: from where, what it has to be, where to.
package struct DownloadItem: Sendable {
    /// How messages name it.
    var name: String
    /// Its bytes.
    var size: Int
    /// What its content has to be.
    var hash: FileHash
    /// Where it is asked for; may redirect.
    var url: URL
    /// What proves who asks.
    var credentials: WebClient.Credentials?
    /// Where it goes.
    var places: DownloadPlaces
    /// What is different from what was listed, by the first answer's headers; nil when nothing is.
    var difference: @Sendable (HTTPHeaders) -> String? = { _ in nil }
    /// What a failed request means.
    var error: @Sendable (WebFailure) -> SwanError
}

/// How many bytes are where, at one moment.
package struct DownloadCount: Sendable, Hashable {
    /// Bytes that were there before, or that another program fetched.
    var present = 0
    /// Bytes that this run fetched and kept.
    var fetched = 0
    /// Bytes of finished files whose hash is computed, and how many of them are through.
    var verifying = 0
    /// The file whose hash is computed.
    var verifiedName: String?
    /// Files that are finished.
    var finished = 0
    /// Failures since the last byte.
    var failures = 0
    /// Bytes that the network brought, those of dropped files included.
    var received = 0
}

/// What happens while files are fetched, beside the bytes that are counted.
package enum DownloadEvent: Sendable {
    /// A remark.
    case note(String)
    /// A file is finished and verified; whether it had to be fetched.
    case finished(DownloadItem, isFetched: Bool)
}
