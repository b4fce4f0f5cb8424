import AsyncHTTPClient
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOSSL
package import SwanDiagnostics
import Synchronization

/// Requests over HTTP and HTTPS, through proxies where the environment names them.
///
/// Redirects are followed here and not by the client underneath, so that a secret goes to no other host and the
/// headers on the way can be read.
package final class WebClient: Sendable {
    /// What proves who asks, and where it may be sent.
    package struct Credentials: Sendable {
        /// Header fields.
        var fields: [(name: String, value: String)]
        /// The only host and port that gets them.
        var origin: URL

        /// Whether an address may see them: the same host and port, under TLS or on this machine.
        func fit(_ url: URL) -> Bool {
            guard url.host()?.lowercased() == origin.host()?.lowercased(), url.port == origin.port,
                url.scheme?.lowercased() == origin.scheme?.lowercased()
            else { return false }
            return url.scheme?.lowercased() == "https" || ["127.0.0.1", "localhost", "::1"].contains(url.host() ?? "")
        }
    }

    /// An answer whose body has not come yet.
    struct Answer {
        /// The address that gave it, redirects followed.
        var url: URL
        var status: Int
        var headers: HTTPHeaders
        /// Headers of the first answer, where that was a redirect.
        var firstHeaders: HTTPHeaders
        var body: HTTPClientResponse.Body

        /// Length of the body, if the server says.
        var length: Int? { headers.first(name: "content-length").flatMap { Int($0) } }
    }

    private let settings: WebSettings
    private let userAgent: String
    private let clients = Mutex<[WebSettings.Proxy?: HTTPClient]>([:])

    private init(_ settings: WebSettings, userAgent: String) {
        (self.settings, self.userAgent) = (settings, userAgent)
    }

    var retries: WebSettings.Retries { settings.retries }

    /// Lends a client, and closes its connections afterwards.
    package static func with<T: Sendable>(
        _ settings: WebSettings, userAgent: String, _ body: (WebClient) async throws(SwanError) -> T
    ) async throws(SwanError) -> T {
        let client = WebClient(settings, userAgent: userAgent)
        do throws(SwanError) {
            let value = try await body(client)
            await client.close()
            return value
        } catch {
            await client.close()
            throw error
        }
    }

    private func close() async {
        let open = clients.withLock { clients in
            defer { clients = [:] }
            return Array(clients.values)
        }
        for client in open { try? await client.shutdown() }
    }

    private func client(for url: URL) throws(WebFailure) -> HTTPClient {
        let proxy = settings.proxy(for: url)
        if let client = clients.withLock({ $0[proxy] }) { return client }
        var tls = TLSConfiguration.makeClientConfiguration()
        if let file = settings.certificateFile {
            do {
                tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMFile(file))
            } catch {
                throw WebFailure(
                    .connection("the certificates in \(file.printable()) cannot be read (\(error))"), url)
            }
        }
        var configuration = HTTPClient.Configuration(
            tlsConfiguration: tls, redirectConfiguration: .disallow,
            timeout: .init(
                connect: .milliseconds(Int64(settings.connectSeconds * 1000)),
                read: .milliseconds(Int64(settings.stallSeconds * 1000))))
        // One connection for each range: that is what makes parallel ranges faster.
        configuration.httpVersion = .http1Only
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        // What is tried again, and when, is decided here.
        configuration.connectionPool.retryConnectionEstablishment = false
        if let proxy {
            switch proxy.kind {
            case .socks: configuration.proxy = .socksServer(host: proxy.host, port: proxy.port)
            case .http:
                configuration.proxy = .server(
                    host: proxy.host, port: proxy.port,
                    authorization: proxy.login.map { .basic(credentials: Data($0.utf8).base64EncodedString()) })
            }
        }
        let made = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
        // Two may have been made at the same moment.
        let kept = clients.withLock { clients in
            if let other = clients[proxy] { return other }
            clients[proxy] = made
            return made
        }
        if kept !== made { Task { try? await made.shutdown() } }
        return kept
    }

    // MARK: Requests

    /// Asks once, following redirects.
    ///
    /// - Returns: the first answer that is no redirect, whatever its status.
    func open(
        _ url: URL, method: HTTPMethod = .GET, fields: [(name: String, value: String)] = [],
        credentials: Credentials? = nil
    ) async throws(WebFailure) -> Answer {
        var url = url
        var firstHeaders: HTTPHeaders?
        for _ in 0 ..< 10 {
            var request = HTTPClientRequest(url: url.absoluteString)
            request.method = method
            request.headers.add(name: "User-Agent", value: userAgent)
            // Compressed answers have no length, and ranges of them mean something else.
            request.headers.add(name: "Accept-Encoding", value: "identity")
            for field in fields { request.headers.replaceOrAdd(name: field.name, value: field.value) }
            if let credentials, credentials.fit(url) {
                for field in credentials.fields { request.headers.replaceOrAdd(name: field.name, value: field.value) }
            }
            let response: HTTPClientResponse
            do {
                response = try await client(for: url).execute(request, deadline: .distantFuture)
            } catch let failure as WebFailure {
                throw failure
            } catch {
                throw WebFailure(error, url, stallSeconds: settings.stallSeconds)
            }
            let status = Int(response.status.code)
            guard [301, 302, 303, 307, 308].contains(status), let place = response.headers.first(name: "location")
            else {
                return Answer(
                    url: url, status: status, headers: response.headers,
                    firstHeaders: firstHeaders ?? response.headers, body: response.body)
            }
            firstHeaders = firstHeaders ?? response.headers
            guard let next = URL(string: place, relativeTo: url)?.absoluteURL,
                let scheme = next.scheme?.lowercased(), next.host() != nil,
                scheme == "https" || (scheme == "http" && url.scheme?.lowercased() == "http")
            else {
                throw WebFailure(.content("it redirects to something that is no safe address"), url)
            }
            url = next
        }
        throw WebFailure(.content("it redirects more than 10 times"), url)
    }

    /// Asks until there is an answer, and takes it whole.
    ///
    /// - Parameter limit: bytes that the answer may have.
    func bytes(
        _ url: URL, fields: [(name: String, value: String)] = [], credentials: Credentials? = nil,
        limit: Int = 64 << 20
    ) async throws(WebFailure) -> (bytes: [UInt8], headers: HTTPHeaders, url: URL) {
        var failures = 0
        while true {
            do throws(WebFailure) {
                let answer = try await open(url, fields: fields, credentials: credentials)
                guard answer.status == 200 else { throw await failure(answer) }
                return (try await collect(answer, limit: limit), answer.headers, answer.url)
            } catch {
                failures += 1
                try await pause(after: error, failures)
            }
        }
    }

    /// Waits before the next try.
    ///
    /// - Throws: the failure itself, when another try is not worth it.
    func pause(after failure: WebFailure, _ failures: Int) async throws(WebFailure) {
        guard failure.isTemporary, failures < settings.retries.count,
            failure.wait ?? 0 <= settings.retries.longestRequestedDelay
        else { throw failure }
        let seconds = max(failure.wait ?? 0, settings.retries.delay(after: failures))
        do { try await Task.sleep(for: .seconds(seconds)) } catch { throw failure }
    }

    private func collect(_ answer: Answer, limit: Int) async throws(WebFailure) -> [UInt8] {
        do {
            var bytes: [UInt8] = []
            for try await chunk in answer.body {
                bytes.append(contentsOf: chunk.readableBytesView)
                guard bytes.count <= limit else {
                    throw WebFailure(.content("its answer is longer than \(formatted(bytes: limit))"), answer.url)
                }
            }
            if let length = answer.length, length != bytes.count {
                throw WebFailure(.connection("its answer has \(bytes.count) of \(length) bytes"), answer.url)
            }
            return bytes
        } catch let failure as WebFailure {
            throw failure
        } catch {
            throw WebFailure(error, answer.url, stallSeconds: settings.stallSeconds)
        }
    }

    /// An error of the body of an answer.
    func failure(_ error: any Error, _ answer: Answer) -> WebFailure {
        (error as? WebFailure) ?? WebFailure(error, answer.url, stallSeconds: settings.stallSeconds)
    }

    /// What an answer with an error says.
    func failure(_ answer: Answer) async -> WebFailure {
        var failure = WebFailure(.status(answer.status), answer.url)
        failure.code = answer.headers.first(name: "x-error-code")
        failure.message = answer.headers.first(name: "x-error-message")
        failure.wait = Self.wait(answer.headers)
        // The body of some answers says more; what is no short text is left alone.
        if failure.message == nil, let body = try? await collect(answer, limit: 1 << 14),
            let reply = try? JSONDecoder().decode(ErrorReply.self, from: Data(body))
        {
            failure.message = reply.error ?? reply.message
        }
        return failure
    }

    private struct ErrorReply: Decodable {
        /// Of Hugging Face, and of ModelScope.
        var error, message: String?

        private enum CodingKeys: String, CodingKey { case error, message = "Message" }
    }

    /// Seconds to wait by `Retry-After`, or by the `t` of `RateLimit: "api";r=0;t=55`; 10^6 stand for more.
    static func wait(_ headers: HTTPHeaders) -> Double? {
        func seconds(_ text: some StringProtocol) -> Double? {
            Double(text).flatMap { $0 >= 0 ? min($0, 1e6) : nil }
        }
        if let text = headers.first(name: "retry-after"), let seconds = seconds(text) { return seconds }
        guard let limit = headers.first(name: "ratelimit") else { return nil }
        let fields = limit.split(separator: ";").map { $0.filter { !$0.isWhitespace } }
        guard fields.contains("r=0"), let time = fields.first(where: { $0.hasPrefix("t=") }) else { return nil }
        return seconds(time.dropFirst(2))
    }
}
