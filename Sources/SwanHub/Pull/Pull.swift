import FoundationEssentials
import Glibc
public import SwanDiagnostics
import Synchronization

/// Fetches models into the cache that the hub's own tools share.
public struct Pull: Sendable {
    private let request: PullRequest
    private let settings: HubSettings
    private let userAgent: String
    private let cache: HubCache
    private let report: @Sendable (PullEvent) -> Void

    /// Files of one repository of which it is known what they are.
    private struct ListedPart: Sendable {
        var part: ModelVariant.Part
        var service: any HubService
        var listing: HubListing
        /// Those that are wanted.
        var files: [HubFile]

        var planned: PullPlan.Part {
            PullPlan.Part(
                hub: listing.hub, repository: listing.repository, revision: listing.revision, commit: listing.commit,
                files: files.count)
        }

        /// The name of the revision in the cache.
        var reference: String { Pull.reference(listing.revision, listing.hub) }
    }

    /// - Parameters:
    ///   - request: which files are wanted.
    ///   - settings: what the environment says; names the folder that they go to.
    ///   - userAgent: how servers are told who asks.
    ///   - report: called from any thread.
    /// - Throws: `hub.bad-request` where the environment names neither a cache nor a home.
    public init(
        _ request: PullRequest, _ settings: HubSettings, userAgent: String,
        report: @escaping @Sendable (PullEvent) -> Void
    ) throws(SwanError) {
        guard let folder = settings.cacheFolder else {
            throw SwanError(
                .badRequest, "The environment names no folder for models.", advice: "Set HF_HUB_CACHE or HOME.")
        }
        (self.request, self.settings, self.userAgent, self.report) = (request, settings, userAgent, report)
        cache = HubCache(root: folder.hasPrefix("/") ? folder : NamedModel.absolute(folder))
    }

    // MARK: Running

    /// Lists, and says what would be fetched.
    ///
    /// - Parameter isCancelled: asked several times a second.
    /// - Throws: as ``run(isCancelled:)``.
    public func plan(isCancelled: @escaping @Sendable () -> Bool) async throws(SwanError) -> PullPlan {
        if settings.isOffline { return plan(try offlineParts()) }
        return try await WebClient.with(settings.web, userAgent: userAgent) { client throws(SwanError) in
            try await stoppable(isCancelled) { () throws(SwanError) in
                try await firstHub { hub throws(SwanError) in plan(try await list(hub, client)) }
            }
        }
    }

    /// Fetches what is missing.
    ///
    /// - Parameter isCancelled: asked several times a second.
    /// - Throws: `hub.not-found`, `hub.refused`, `hub.rate-limited`, `hub.unreachable`, `hub.bad-answer`, `hub.changed`,
    ///   `hub.hash-mismatch`, `hub.no-room`, `hub.cache-unwritable`, `hub.offline`, `cancelled`. What has arrived
    ///   by then is kept for the next run.
    public func run(isCancelled: @escaping @Sendable () -> Bool) async throws(SwanError) -> PullReport {
        let clock = ContinuousClock()
        let start = clock.now
        if settings.isOffline {
            let parts = try offlineParts()
            report(.plan(plan(parts)))
            report(.note("The network is not used; all files are here."))
            try await verifyHere(parts, isCancelled)
            return try finish(
                parts, received: 0, isVerified: request.verifies, seconds: (clock.now - start).inSeconds)
        }
        let tally = Tally()
        let parts: [ListedPart] = try await WebClient.with(settings.web, userAgent: userAgent) {
            client throws(SwanError) in
            do throws(SwanError) {
                return try await stoppable(isCancelled) { () throws(SwanError) in
                    try await firstHub { hub throws(SwanError) in
                        let parts = try await list(hub, client)
                        try await fetch(parts, client, tally)
                        return parts
                    }
                }
            } catch {
                guard [.unreachable, .rateLimited].contains(error.code), let parts = try? offlineParts() else {
                    throw error
                }
                report(.note("\(error.message) All files of the last revision that was fetched are here."))
                try await verifyHere(parts, isCancelled)
                tally.isVerified = request.verifies
                return parts
            }
        }
        return try finish(
            parts, received: tally.received, isVerified: tally.isVerified, seconds: (clock.now - start).inSeconds)
    }

