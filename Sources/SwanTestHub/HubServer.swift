import Crypto
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization

/// A model hub on loopback that speaks the protocols of Hugging Face and of ModelScope, and misbehaves on request.
///
/// Large files are redirected to another host (`localhost` in place of `127.0.0.1`) with a signature in the address.
public final class HubServer: Sendable {
    /// What goes wrong with a request.
    public enum Fault: Sendable, Hashable {
        /// An answer with a status, and header fields.
        case status(Int, [String: String] = [:])
        /// The connection ends after some bytes of the body.
        case closed(afterBytes: Int)
        /// Nothing more comes after some bytes of the body.
        case stalled(afterBytes: Int)
        /// A bit of the body is another.
        case wrongByte(at: Int)
        /// The range that was asked for is ignored.
        case ignoredRange
        /// A range that begins elsewhere.
        case otherRange
        /// A web page of a login, with status 200.
        case loginPage
        /// Another text, with status 200.
        case text(String)
    }

    /// A request that came.
    public struct Request: Sendable {
        /// The method, and the path with its query.
        public var method, uri: String
        /// The header fields, names in lower case.
        public var fields: [String: String]
    }

    /// How the hub behaves.
    public struct Behaviour: Sendable {
        /// Only who has it may see anything.
        public var token: String?
        /// Signed addresses are good for so many requests.
        public var signatureUses = Int.max
        /// Ranges are ignored, always.
        public var ignoresRanges = false
        /// Entries of one page of a list.
        public var pageEntries = 1000
        /// The server that addresses of further pages name; nil for this one.
        public var pagesBase: String?
        /// Bytes a second of all bodies together.
        public var bytesPerSecond: Int?
        /// Bytes of all bodies together after which nothing more comes, until there is room for more: what a client has
        /// then is known exactly.
        public var bodyLimit: Int?
        /// Files whose content is not what the list says, always.
        public var wrongFiles: Set<String> = []
        /// What happens to the next requests whose address holds a text, each once.
        public var faults: [(text: String, fault: Fault)] = []
    }

    private struct State {
        var repositories: [String: [String: HubRepository]] = [:]
        var pages: [String: (type: String, file: HubRepository.File)] = [:]
        var behaviour = Behaviour()
        var requests: [Request] = []
        var bodyBytes = 0
        /// Answers that began before the last ``forget()`` are of an earlier epoch, and end.
        var epoch = 0
        var signatures: [String: Int] = [:]
        var nextSignature = 0
        var sendingFrom = ContinuousClock.now
    }

    private let state = Mutex(State())
    private let channel: any Channel
    private let slot = Slot()

    /// Breaks the circle between the channel, which needs the server, and the server, which needs the channel.
    private final class Slot: Sendable {
        private let server = Mutex<Weak>(Weak())

        private struct Weak: Sendable { weak var value: HubServer? }

        var value: HubServer? {
            get { server.withLock { $0.value } }
            set { server.withLock { $0 = Weak(value: newValue) } }
        }
    }

