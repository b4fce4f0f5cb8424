import AsyncHTTPClient
import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1
package import SwanDiagnostics
import Synchronization

/// How much is fetched at a time.
package struct DownloadSettings: Sendable {
    /// Connections at the same time.
    package var connections = 8
    /// Bytes of a piece: what one request asks for at most.
    package var pieceBytes = 32 << 20
    /// Seconds between looks at locks that others hold.
    package var lockSeconds = 0.5
    /// Bytes that are free on the disk of a path, if that is known; a test says so itself.
    package var freeBytes: @Sendable (String) -> Int? = { FileSystem.freeBytes($0) }

    package init() {}
}

/// Fetches contents in parallel pieces.
///
/// Workers take pieces from all files in order; a worker that finishes a file's last piece verifies and publishes
/// it while the others go on. A piece that fails is asked for again from where it ended, after a wait, as long as
/// some bytes come in between. Nothing gets its final name before its hash was found right.
package actor Downloader {
    /// A file that is being fetched.
    private final class OpenFile: Sendable {
        let item: DownloadItem
        let partial: PartialFile
        private let lock: FileLock
        /// Where the hub redirects to; signed for a while.
        let address = Mutex<URL?>(nil)
        private let pieces: Mutex<Pieces>
        private let whole = Atomic(false)

        private struct Pieces {
            /// Those that are not complete.
            var remaining: Int
            /// Those that workers are at.
            var inFlight = 0
        }

        init(_ item: DownloadItem, _ partial: PartialFile, _ lock: FileLock, pieces: Int) {
            (self.item, self.partial, self.lock) = (item, partial, lock)
            self.pieces = Mutex(Pieces(remaining: pieces))
        }

        /// Whether the server gives nothing less than the whole file, so that one worker takes it alone.
        var isWhole: Bool { whole.load(ordering: .acquiring) }

        func setWhole() { whole.store(true, ordering: .releasing) }

        /// Notes that a worker begins with a piece.
        func enter() { pieces.withLock { $0.inFlight += 1 } }

        /// Notes that a worker is done with a piece.
        ///
        /// - Returns: what is left to do for this worker, and for none of the others.
        func leave(_ outcome: Outcome) -> Remainder {
            pieces.withLock { pieces in
                pieces.inFlight -= 1
                if outcome == .complete { pieces.remaining -= 1 }
                // Two streams never write to one file's pieces: the last to leave takes the whole.
                if isWhole { return pieces.inFlight == 0 ? .whole : .nothing }
                return pieces.remaining == 0 ? .end : .nothing
            }
        }
    }

    /// A part of a file to ask for.
    private struct Piece: Sendable {
        let file: OpenFile
        let index: Int
    }

    /// What came of asking for a piece.
    private enum Outcome {
        case complete
        /// It comes with the whole file, since the server gives nothing less.
        case absorbed
    }

    /// What is left to do for a file.
    private enum Remainder {
        case nothing
        /// To fetch it in one go.
        case whole
        /// To verify and to publish it.
        case end
    }

    private let client: WebClient
    private let settings: DownloadSettings
    private let report: @Sendable (DownloadEvent) -> Void
    private let counts = Mutex(DownloadCount())
    private var waiting: [DownloadItem] = []
    private var busy: [DownloadItem] = []
    private var pieces: [Piece] = []
    private var mismatched: [DownloadItem] = []
    private var saidBusy = false
    private var limit: Int
    private var working = 0
    private var lastSlowDown: ContinuousClock.Instant?

    /// - Parameter report: called from any thread.
    package init(
        _ client: WebClient, _ settings: DownloadSettings, report: @escaping @Sendable (DownloadEvent) -> Void
    ) {
        (self.client, self.settings, self.report) = (client, settings, report)
        limit = max(1, settings.connections)
    }

    /// What is where now.
    package nonisolated var count: DownloadCount { counts.withLock { $0 } }

    /// Fetches everything.
    ///
    /// - Throws: what an item's `error` makes of failures; `hub.changed`, `hub.hash-mismatch`,
    ///   `hub.cache-unwritable`, `cancelled`. What has arrived by then is kept.
    package func fetch(_ items: [DownloadItem]) async throws(SwanError) {
        waiting = items
        do {
            try await work()
            // A wrong content is fetched once more: a proxy or a disk may have been at fault.
            guard !mismatched.isEmpty else { return }
            (waiting, mismatched) = (mismatched, [])
            try await work(isLast: true)
        } catch let error as SwanError {
            throw error
        } catch is CancellationError {
            throw SwanError(.cancelled, "Stopped on request.")
        } catch {
            throw SwanError(.fault, "The download failed.", cause: error)
        }
    }

    private func work(isLast: Bool = false) async throws {
        let workers = limit
        working = workers
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0 ..< workers { group.addTask { try await self.worker(isLast) } }
            try await group.waitForAll()
        }
    }

    private nonisolated func worker(_ isLast: Bool) async throws {
        while let piece = try await next() {
            let file = piece.file
            let outcome = try await trying(file) { try await self.fetch(piece) }
            switch file.leave(outcome) {
            case .nothing: continue
            case .whole:
                report(.note("The server ignores ranges: \(file.item.name.printable()) comes in one go."))
                try await trying(file) { try await self.transferWhole(file) }
            case .end: break
            }
            try await finish(file, isLast)
        }
    }

    // MARK: Who does what

    /// The next piece; nil when a worker is not needed any more.
    private func next() async throws -> Piece? {
        while true {
            try Task.checkCancellation()
            if working > limit {
                working -= 1
                return nil
            }
            if !pieces.isEmpty {
                let piece = pieces.removeFirst()
                piece.file.enter()
                return piece
            }
            if !waiting.isEmpty {
                try open(waiting.removeFirst())
                continue
            }
            guard !busy.isEmpty else { return nil }
            if !saidBusy {
                saidBusy = true
                report(.note("Another program fetches \(busy[0].name.printable()); waiting for it."))
            }
            try await Task.sleep(for: .seconds(settings.lockSeconds))
            (waiting, busy) = (waiting + busy, [])
        }
    }

    private func open(_ item: DownloadItem) throws(SwanError) {
        if finishIfThere(item) { return }
        guard let lock = try FileLock(item.places.lock) else {
            busy.append(item)
            return
        }
        // Whoever had the lock may have finished it.
        if finishIfThere(item) { return }
        let partial = try PartialFile(item.places, size: item.size, pieceBytes: settings.pieceBytes)
        counts.withLock { $0.present += partial.bytes }
        // A file that is complete and was never verified has one piece to ask for, of no bytes.
        let missing = partial.missing.isEmpty ? [0] : partial.missing
        let file = OpenFile(item, partial, lock, pieces: missing.count)
        pieces += missing.map { Piece(file: file, index: $0) }
    }

    private func finishIfThere(_ item: DownloadItem) -> Bool {
        guard FileSystem.isFile(item.places.destination, size: item.size) else { return false }
        counts.withLock { count in
            count.present += item.size
            count.finished += 1
        }
        report(.finished(item, isFetched: false))
        return true
    }

    /// Leaves a file to one worker: nobody begins with another piece of it.
    private func takeWhole(_ file: OpenFile) {
        file.setWhole()
        pieces.removeAll { $0.file === file }
    }

    /// Half the connections from now on: the server has said that these are too many. Answers of the same moment count
    /// once.
    private func slowDown() {
        let now = ContinuousClock.now
        if let lastSlowDown, now - lastSlowDown < .seconds(30) { return }
        lastSlowDown = now
        limit = max(1, min(limit, working) / 2)
    }

    // MARK: One piece

    private nonisolated func fetch(_ piece: Piece) async throws -> Outcome {
        let (file, range) = (piece.file, piece.file.partial.range(piece.index))
        guard file.partial.position(piece.index) < range.upperBound else { return .complete }
        if file.isWhole { return .absorbed }
        return try await transfer(piece)
    }

    /// Asks again after failures, as long as some bytes come in between.
    private nonisolated func trying<T>(_ file: OpenFile, _ body: () async throws -> T) async throws -> T {
        var failures = 0
        while true {
            let before = file.partial.bytes
            do {
                let value = try await body()
                counts.withLock { $0.failures = 0 }
                return value
            } catch let failure as WebFailure {
                try Task.checkCancellation()
                if file.partial.bytes > before { failures = 0 }
                failures += 1
                counts.withLock { $0.failures += 1 }
                if failure.status == 429 { await slowDown() }
                do {
                    try await client.pause(after: failure, failures)
                } catch {
                    try Task.checkCancellation()
                    throw file.item.error(error)
                }
            }
        }
    }

    /// Asks for what is missing of a piece.
    ///
    /// - Returns: `absorbed` when the server gives only the whole file, to this worker or to another.
    private nonisolated func transfer(_ piece: Piece) async throws -> Outcome {
        let file = piece.file
        let start = file.partial.position(piece.index)
        let end = file.partial.range(piece.index).upperBound
        let answer = try await ask(file, range: start ..< end)
        switch answer.status {
        case 206:
            try check(answer, range: start ..< end, of: file)
            return try await receive(answer, start ..< end, file)
        case 200 where start == 0 && end == file.item.size:
            try checkWhole(answer, file)
            return try await receive(answer, start ..< end, file)
        case 200:
            // A page of a login is no file that comes as a whole.
            try checkWhole(answer, file)
            await takeWhole(file)
            return .absorbed
        default: throw await client.failure(answer)
        }
    }

    /// Asks for a file from its beginning and keeps what is not there yet. Nobody else is at the file.
    private nonisolated func transferWhole(_ file: OpenFile) async throws {
        guard !file.partial.missing.isEmpty else { return }
        let answer = try await ask(file, range: nil)
        guard answer.status == 200 else { throw await client.failure(answer) }
        try checkWhole(answer, file)
        var offset = 0
        do {
            for try await chunk in answer.body {
                counts.withLock { $0.received += chunk.readableBytes }
                var rest = chunk
                while rest.readableBytes > 0, offset < file.item.size {
                    let index = offset / file.partial.pieceBytes
                    let count = min(rest.readableBytes, file.partial.range(index).upperBound - offset)
                    // The part of it that is new.
                    let skipped = min(count, max(0, file.partial.position(index) - offset))
                    rest.moveReaderIndex(forwardBy: skipped)
                    if count > skipped, let part = rest.readSlice(length: count - skipped) {
                        try file.partial.append(part.readableBytesSpan, at: offset + skipped)
                        counts.withLock { $0.fetched += count - skipped }
                    }
                    offset += count
                }
                guard rest.readableBytes == 0 else {
                    throw WebFailure(.content("it sends more than the \(file.item.size) bytes of the file"), answer.url)
                }
            }
        } catch let error as SwanError {
            throw error
        } catch {
            throw client.failure(error, answer)
        }
        guard offset == file.item.size else {
            throw WebFailure(.connection("the file ended after \(offset) of \(file.item.size) bytes"), answer.url)
        }
    }

    /// Sends a request to where the hub last redirected, or to the hub.
    private nonisolated func ask(_ file: OpenFile, range: Range<Int>?) async throws -> WebClient.Answer {
        let fields = range.map { [("Range", "bytes=\($0.lowerBound)-\($0.upperBound - 1)")] } ?? []
        if let address = file.address.withLock({ $0 }) {
            let answer = try await client.open(address, fields: fields)
            // A signed address has ended: the hub gives another.
            guard [400, 401, 403, 404, 410, 416].contains(answer.status) else { return answer }
            file.address.withLock { $0 = nil }
        }
        let answer = try await client.open(file.item.url, fields: fields, credentials: file.item.credentials)
        if answer.status == 200 || answer.status == 206 {
            if let difference = file.item.difference(answer.firstHeaders) {
                throw SwanError(
                    .changed, "\(file.item.name.printable()) changed on the hub while it was fetched: \(difference).",
                    advice: "Run the same command again: what is the same is kept.")
            }
            // Only another host's address is worth keeping: the hub's own would be asked without the token.
            if answer.url.host() != file.item.url.host() || answer.url.port != file.item.url.port {
                file.address.withLock { $0 = answer.url }
            }
        } else if answer.url.host() != file.item.url.host(), answer.status == 403 {
            // The storage refuses, not the hub: worth another signature.
            throw WebFailure(.connection("the storage refuses the hub's own address"), answer.url)
        }
        return answer
    }

    /// Whether a range is the one that was asked for.
    private nonisolated func check(_ answer: WebClient.Answer, range: Range<Int>, of file: OpenFile) throws {
        let text = answer.headers.first(name: "content-range") ?? ""
        let numbers = text.split { !("0" ... "9").contains($0) }.map { Int($0) }
        guard text.hasPrefix("bytes "), numbers.count >= 2, numbers[0] == range.lowerBound,
            numbers[1] == range.upperBound - 1
        else {
            throw WebFailure(
                .content("it was asked for bytes \(range.lowerBound)-\(range.upperBound - 1) and sends '\(text)'"),
                answer.url)
        }
        if numbers.count == 3, numbers[2] != file.item.size { throw changed(file, bytes: numbers[2]) }
    }

    private nonisolated func checkWhole(_ answer: WebClient.Answer, _ file: OpenFile) throws {
        guard let length = answer.length, length != file.item.size else { return }
        // A page of a login or of an error has a type of its own; a file of another size has changed.
        let type = answer.headers.first(name: "content-type") ?? ""
        if type.hasPrefix("text/html") {
            throw WebFailure(.content("it sends a web page in place of the file"), answer.url)
        }
        throw changed(file, bytes: length)
    }

    private nonisolated func changed(_ file: OpenFile, bytes: Int?) -> SwanError {
        SwanError(
            .changed,
            "\(file.item.name.printable()) has \(bytes.map(String.init) ?? "other") bytes now, and \(file.item.size)"
                + " were listed.",
            advice: "The repository changed meanwhile. Run the same command again: what is the same is kept.")
    }

    /// Keeps the bytes of a range of one piece.
    ///
    /// - Returns: `absorbed` when another worker has found out meanwhile that the file comes as a whole.
    private nonisolated func receive(
        _ answer: WebClient.Answer, _ range: Range<Int>, _ file: OpenFile
    ) async throws -> Outcome {
        var offset = range.lowerBound
        do {
            for try await chunk in answer.body {
                if file.isWhole { return .absorbed }
                counts.withLock { $0.received += chunk.readableBytes }
                guard chunk.readableBytes <= range.upperBound - offset else {
                    throw WebFailure(
                        .content("it sends more than the \(range.count) bytes that were asked for"), answer.url)
                }
                try file.partial.append(chunk.readableBytesSpan, at: offset)
                counts.withLock { $0.fetched += chunk.readableBytes }
                offset += chunk.readableBytes
            }
        } catch let error as SwanError {
            throw error
        } catch {
            throw client.failure(error, answer)
        }
        guard offset == range.upperBound else {
            throw WebFailure(
                .connection("the range ended after \(offset - range.lowerBound) of \(range.count) bytes"), answer.url)
        }
        return .complete
    }

    /// Verifies and publishes.
    private nonisolated func finish(_ file: OpenFile, _ isLast: Bool) async throws {
        let (item, partial) = (file.item, file.partial)
        counts.withLock { count in
            count.verifying += item.size
            count.verifiedName = item.name
        }
        let found = try await Self.blocking { (goesOn: @escaping @Sendable () -> Bool) in
            try partial.digits(item.hash) { count in
                self.counts.withLock { $0.verifying -= count }
                return goesOn()
            }
        }
        counts.withLock { count in
            if count.verifiedName == item.name { count.verifiedName = nil }
        }
        guard found == item.hash.digits else {
            try partial.restart()
            counts.withLock { count in
                // What was here before is now what has to be fetched, too.
                let dropped = min(count.fetched, item.size)
                count.fetched -= dropped
                count.present -= item.size - dropped
            }
            let message =
                "\(item.name.printable()) has the \(item.hash.title) \(found), and \(item.hash.digits) was published."
            guard isLast else {
                report(.note(message + " It is fetched once more."))
                await add(mismatched: item)
                return
            }
            unlink(item.places.partial)
            unlink(item.places.progress)
            throw SwanError(
                .hashMismatch, message,
                advice: "It arrived wrong twice and was dropped. A proxy, a mirror or the disk changes bytes: try"
                    + " another hub with --from, and check the disk.")
        }
        try await Self.blocking { _ in try partial.publish() }
        counts.withLock { $0.finished += 1 }
        report(.finished(item, isFetched: true))
    }

    private func add(mismatched item: DownloadItem) { mismatched.append(item) }

    /// Runs something that waits for the disk on a thread of its own, and tells it when the task is cancelled.
    static func blocking<T: Sendable>(
        _ body: @escaping @Sendable (_ goesOn: @escaping @Sendable () -> Bool) throws -> T
    ) async throws -> T {
        let stop = Flag()
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                DiskThreads.run { continuation.resume(with: Result { try body { !stop.isSet } }) }
            }
        } onCancel: {
            stop.set()
        }
    }

    private final class Flag: Sendable {
        private let value = Atomic(false)

        var isSet: Bool { value.load(ordering: .relaxed) }

        func set() { value.store(true, ordering: .relaxed) }
    }
}
