import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import SwanDiagnostics

/// A request that failed, before it is known what that means to who asked.
struct WebFailure: Error {
    enum Reason {
        /// The server answered with an error.
        case status(Int)
        /// No connection, or it broke; the text says how.
        case connection(String)
        /// The answer is something else than what was asked for; the text says what.
        case content(String)
    }

    var reason: Reason
    /// The address without what may be secret in it.
    var address: String
    /// What the server says in `X-Error-Code` and `X-Error-Message`, or in the body.
    var code, message: String?
    /// Seconds that the server asks to wait.
    var wait: Double?
    var cause: (any Error)?

    /// Whether another try may help.
    var isTemporary: Bool {
        switch reason {
        case .status(let status): [408, 425, 429, 500, 502, 503, 504].contains(status)
        case .connection, .content: true
        }
    }

    var status: Int? { if case .status(let status) = reason { status } else { nil } }

    /// What happened, as the end of a sentence.
    var text: String {
        switch reason {
        case .status(let status): "it answers with status \(status)" + (message.map { " (\($0.printable()))" } ?? "")
        case .connection(let text), .content(let text): text
        }
    }

    init(_ reason: Reason, _ url: URL, cause: (any Error)? = nil) {
        (self.reason, self.cause) = (reason, cause)
        address = Self.address(url)
    }

    /// An address without login, query and fragment: signed addresses carry their key there.
    static func address(_ url: URL) -> String {
        let port = url.port.map { ":\($0)" } ?? ""
        return "\(url.scheme ?? "")://\(url.host() ?? "")\(port)\(url.path(percentEncoded: true))".printable()
    }

    /// An error of the client.
    init(_ error: any Error, _ url: URL, stallSeconds: Double) {
        let text =
            switch error {
            case let error as HTTPClientError: Self.text(error, stallSeconds)
            case let error as NIOConnectionError:
                error.connectionErrors.isEmpty
                    ? "its name cannot be resolved"
                    : "it cannot be connected to: \(Self.text(error.connectionErrors[0].error))"
            case let error as IOError: Self.text(error)
            case let error as NIOSSLError: "TLS failed: \(error)"
            case let error as BoringSSLError: "TLS failed: \(error)"
            default: "the connection failed: \(error)"
            }
        self.init(.connection(text.printable(limit: 400)), url, cause: nil)
    }

    private static func text(_ error: HTTPClientError, _ stallSeconds: Double) -> String {
        switch error {
        case .readTimeout: "nothing came for \(formatted(seconds: stallSeconds))"
        case .connectTimeout: "it could not be connected to in time"
        case .remoteConnectionClosed, .uncleanShutdown: "the connection was closed too early"
        case .proxyAuthenticationRequired: "the proxy asks for a login"
        case .invalidProxyResponse: "the proxy refuses the connection"
        default: "the connection failed: \(error)"
        }
    }

    private static func text(_ error: any Error) -> String {
        (error as? IOError).map { SystemError(number: $0.errnoCode).text } ?? "\(error)"
    }
}