    /// Starts a hub at a free port.
    public init() throws {
        let slot = slot
        channel = try ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.backlog, value: 256)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline(withErrorHandling: true)
                    try channel.pipeline.syncOperations.addHandler(Handler(slot.value))
                }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        slot.value = self
    }

    deinit { channel.close(promise: nil) }

    /// The port on this machine.
    public var port: Int { channel.localAddress?.port ?? 0 }
    /// The hub's address.
    public var base: String { "http://127.0.0.1:\(port)" }

    // MARK: For tests

    /// Puts a repository under a revision of both hubs.
    public func add(_ repository: HubRepository, revisions: [String] = ["main", "master"]) {
        state.withLock { state in
            for revision in revisions + [repository.commit] {
                state.repositories[repository.id, default: [:]][revision] = repository
            }
        }
    }

    /// Serves something else at a path.
    public func serve(_ path: String, type: String, _ content: HubContent) {
        let file = HubRepository.File(path, content)
        state.withLock { $0.pages[path] = (type, file) }
    }

    /// Changes how the hub behaves.
    public func change(_ body: (inout Behaviour) -> Void) { state.withLock { body(&$0.behaviour) } }

    /// What came so far.
    public var requests: [Request] { state.withLock { $0.requests } }
    /// Bytes of bodies of files that were given out: never fewer than those that clients have.
    public var bodyBytes: Int { state.withLock { $0.bodyBytes } }
    /// Forgets requests and bytes, and breaks off what is still being sent.
    public func forget() {
        state.withLock { state in
            (state.requests, state.bodyBytes) = ([], 0)
            state.epoch += 1
        }
    }
    /// Faults that nothing has met yet.
    public var faultsLeft: Int { state.withLock { $0.behaviour.faults.count } }

    // MARK: Answers

    fileprivate struct Answer {
        var status: HTTPResponseStatus = .ok
        var fields: [(String, String)] = []
        var text: String?
        var content: (HubContent, Range<Int>)?
        var fault: Fault?
    }

    fileprivate func answer(_ head: HTTPRequestHead) -> Answer {
        let fields = Dictionary(head.headers.map { ($0.name.lowercased(), $0.value) }) { first, _ in first }
        let fault: Fault? = state.withLock { state in
            state.requests.append(Request(method: head.method.rawValue, uri: head.uri, fields: fields))
            guard let index = state.behaviour.faults.firstIndex(where: { head.uri.contains($0.text) }) else {
                return nil
            }
            return state.behaviour.faults.remove(at: index).fault
        }
        switch fault {
        case .status(let status, let more)?:
            return Answer(status: .init(statusCode: status), fields: more.map { ($0.key, $0.value) }, text: "{}")
        case .loginPage?:
            return Answer(fields: [("Content-Type", "text/html")], text: "<html>Please log in</html>")
        case .text(let text)?: return Answer(text: text)
        default: break
        }
        let uri = URL(string: "http://hub" + head.uri)
        let components = (uri?.path(percentEncoded: true) ?? "").split(separator: "/").map {
            String($0).removingPercentEncoding ?? String($0)
        }
        if let page = state.withLock({ $0.pages[uri?.path(percentEncoded: false) ?? ""] }) {
            if let token = state.withLock({ $0.behaviour.token }), fields["authorization"] != token {
                return Answer(status: .unauthorized, text: "{}")
            }
            var answer = send(page.file, fields, fault)
            answer.fields.append(("Content-Type", page.type))
            return answer
        }
        let query = Self.query(uri?.query(percentEncoded: true) ?? "")
        let behaviour = state.withLock { $0.behaviour }
        if components.first == "storage", components.count == 2 {
            return storage(components[1], signature: query["signature"] ?? "", fields, fault)
        }
        if let token = behaviour.token, !["Bearer \(token)", token].contains(fields["authorization"] ?? "") {
            return Answer(status: .unauthorized, text: "{}")
        }
        if components.count >= 5, components[0] == "api", components[1] == "v1" {
            return modelScope("\(components[3])/\(components[4])", Array(components[5...]), query, fields, fault)
        }
        if components.count >= 5, components[0] == "api", components[1] == "models" {
            var answer = list("\(components[2])/\(components[3])", Array(components[4...]), query, behaviour)
            answer.fault = fault
            return answer
        }
        if components.count >= 5, components[2] == "resolve" {
            return resolve(
                "\(components[0])/\(components[1])", components[3], components[4...].joined(separator: "/"), fields,
                fault)
        }
        return Answer(status: .notFound, text: "{}")
    }

    private static func query(_ text: String) -> [String: String] {
        var values: [String: String] = [:]
        for pair in text.split(separator: "&") {
            let parts = pair.split(separator: "=", maxSplits: 1).map {
                String($0.map { $0 == "+" ? " " : $0 }).removingPercentEncoding ?? ""
            }
            if parts.count == 2 { values[parts[0]] = parts[1] }
        }
        return values
    }

    private func repository(_ id: String, _ revision: String) -> HubRepository? {
        state.withLock { $0.repositories[id]?[revision] }
    }

    private func missing(_ id: String) -> Answer {
        let isKnown = state.withLock { $0.repositories[id] != nil }
        return Answer(
            status: isKnown ? .notFound : .unauthorized,
            fields: [("X-Error-Code", isKnown ? "RevisionNotFound" : "RepoNotFound")], text: "{}")
    }

    // MARK: Hugging Face

    private struct Entry: Encodable {
        struct LFS: Encodable {
            var oid: String
            var size: Int
            var pointerSize = 134
        }

        var type = "file"
        var path: String
        var size: Int
        var oid: String
        var lfs: LFS?
    }

    private func list(
        _ id: String, _ rest: [String], _ query: [String: String], _ behaviour: Behaviour
    ) -> Answer {
        let revision = rest.count > 1 ? rest[1] : "main"
        guard let repository = repository(id, revision) else { return missing(id) }
        if rest.first == "revision" {
            let licence = repository.licence.map { #"{"license":"\#($0)"}"# } ?? "{}"
            let siblings = repository.files.map { #"{"rfilename":"\#($0.path)"}"# }.joined(separator: ",")
            return Answer(
                text: #"{"id":"\#(id)","modelId":"\#(id)","sha":"\#(repository.commit)","private":false,"#
                    + #""tags":[],"cardData":\#(licence),"siblings":[\#(siblings)]}"#)
        }
        let from = query["cursor"].flatMap { Int($0) } ?? 0
        let until = min(from + behaviour.pageEntries, repository.files.count)
        let entries = repository.files[from ..< until].map { file in
            Entry(
                path: file.path, size: file.content.size, oid: file.gitBlob,
                lfs: file.isLarge ? .init(oid: file.sha256, size: file.content.size) : nil)
        }
        var answer = Answer(text: Self.json(entries))
        if until < repository.files.count {
            let path = "/api/models/\(id)/tree/\(revision)?recursive=true&expand=false&cursor=\(until)"
            answer.fields.append(("Link", "<\(behaviour.pagesBase ?? base)\(path)>; rel=\"next\""))
        }
        return answer
    }

    private static func json(_ value: some Encodable) -> String {
        (try? JSONEncoder().encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? ""
    }

    private func resolve(
        _ id: String, _ revision: String, _ path: String, _ fields: [String: String], _ fault: Fault?
    ) -> Answer {
        guard let repository = repository(id, revision) else { return missing(id) }
        guard let file = repository.files.first(where: { $0.path == path }) else {
            return Answer(status: .notFound, fields: [("X-Error-Code", "EntryNotFound")], text: "{}")
        }
        let known = [("X-Repo-Commit", repository.commit)]
        if file.isLarge {
            return Answer(
                status: .found,
                fields: known + [
                    ("X-Linked-Etag", "\"\(file.sha256)\""), ("X-Linked-Size", "\(file.content.size)"),
                    ("ETag", "\"\(file.sha256)\""), ("Location", signed(file)),
                ], text: "")
        }
        var answer = send(file, fields, fault)
        answer.fields += known + [("ETag", "\"\(file.gitBlob)\"")]
        return answer
    }

    // MARK: ModelScope

    private struct Reply: Encodable {
        struct Content: Encodable {
            var files: [File]

            private enum CodingKeys: String, CodingKey { case files = "Files" }
        }

        struct File: Encodable {
            var name, path, type: String
            var size: Int
            var sha256, revision: String
            var isLFS: Bool

            private enum CodingKeys: String, CodingKey {
                case name = "Name", path = "Path", type = "Type", size = "Size", sha256 = "Sha256"
                case revision = "Revision", isLFS = "IsLFS"
            }
        }

        var code = 200
        var isSuccess = true
        var data: Content

        private enum CodingKeys: String, CodingKey { case code = "Code", isSuccess = "Success", data = "Data" }
    }

    private func modelScope(
        _ id: String, _ rest: [String], _ query: [String: String], _ fields: [String: String], _ fault: Fault?
    ) -> Answer {
        guard let repository = repository(id, query["Revision"] ?? "master") else {
            return Answer(status: .notFound, text: #"{"Code":404,"Success":false,"Message":"record not found"}"#)
        }
        if rest == ["repo", "files"] {
            let root = query["Root"].map { $0 + "/" } ?? ""
            let isRecursive = query["Recursive"] == "True"
            var entries: [Reply.File] = []
            var folders: Set<String> = []
            for file in repository.files where file.path.hasPrefix(root) {
                let inner = file.path.dropFirst(root.count).split(separator: "/")
                if inner.count > 1, folders.insert(String(inner[0])).inserted {
                    entries.append(
                        .init(
                            name: String(inner[0]), path: root + inner[0], type: "tree", size: 0, sha256: "",
                            revision: repository.commit, isLFS: false))
                }
                guard isRecursive || inner.count == 1 else { continue }
                entries.append(
                    .init(
                        name: String(inner.last ?? ""), path: file.path, type: "blob", size: file.content.size,
                        sha256: file.sha256, revision: repository.commit, isLFS: file.isLarge))
            }
            // As the true one does, without a word.
            let limit = isRecursive ? Int.max : 1000
            return Answer(text: Self.json(Reply(data: .init(files: Array(entries.prefix(limit))))))
        }
        guard rest == ["repo"], let file = repository.files.first(where: { $0.path == query["FilePath"] }) else {
            return Answer(status: .notFound, text: #"{"Code":404,"Success":false,"Message":"file not found"}"#)
        }
        guard file.isLarge else { return send(file, fields, fault) }
        return Answer(status: .found, fields: [("Location", signed(file))], text: "")
    }

    // MARK: Contents

    private func signed(_ file: HubRepository.File) -> String {
        state.withLock { state in
            state.nextSignature += 1
            state.signatures["\(state.nextSignature)"] = state.behaviour.signatureUses
            return "http://localhost:\(port)/storage/\(file.sha256)?signature=\(state.nextSignature)"
        }
    }

    private func storage(
        _ digits: String, signature: String, _ fields: [String: String], _ fault: Fault?
    ) -> Answer {
        let isValid = state.withLock { state in
            guard let uses = state.signatures[signature], uses > 0 else { return false }
            state.signatures[signature] = uses - 1
            return true
        }
        guard isValid else { return Answer(status: .forbidden, text: "<Error>Request has expired</Error>") }
        let file = state.withLock { state in
            state.repositories.values.lazy.flatMap(\.values).flatMap(\.files).first { $0.sha256 == digits }
        }
        return file.map { send($0, fields, fault) } ?? Answer(status: .notFound, text: "")
    }

    private func send(_ file: HubRepository.File, _ fields: [String: String], _ fault: Fault?) -> Answer {
        let size = file.content.size
        var answer = Answer(fields: [("Accept-Ranges", "bytes")], fault: fault)
        let behaviour = state.withLock { $0.behaviour }
        if behaviour.wrongFiles.contains(file.path) { answer.fault = .wrongByte(at: size / 2) }
        answer.content = (file.content, 0 ..< size)
        let bounds = (fields["range"] ?? "").split { !("0" ... "9").contains($0) }.compactMap { Int($0) }
        guard !behaviour.ignoresRanges, fault != .ignoredRange, let start = bounds.first else { return answer }
        guard start < size else {
            return Answer(status: .rangeNotSatisfiable, fields: [("Content-Range", "bytes */\(size)")], text: "")
        }
        let end = min(bounds.count > 1 ? bounds[1] + 1 : size, size)
        answer.status = .partialContent
        let shift = fault == .otherRange && start > 0 ? 1 : 0
        answer.content = (file.content, (start - shift) ..< (end - shift))
        answer.fields.append(("Content-Range", "bytes \(start - shift)-\(end - shift - 1)/\(size)"))
        return answer
    }

    /// When the next bytes may go out, so that all bodies together keep to the rate.
    fileprivate func delay(for bytes: Int) -> Duration {
        state.withLock { state in
            guard let rate = state.behaviour.bytesPerSecond else { return .zero }
            let now = ContinuousClock.now
            let start = max(now, state.sendingFrom)
            state.sendingFrom = start + .nanoseconds(Int64(Double(bytes) / Double(rate) * 1e9))
            return start - now
        }
    }

    fileprivate var epoch: Int { state.withLock { $0.epoch } }

    /// Takes bytes for a body: as many as are wanted, or as the limit leaves; nil when the answer is to end.
    fileprivate func take(_ bytes: Int, _ epoch: Int) -> Int? {
        state.withLock { state in
            guard epoch == state.epoch else { return nil }
            let count = min(bytes, max(0, (state.behaviour.bodyLimit ?? .max) - state.bodyBytes))
            state.bodyBytes += count
            return count
        }
    }
}

/// One connection.
private final class Handler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private weak var server: HubServer?
    private var head: HTTPRequestHead?

    init(_ server: HubServer?) { self.server = server }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head, let server else { return context.close(promise: nil) }
            let epoch = server.epoch
            respond(head, server.answer(head), epoch, context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func respond(
        _ head: HTTPRequestHead, _ answer: HubServer.Answer, _ epoch: Int, _ context: ChannelHandlerContext
    ) {
        var fields = HTTPHeaders(answer.fields)
        let length = answer.text?.utf8.count ?? answer.content?.1.count ?? 0
        fields.replaceOrAdd(name: "Content-Length", value: "\(length)")
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: answer.status, headers: fields))),
            promise: nil)
        if head.method == .HEAD { return end(context) }
        if let text = answer.text {
            switch answer.fault {
            case .closed?:
                context.flush()
                return context.close(promise: nil)
            case .stalled?: return context.flush()
            default: break
            }
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
            return end(context)
        }
        guard let (content, range) = answer.content else { return end(context) }
        context.flush()
        stream(content, range, done: 0, answer.fault, epoch, context)
    }

    private func end(_ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }

    private func stream(
        _ content: HubContent, _ range: Range<Int>, done: Int, _ fault: HubServer.Fault?, _ epoch: Int,
        _ context: ChannelHandlerContext
    ) {
        guard context.channel.isActive, let server else { return }
        let loop = context.eventLoop.assumeIsolated()
        var count = min(64 << 10, range.count - done)
        switch fault {
        case .closed(let limit)?:
            count = min(count, limit - done)
            if count <= 0 { return context.close(promise: nil) }
        case .stalled(let limit)?:
            count = min(count, limit - done)
            if count <= 0 { return }
        default: break
        }
        guard count > 0 else { return end(context) }
        guard let taken = server.take(count, epoch) else { return context.close(promise: nil) }
        guard taken > 0 else {
            loop.scheduleTask(in: .milliseconds(5)) {
                self.stream(content, range, done: done, fault, epoch, context)
            }
            return
        }
        count = taken
        let start = range.lowerBound + done
        var bytes = content.bytes(start ..< start + count)
        if case .wrongByte(let place)? = fault, (start ..< start + count).contains(place) { bytes[place - start] ^= 1 }
        let delay = server.delay(for: count)
        loop.scheduleTask(
            in: .nanoseconds(delay.components.seconds * 1_000_000_000 + delay.components.attoseconds / 1_000_000_000)
        ) {
            guard context.channel.isActive else { return }
            let promise = context.eventLoop.makePromise(of: Void.self)
            promise.futureResult.assumeIsolated().whenSuccess {
                self.stream(content, range, done: done + count, fault, epoch, context)
            }
            context.writeAndFlush(self.wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: promise)
        }
    }
}
