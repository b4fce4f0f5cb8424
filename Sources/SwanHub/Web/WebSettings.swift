package import FoundationEssentials
public import SwanDiagnostics

/// How the network is reached: proxies, certificates, patience.
public struct WebSettings: Sendable {
    /// A proxy.
    package struct Proxy: Sendable, Hashable {
        package enum Kind: Sendable, Hashable {
            /// HTTP, by CONNECT for targets under TLS.
            case http
            /// SOCKS version 5.
            case socks
        }

        package var kind: Kind
        package var host: String
        package var port: Int
        /// `user:password`, to be sent to the proxy only.
        package var login: String?
    }

    /// How often and after which times something is tried again.
    public struct Retries: Sendable {
        /// Tries in a row that may bring nothing.
        public var count = 6
        /// Seconds before the second try; each further wait is twice as long.
        public var firstDelay = 1.0
        /// Seconds of the longest wait of our own; a server may ask for more, up to `longestRequestedDelay`.
        public var longestDelay = 30.0
        /// Seconds that a server may ask for before we give up instead.
        public var longestRequestedDelay = 300.0

        /// Seconds to wait after a number of failures in a row, with a tenth to a half of it by chance, so that
        /// many programs do not come back at the same moment.
        func delay(after failures: Int) -> Double {
            let delay = firstDelay * Double(1 << min(max(failures - 1, 0), 16))
            return min(delay, longestDelay) * Double.random(in: 0.5 ... 1)
        }
    }

    /// A file of certificates in PEM form that are trusted in place of the system's; nil for the system's.
    var certificateFile: String?
    /// Seconds for a connection to be made.
    var connectSeconds = 10.0
    /// Seconds without a byte after which a connection counts as dead.
    public var stallSeconds = 30.0
    /// When something is tried again.
    public var retries = Retries()
    private var proxies: [String: Proxy] = [:]
    private var direct: [String] = []

    /// Reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` in lower case and upper case, and
    /// `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE` and `CURL_CA_BUNDLE`.
    ///
    /// - Throws: `hub.bad-request` for a proxy that is no address, or of an unknown kind.
    public init(environment: [String: String]) throws(SwanError) {
        func value(_ names: String...) -> String? {
            names.lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
        }
        certificateFile = value("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        let all = value("all_proxy", "ALL_PROXY")
        // Lower case first, as curl does: only programs of a web server may set the upper-case HTTP_PROXY.
        for (scheme, text) in [
            ("https", value("https_proxy", "HTTPS_PROXY") ?? all), ("http", value("http_proxy", "HTTP_PROXY") ?? all),
        ] {
            if let text { proxies[scheme] = try Self.proxy(text) }
        }
        direct = (value("no_proxy", "NO_PROXY") ?? "").split(separator: ",").map {
            $0.filter { !$0.isWhitespace }.lowercased()
        }.filter { !$0.isEmpty }
    }

    private static func proxy(_ text: String) throws(SwanError) -> Proxy {
        let address = text.contains("://") ? text : "http://" + text
        guard let url = URL(string: address), let scheme = url.scheme?.lowercased(), let host = url.host(),
            !host.isEmpty
        else {
            throw SwanError(
                .badRequest, "A proxy of the environment is no address: '\(withoutLogin(text).printable())'.",
                advice: "Write it as http://host:port, or unset HTTPS_PROXY, HTTP_PROXY and ALL_PROXY.")
        }
        var login: String?
        if let user = url.user(percentEncoded: false) {
            login = user + ":" + (url.password(percentEncoded: false) ?? "")
        }
        switch scheme {
        case "http": return Proxy(kind: .http, host: host, port: url.port ?? 80, login: login)
        case "socks5", "socks5h", "socks":
            guard login == nil else {
                throw SwanError(
                    .badRequest, "The SOCKS proxy \(host) asks for a login, which Swan cannot give.",
                    advice: "Use an HTTP proxy, or a SOCKS proxy without a login.")
            }
            return Proxy(kind: .socks, host: host, port: url.port ?? 1080, login: nil)
        default:
            throw SwanError(
                .badRequest, "A proxy of the kind '\(scheme.printable())' was set; http and socks5 can be used.",
                advice: "Set HTTPS_PROXY to an address that begins with http:// or socks5://.")
        }
    }

    private static func withoutLogin(_ text: String) -> String {
        text.lastIndex(of: "@").map { String(text[text.index(after: $0)...]) } ?? text
    }

    /// The proxy for an address; nil where it is reached directly.
    package func proxy(for url: URL) -> Proxy? {
        guard let scheme = url.scheme?.lowercased(), let proxy = proxies[scheme], let host = url.host()?.lowercased()
        else { return nil }
        let port = url.port ?? (scheme == "https" ? 443 : 80)
        for entry in direct {
            if entry == "*" { return nil }
            var name = entry[...]
            if let colon = name.lastIndex(of: ":"), let number = Int(name[name.index(after: colon)...]),
                name.firstIndex(of: ":") == colon
            {
                guard number == port else { continue }
                name = name[..<colon]
            }
            if name.hasPrefix("*") { name = name.dropFirst() }
            if name.hasPrefix(".") { name = name.dropFirst() }
            if host == name || host.hasSuffix("." + name) { return nil }
        }
        return proxy
    }
}