    /// Tries one hub after the other, as long as they cannot be used.
    private func firstHub<T: Sendable>(
        _ body: (HubAddress) async throws(SwanError) -> T
    ) async throws(SwanError) -> T {
        var first: SwanError?
        for (index, hub) in request.hubs.enumerated() {
            do throws(SwanError) {
                return try await body(hub)
            } catch {
                let isHubsFault = [.unreachable, .rateLimited, .refused, .notFound, .badAnswer].contains(error.code)
                guard isHubsFault, index + 1 < request.hubs.count, !Task.isCancelled else {
                    // The first hub's answer is the one to be told, where none has it.
                    throw isHubsFault ? first ?? error : error
                }
                first = first ?? error
                report(.note("\(error.message) Trying \(request.hubs[index + 1].title)."))
            }
        }
        throw SwanError(.fault, "There is no hub to ask.")
    }

    // MARK: Listing

    private func service(_ hub: HubAddress) -> any HubService {
        switch hub.hub {
        case .huggingFace: HuggingFaceHub(address: hub)
        case .modelScope: ModelScopeHub(address: hub)
        }
    }

    /// Lists all parts, each on the hub of choice or else on another that has it.
    private func list(_ preferred: HubAddress, _ client: WebClient) async throws(SwanError) -> [ListedPart] {
        var parts: [ListedPart] = []
        for part in request.variant.parts {
            let hubs = [preferred] + request.hubs.filter { $0.hub != preferred.hub }
            let found = hubs.lazy.compactMap { hub in
                part.repositories.first { $0.hub == hub.hub }.map { (hub, $0.id) }
            }.first
            guard let (hub, id) = found else {
                throw SwanError(
                    .notFound,
                    "\(request.name) needs \(part.repositories.first?.id ?? "a repository"), which is not on"
                        + " \(preferred.hub.rawValue).", advice: "Leave --from out.")
            }
            let service = service(hub)
            // A revision that was asked for is that of the first repository: the others only complete it.
            let asked = parts.isEmpty ? request.revision : nil
            let revision = asked ?? part.revision ?? hub.hub.defaultBranch
            let listing = try await service.listing(of: id, revision: revision, client)
            let files = listing.files.filter { PullRequest.isWanted($0.path, part.files) }
            try check(part, files, listing)
            parts.append(ListedPart(part: part, service: service, listing: listing, files: files))
        }
        return parts
    }

    /// Whether a listing has what is wanted.
    private func check(_ part: ModelVariant.Part, _ files: [HubFile], _ listing: HubListing) throws(SwanError) {
        // A name without wildcards is needed; a pattern may match nothing, but not all of them.
        let missing = part.plainNames.first { name in !files.contains { $0.path == name } }
        guard missing == nil, !files.isEmpty else {
            throw SwanError(
                .notFound,
                "\(listing.repository) on \(listing.hub.rawValue) has no file '\((missing ?? part.files.first ?? "").printable())'"
                    + " at revision '\(listing.revision.printable())'.",
                advice:
                    "It may have been renamed: `swan pull \(listing.repository) --include PATTERN --dry-run` lists files."
            )
        }
    }

    private func plan(_ parts: [ListedPart]) -> PullPlan {
        let files = contents(parts)
        let bytes = files.reduce(0) { $0 + $1.file.size }
        let present = files.reduce(0) { $0 + presentBytes($1) }
        return PullPlan(
            name: request.name, parts: parts.map(\.planned), files: files.count, bytes: bytes, presentBytes: present,
            list: files.map { .init(path: $0.file.path, bytes: $0.file.size, isHere: isHere($0)) })
    }

    private struct Content {
        var repository: CachedRepository
        var file: HubFile
        var listed: ListedPart
    }

