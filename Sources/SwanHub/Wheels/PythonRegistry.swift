import FoundationEssentials
import NIOHTTP1
package import SwanDiagnostics

/// Python's package registry, as far as wheels of libraries are fetched from it.
///
/// Source: the simple repository interface of packaging.python.org, in its JSON and its HTML form.
package struct PythonRegistry: Sendable {
    private let settings: RegistrySettings
    private let userAgent: String

    /// - Parameter userAgent: how servers are told who asks.
    package init(_ settings: RegistrySettings, userAgent: String) {
        (self.settings, self.userAgent) = (settings, userAgent)
    }

    /// The wheels of a project, in any order.
    ///
    /// - Parameter isCancelled: asked several times a second.
    /// - Throws: `hub.not-found`, `hub.refused`, `hub.unreachable`, `hub.bad-answer`, `hub.bad-request`, `cancelled`.
    package func wheels(
        of project: String, isCancelled: @escaping @Sendable () -> Bool = { false }
    ) async throws(SwanError) -> [Wheel] {
        guard let url = URL(string: "\(settings.index)/\(project)/"), url.host() != nil else {
            throw SwanError(
                .badRequest, "The address of the Python registry is none.",
                advice: "Correct PIP_INDEX_URL, or index-url in pip.conf.")
        }
        return try await WebClient.with(settings.web, userAgent: userAgent) { client throws(SwanError) in
            try await stoppable(isCancelled) { () throws(SwanError) -> [Wheel] in
                do throws(WebFailure) {
                    let accepted = "application/vnd.pypi.simple.v1+json, text/html;q=0.1"
                    let answer = try await client.bytes(
                        Self.withoutLogin(url), fields: [("Accept", accepted)], credentials: credentials(url))
                    let type = answer.headers.first(name: "content-type") ?? ""
                    let wheels =
                        type.contains("json")
                        ? try Self.json(answer.bytes, answer.url) : Self.page(answer.bytes, answer.url)
                    return wheels
                } catch {
                    throw Self.error(error, project)
                }
            }
        }
    }

    /// Fetches and verifies a wheel.
    ///
    /// - Parameters:
    ///   - folder: where it goes; also where a download that was broken off goes on.
    ///   - progress: called several times a second with bytes that are here, and all.
    ///   - isCancelled: asked several times a second.
    /// - Returns: the file's path.
    /// - Throws: as ``wheels(of:)``; `hub.hash-mismatch`, `hub.cache-unwritable`, `cancelled`.
    package func fetch(
        _ wheel: Wheel, into folder: String, progress: @escaping @Sendable (Int, Int) -> Void,
        isCancelled: @escaping @Sendable () -> Bool
    ) async throws(SwanError) -> String {
        let path = "\(folder)/\(wheel.name)"
        let places = DownloadPlaces(
            destination: path, partial: path + ".incomplete", progress: path + ".progress", lock: path + ".lock",
            prefix: nil)
        return try await WebClient.with(settings.web, userAgent: userAgent) { client throws(SwanError) in
            let url = Self.withoutLogin(wheel.url)
            var size = wheel.size
            if size == nil {
                size = try await stoppable(isCancelled) { () throws(SwanError) -> Int? in
                    do throws(WebFailure) {
                        let answer = try await client.open(url, method: .HEAD, credentials: credentials(wheel.url))
                        guard answer.status == 200 else { throw WebFailure(.status(answer.status), url) }
                        return answer.length
                    } catch {
                        throw Self.error(error, wheel.name)
                    }
                }
            }
            guard let size else {
                throw SwanError(.badAnswer, "The registry does not say how large \(wheel.name) is.")
            }
            guard HubFile.sizes.contains(size) else {
                throw SwanError(
                    .badAnswer, "The registry lists \(wheel.name) with \(size) bytes, which no file has.",
                    advice: "Another registry may have it: PIP_INDEX_URL names one.")
            }
            if let free = FileSystem.freeBytes(folder), size > free {
                throw SwanError(
                    .noRoom,
                    "\(wheel.name) has \(formatted(bytes: size)), and \(formatted(bytes: free)) are free in"
                        + " \(folder.printable()).",
                    advice: "Make room, or set XDG_CACHE_HOME to a folder on another disk.")
            }
            let downloader = Downloader(client, DownloadSettings()) { _ in }
            let item = DownloadItem(
                name: wheel.name, size: size, hash: .sha256(wheel.sha256), url: url,
                credentials: credentials(wheel.url), places: places, error: { Self.error($0, wheel.name) })
            let download = Task { () async -> SwanError? in
                do throws(SwanError) {
                    try await downloader.fetch([item])
                    return nil
                } catch {
                    return error
                }
            }
            let ticker = Task {
                while !Task.isCancelled {
                    if isCancelled() { download.cancel() }
                    let count = downloader.count
                    progress(count.present + count.fetched, size)
                    try? await Task.sleep(for: .milliseconds(200))
                }
            }
            let problem = await download.value
            ticker.cancel()
            if let problem { throw problem }
            return path
        }
    }

    // MARK: Logins

    /// An address without a login: that goes into a header field.
    private static func withoutLogin(_ url: URL) -> URL {
        guard var parts = URLComponents(url: url, resolvingAgainstBaseURL: true) else { return url }
        (parts.user, parts.password, parts.fragment) = (nil, nil, nil)
        return parts.url ?? url
    }

    /// The login in the index's address, for its own host.
    private func credentials(_ url: URL) -> WebClient.Credentials? {
        guard let index = URL(string: settings.index), let user = index.user(percentEncoded: false) else { return nil }
        let login = Data((user + ":" + (index.password(percentEncoded: false) ?? "")).utf8).base64EncodedString()
        return .init(fields: [("Authorization", "Basic \(login)")], origin: Self.withoutLogin(index))
    }

    private static func error(_ failure: WebFailure, _ what: String) -> SwanError {
        switch failure.status {
        case 404?:
            SwanError(
                .notFound, "The Python registry has no \(what.printable()).",
                advice: "Another registry may have it: PIP_INDEX_URL names one.")
        case 401?, 403?:
            SwanError(
                .refused, "The Python registry refuses \(what.printable()).",
                advice: "Correct the login in PIP_INDEX_URL or pip.conf.")
        default:
            SwanError(
                .unreachable, "The Python registry cannot be used: \(failure.text) (\(failure.address)).",
                advice: "Check the network and the proxy (HTTPS_PROXY); PIP_INDEX_URL names another registry.",
                cause: failure.cause)
        }
    }

    // MARK: Lists

    private struct Project: Decodable {
        struct File: Decodable {
            var filename, url: String
            var hashes: [String: String]?
            var size: Int?
            var isYanked: Bool

            private enum CodingKeys: String, CodingKey { case filename, url, hashes, size, yanked }

            /// `yanked` is a Boolean or the reason for it.
            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                filename = try container.decode(String.self, forKey: .filename)
                url = try container.decode(String.self, forKey: .url)
                hashes = try container.decodeIfPresent([String: String].self, forKey: .hashes)
                size = try container.decodeIfPresent(Int.self, forKey: .size)
                let flag = try? container.decodeIfPresent(Bool.self, forKey: .yanked)
                isYanked = flag ?? ((try? container.decodeIfPresent(String.self, forKey: .yanked)) != nil)
            }
        }

        var files: [File]
    }

    static func json(_ bytes: [UInt8], _ url: URL) throws(WebFailure) -> [Wheel] {
        guard let project = try? JSONDecoder().decode(Project.self, from: Data(bytes)) else {
            throw WebFailure(.content("it answers with something that is no list of files"), url)
        }
        return project.files.compactMap { (file) -> Wheel? in
            guard !file.isYanked, let place = URL(string: file.url, relativeTo: url)?.absoluteURL else { return nil }
            return Wheel(name: file.filename, url: place, sha256: file.hashes?["sha256"], size: file.size)
        }
    }

    /// Links of the HTML form: `<a href="…/NAME#sha256=DIGITS" data-yanked="…">`.
    static func page(_ bytes: [UInt8], _ url: URL) -> [Wheel] {
        String(decoding: bytes, as: UTF8.self).split(separator: "<a ").dropFirst().compactMap { (link) -> Wheel? in
            guard let end = link.firstIndex(of: ">") else { return nil }
            let tag = link[..<end]
            guard !tag.contains("data-yanked"), let start = tag.firstRange(of: "href=\"")?.upperBound else {
                return nil
            }
            let address = tag[start...].prefix { $0 != "\"" }.split(
                separator: "&amp;", omittingEmptySubsequences: false
            )
            .joined(separator: "&")
            guard let place = URL(string: address, relativeTo: url)?.absoluteURL,
                let name = place.path(percentEncoded: false).split(separator: "/").last
            else { return nil }
            let fragment = place.fragment ?? ""
            let digits = fragment.hasPrefix("sha256=") ? String(fragment.dropFirst(7)) : nil
            return Wheel(name: String(name), url: place, sha256: digits, size: nil)
        }
    }
}