    /// The contents of all parts, each once: two files may be the same.
    private func contents(_ parts: [ListedPart]) -> [Content] {
        var seen: Set<String> = []
        return parts.flatMap { listed in
            let repository = cache.repository(listed.listing.repository)
            return listed.files.compactMap { file in
                seen.insert("\(repository.folder)/\(file.hash.digits)").inserted
                    ? Content(repository: repository, file: file, listed: listed) : nil
            }
        }
    }

    private func presentBytes(_ content: Content) -> Int {
        isHere(content)
            ? content.file.size
            : min(content.file.size, PartialFile.bytes(content.repository.places(content.file.hash)))
    }

    /// Whether a content is here by its hash, or as a plain file of its snapshot.
    private func isHere(_ content: Content) -> Bool {
        content.repository.hasContent(content.file)
            || content.repository.has(content.file, in: content.listed.listing.commit)
    }

    // MARK: Fetching

    private func fetch(_ parts: [ListedPart], _ client: WebClient, _ tally: Tally) async throws(SwanError) {
        let plan = plan(parts)
        sayLicences(parts)
        sayMoves(parts)
        report(.plan(plan))
        let contents = contents(parts)
        if request.verifies { try await verify(parts, removesDamaged: true) }
        // What is fetched or taken over is hashed; what is here was, by whoever brought it.
        tally.isVerified = request.verifies || !contents.contains { isHere($0) }
        for content in contents where !isHere(content) { try await adoptFromModelScope(content) }
        // A cache that has everything may be read-only.
        let missing = contents.filter { !isHere($0) }
        if !missing.isEmpty {
            try checkRoom(missing)
            try cache.prepare()
            try await download(missing, plan, client, tally)
        }
        // A link to nothing would look like a model.
        if let gap = contents.first(where: { !isHere($0) }) {
            throw SwanError(
                .cacheUnwritable,
                "\(gap.file.path.printable()) was here and is gone again: something else changes"
                    + " \(cache.root.printable()).", advice: "Run the same command again: what is here is kept.")
        }
        try link(parts)
    }

    private func download(
        _ contents: [Content], _ plan: PullPlan, _ client: WebClient, _ tally: Tally
    ) async throws(SwanError) {
        var items: [DownloadItem] = []
        for content in contents {
            let (listed, file) = (content.listed, content.file)
            let (service, listing) = (listed.service, listed.listing)
            items.append(
                DownloadItem(
                    name: file.path, size: file.size, hash: file.hash, url: try service.url(of: file, in: listing),
                    credentials: try service.credentials(), places: content.repository.places(file.hash),
                    difference: { service.difference($0, file, in: listing) },
                    error: { service.error($0, "\(listing.repository)/\(file.path.printable())") }))
        }
        // Small files first: what is wrong with a repository shows in the first second.
        items.sort { ($0.size, $0.name) < ($1.size, $1.name) }
        let present = plan.bytes - items.reduce(0) { $0 + $1.size }
        let finished = plan.files - items.count
        let downloader = Downloader(client, request.download) { [report] event in
            switch event {
            case .note(let text): report(.note(text))
            case .finished(let item, let isFetched):
                // Another program fetched it meanwhile.
                guard isFetched else { return tally.isVerified = false }
                report(.file(path: item.name, bytes: item.size))
            }
        }
        let ticker = Task { [report] in
            let clock = ContinuousClock()
            let start = clock.now
            var meter = RateMeter()
            while true {
                let count = downloader.count
                meter.add(count.fetched, at: (clock.now - start).inSeconds)
                let done = present + count.present + count.fetched
                let left = plan.bytes - done
                report(
                    .progress(
                        PullProgress(
                            done: done, of: plan.bytes, rate: Int(meter.rate),
                            eta: meter.rate > 0 ? Double(left) / meter.rate : nil, files: finished + count.finished,
                            ofFiles: plan.files, failures: count.failures, verifying: max(0, count.verifying),
                            file: count.verifiedName)))
                guard !Task.isCancelled else { return }
                try? await Task.sleep(for: .milliseconds(250))
            }
        }
        do throws(SwanError) {
            try await downloader.fetch(items)
        } catch {
            ticker.cancel()
            await ticker.value
            tally.add(downloader.count.received)
            guard error.code == .cancelled else { throw error }
            let count = downloader.count
            throw SwanError(
                .cancelled,
                "Stopped on request; \(formatted(bytes: present + count.present + count.fetched)) of"
                    + " \(formatted(bytes: plan.bytes)) are here and are kept.",
                advice: "The same command goes on from there.")
        }
        ticker.cancel()
        await ticker.value
        tally.add(downloader.count.received)
    }

    /// Refuses to begin what the disk has no room for.
    private func checkRoom(_ missing: [Content]) throws(SwanError) {
        var needed = 0
        for content in missing {
            let (places, size) = (content.repository.places(content.file.hash), content.file.size)
            let here = FileSystem.entry(places.partial)?.allocated ?? places.beginning(of: size)?.size ?? 0
            needed += max(0, size - here)
        }
        guard let free = request.download.freeBytes(cache.root) else { return }
        // Some room for everything else on that disk.
        let reserve = min(2_000_000_000, needed / 100)
        guard needed + reserve > free else { return }
        throw SwanError(
            .noRoom,
            "\(formatted(bytes: needed + reserve)) are needed in \(cache.root.printable()), and"
                + " \(formatted(bytes: free)) are free there.",
            advice: "Nothing was fetched. Make room, choose a smaller --variant, or name a folder on another disk with"
                + " HF_HUB_CACHE.")
    }

    /// Hashes what is here, where nothing can be fetched.
    ///
    /// - Throws: `hub.hash-mismatch` for the first file that is damaged.
    private func verifyHere(
        _ parts: [ListedPart], _ isCancelled: @escaping @Sendable () -> Bool
    ) async throws(SwanError) {
        guard request.verifies else { return }
        try await stoppable(isCancelled) { () throws(SwanError) in try await verify(parts, removesDamaged: false) }
    }

    /// Hashes what is here: contents, and plain files of snapshots.
    ///
    /// - Parameter removesDamaged: whether what is wrong is removed, so that it is fetched anew; else it is an error.
    private func verify(_ parts: [ListedPart], removesDamaged: Bool) async throws(SwanError) {
        var seen: Set<String> = []
        for listed in parts {
            let (repository, commit) = (cache.repository(listed.listing.repository), listed.listing.commit)
            for file in listed.files {
                // A content first: without it, a link to it is none any more.
                for isContent in [true, false] {
                    guard isContent ? repository.hasContent(file) : repository.has(file, in: commit) else { continue }
                    let path =
                        isContent
                        ? repository.places(file.hash).destination : "\(repository.snapshot(commit))/\(file.path)"
                    guard let entry = FileSystem.entry(path),
                        seen.insert("\(entry.device) \(entry.inode) \(file.hash.digits)").inserted
                    else { continue }
                    let digits = try await digits(of: path, file)
                    guard digits != file.hash.digits else { continue }
                    let message =
                        "\(file.path.printable()) has the \(file.hash.title) \(digits), and \(file.hash.digits) was"
                        + " published."
                    guard removesDamaged else {
                        throw SwanError(
                            .hashMismatch, message,
                            advice: "Nothing was changed. `swan pull \(request.name) --verify` fetches it anew where a"
                                + " hub can be reached.")
                    }
                    report(.note(message + " It is replaced."))
                    guard unlink(path) == 0 else { throw FileSystem.error("unlink", path) }
                }
            }
        }
    }

    /// The hash of a file that is here, of the kind that was published.
    ///
    /// - Throws: `hub.cache-unwritable` for what cannot be read; `cancelled`.
    private func digits(of path: String, _ file: HubFile) async throws(SwanError) -> String {
        report(.note("verifying \(file.path.printable()), \(formatted(bytes: file.size))"))
        do {
            return try await Downloader.blocking { goesOn in
                let descriptor = open(path, O_RDONLY | O_CLOEXEC)
                guard descriptor >= 0 else { throw FileSystem.error("open", path) }
                defer { close(descriptor) }
                return try file.hash.digits(of: descriptor, size: file.size) { _ in goesOn() }
            }
        } catch let error as SwanError {
            throw error
        } catch {
            throw SwanError(.cacheUnwritable, "\(path.printable()) cannot be read.", cause: error)
        }
    }

    /// Takes a file that ModelScope's own tools have fetched, if its content is right: a second name for the same bytes.
    ///
    /// - Throws: `cancelled`; whatever else fails, the file is fetched.
    private func adoptFromModelScope(_ content: Content) async throws(SwanError) {
        let (file, listing) = (content.file, content.listed.listing)
        let places = content.repository.places(file.hash)
        guard case .sha256(let published) = file.hash, file.size > 1 << 20 else { return }
        for root in settings.modelScopeFolders {
            let path = "\(root)/\(HubSettings.modelScopeFolder(listing.repository))/\(file.path)"
            guard FileSystem.isFile(path, size: file.size) else { continue }
            var found: String?
            do throws(SwanError) {
                found = try await digits(of: path, file)
            } catch {
                guard error.code != .cancelled else { throw error }
            }
            guard found == published, (try? FileSystem.makeFolder(above: places.destination)) != nil,
                Glibc.link(path, places.destination) == 0
            else { continue }
            report(.note("\(file.path.printable()) is taken from \(path.printable())."))
            return
        }
    }

    // MARK: What is said

    private func sayLicences(_ parts: [ListedPart]) {
        let notes = LicenceNotes(path: settings.dataFolder.map { $0 + "/licences" })
        for (index, listed) in parts.enumerated() {
            let id = listed.listing.repository
            // The catalogue speaks of the model itself, a card of its repository.
            let known = index == 0 ? request.model : nil
            let licence = listed.listing.licence ?? known?.licence ?? "not named"
            let limits = known?.licenceLimits
            guard notes.isNew(id, [licence, limits].compactMap(\.self).joined(separator: "; ")) else { continue }
            report(
                .note(
                    licence == "not named"
                        ? "\(id) names no licence: ask its publisher what you may do with it."
                        : "\(id) is under the licence \(licence.printable())\(limits.map { ": " + $0 } ?? "")."))
        }
    }

    private func sayMoves(_ parts: [ListedPart]) {
        for listed in parts {
            let listing = listed.listing
            let repository = cache.repository(listing.repository)
            guard let earlier = repository.commit(listed.reference), earlier != listing.commit else { continue }
            let same = listed.files.count { repository.hasContent($0) }
            report(
                .note(
                    "\(listing.repository): '\(listing.revision.printable())' was \(earlier.prefix(12)) and is"
                        + " \(listing.commit.prefix(12)) now; \(same) of \(listed.files.count) files are the same."))
        }
    }

    // MARK: The end

    /// Makes the snapshots, and what names them.
    private func link(_ parts: [ListedPart]) throws(SwanError) {
        for listed in parts {
            let repository = cache.repository(listed.listing.repository)
            for file in listed.files { try repository.link(file, in: listed.listing.commit) }
            try ignoringReadOnly { () throws(SwanError) in
                try repository.write(listed.listing)
                try repository.write(commit: listed.listing.commit, for: listed.reference)
            }
        }
        for (id, group) in Dictionary(grouping: parts, by: \.listing.repository) {
            let repository = cache.repository(id)
            // What another choice of files began is wanted by that; what is finished is not begun any more.
            let kept = group.flatMap { listed in
                listed.listing.files.filter {
                    !repository.hasContent($0) && !repository.has($0, in: listed.listing.commit)
                }.map(\.hash.digits)
            }
            repository.removePartials(except: Set(kept))
        }
    }

    /// A cache that is read-only and has all files is as good as any.
    private func ignoringReadOnly(_ body: () throws(SwanError) -> Void) throws(SwanError) {
        do throws(SwanError) {
            try body()
        } catch {
            guard let number = (error.cause as? SystemError)?.number, [EROFS, EACCES, EPERM].contains(number) else {
                throw error
            }
        }
    }

    private func finish(
        _ parts: [ListedPart], received: Int, isVerified: Bool, seconds: Double
    ) throws(SwanError) -> PullReport {
        let plan = plan(parts)
        return PullReport(
            name: request.name, path: try folder(parts), parts: plan.parts, files: plan.files, bytes: plan.bytes,
            fetchedBytes: received, isVerified: isVerified, seconds: seconds)
    }

    /// The folder to be used: the snapshot, or links to several of them.
    private func folder(_ parts: [ListedPart]) throws(SwanError) -> String {
        let snapshot = { (listed: ListedPart) in
            cache.repository(listed.listing.repository).snapshot(listed.listing.commit)
        }
        guard let model = request.model, request.variant != model.variants.first else { return snapshot(parts[0]) }
        guard let data = settings.dataFolder else {
            throw SwanError(
                .badRequest, "The environment names no folder for a model of several repositories.",
                advice: "Set XDG_DATA_HOME or HOME.")
        }
        let view = ModelView(request.name, in: data.hasPrefix("/") ? data : NamedModel.absolute(data))
        try view.make(
            parts.flatMap { listed in
                listed.files.map {
                    (place: listed.part.places[$0.path] ?? $0.path, target: "\(snapshot(listed))/\($0.path)")
                }
            })
        return view.path
    }

    // MARK: Without the network

    /// What is here of the last revision that was fetched.
    ///
    /// - Throws: `hub.offline` with the first file that is missing.
    private func offlineParts() throws(SwanError) -> [ListedPart] {
        var parts: [ListedPart] = []
        var problem: SwanError?
        hubs: for hub in request.hubs {
            parts = []
            for part in request.variant.parts {
                do throws(SwanError) {
                    parts.append(try offlinePart(part, hub, isFirst: parts.isEmpty))
                } catch {
                    problem = problem ?? error
                    continue hubs
                }
            }
            return parts
        }
        throw problem ?? SwanError(.fault, "There is no hub to look for.")
    }

    private func offlinePart(
        _ part: ModelVariant.Part, _ hub: HubAddress, isFirst: Bool
    ) throws(SwanError) -> ListedPart {
        func missing(_ what: String) -> SwanError {
            SwanError(
                .offline, "The network is not to be used, and \(what) is not in \(cache.root.printable()).",
                advice: "Run it without --offline (and HF_HUB_OFFLINE) where there is a network, or copy the cache from"
                    + " a machine that has it.")
        }
        let own = part.repositories.first { $0.hub == hub.hub } ?? part.repositories.first
        guard let own else { throw missing("a repository") }
        let revision = (isFirst ? request.revision : nil) ?? part.revision ?? own.hub.defaultBranch
        let repository = cache.repository(own.id)
        let reference = Self.reference(revision, own.hub)
        guard let commit = repository.commit(reference) else {
            throw missing("revision '\(revision.printable())' of \(own.id)")
        }
        guard let all = repository.files(of: commit) else {
            throw missing("the list of \(own.id)'s files at \(commit)")
        }
        let files = all.filter { PullRequest.isWanted($0.path, part.files) }
        let listing = try HubListing(
            hub: own.hub, repository: own.id, revision: revision, commit: commit, files: all, licence: nil)
        try check(part, files, listing)
        if let file = files.first(where: { !repository.has($0, in: commit) }) {
            throw missing("\(file.path.printable()) of \(own.id) at \(commit)")
        }
        return ListedPart(part: part, service: service(hub), listing: listing, files: files)
    }

    /// The name of a revision in the cache. ModelScope's branches are no commits that the other tools know, so that
    /// they have a folder of their own.
    private static func reference(_ revision: String, _ hub: Hub) -> String {
        hub == .modelScope ? "modelscope/\(revision)" : revision
    }
}

/// What is counted on the way.
private final class Tally: Sendable {
    private let bytes = Mutex(0)
    private let verified = Atomic(false)

    /// Bytes that the network brought.
    var received: Int { bytes.withLock { $0 } }

    func add(_ more: Int) { bytes.withLock { $0 += more } }

    /// Whether the hashes of all files were computed.
    var isVerified: Bool {
        get { verified.load(ordering: .relaxed) }
        set { verified.store(newValue, ordering: .relaxed) }
    }
}
