import Foundation
import Glibc
import SwanDiagnostics
import SwanHub
import SwanTestHub
import Synchronization
import Testing

/// A hub with one repository, and a cache to fetch it into.
private final class Fixture: Sendable {
    let hub: HubServer
    let repository: HubRepository
    let folder: String
    let notes = Mutex<[String]>([])
    let plans = Mutex<[PullPlan]>([])
    /// Bytes that are here, by the last word of the pull.
    let done = Mutex(0)

    /// Long enough for a machine that is busy with other tests.
    let stallSeconds: Double

    static let id = "Wan-AI/Wan2.1-T2V-1.3B"

    /// A model in small: the files that a run needs, and some that it does not.
    static func repository(seed: UInt64 = 1, size: Int = 900_000) -> HubRepository {
        HubRepository(
            id,
            [
                .init("README.md", HubContent("# A model")), .init(".gitattributes", HubContent("*.pth lfs")),
                .init("assets/picture.png", HubContent(seed: 9, size: 5000)),
                .init("config.json", HubContent(#"{"dim": 1536}"#)),
                .init("diffusion_pytorch_model.safetensors", HubContent(seed: seed, size: size), isLarge: true),
                .init("models_t5_umt5-xxl-enc-bf16.pth", HubContent(seed: 2, size: 300_001), isLarge: true),
                .init("Wan2.1_VAE.pth", HubContent(seed: 3, size: 65_536), isLarge: true),
                .init("google/umt5-xxl/spiece.model", HubContent(seed: 4, size: 70_000), isLarge: true),
                .init("google/umt5-xxl/tokenizer_config.json", HubContent("{}")),
                .init("google/umt5-xxl/empty.json", HubContent("")),
            ])
    }

    /// The files that are wanted of it.
    var wanted: [HubRepository.File] {
        repository.files.filter { !["README.md", ".gitattributes", "assets/picture.png"].contains($0.path) }
    }

    init(_ repository: HubRepository = Fixture.repository(), stallSeconds: Double = 30) throws {
        self.repository = repository
        self.stallSeconds = stallSeconds
        hub = try HubServer()
        hub.add(repository)
        folder = FileManager.default.temporaryDirectory.appending(path: "swan-pull-\(UUID().uuidString)").path
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    func settings(_ more: [String: String] = [:]) throws -> HubSettings {
        var environment = [
            "HOME": folder, "HF_ENDPOINT": hub.base, "MODELSCOPE_ENDPOINT": hub.base, "HF_HUB_CACHE": folder + "/hub",
        ]
        environment.merge(more) { $1 }
        var settings = try HubSettings(environment: environment)
        settings.web.retries.firstDelay = 0.01
        settings.web.retries.longestDelay = 0.05
        settings.web.stallSeconds = stallSeconds
        return settings
    }

    func pull(
        _ name: String = "wan2.1-t2v-1.3b", variant: String? = nil, from source: PullRequest.Source? = nil,
        revision: String? = nil, include: [String] = [], with environment: [String: String] = [:],
        pieceBytes: Int = 100_000, connections: Int = 8,
        verifies: Bool = false, freeBytes: Int? = nil, onFile: @escaping @Sendable (String) -> Void = { _ in },
        isCancelled: @escaping @Sendable () -> Bool = { false }
    ) async throws -> PullReport {
        let settings = try settings(environment)
        var request = try PullRequest(
            name, variant: variant, from: source, revision: revision, include: include, settings)
        (request.download.pieceBytes, request.connections) = (pieceBytes, connections)
        request.download.lockSeconds = 0.02
        request.verifies = verifies
        if let freeBytes { request.download.freeBytes = { _ in freeBytes } }
        let pull = try Pull(request, settings, userAgent: "swan/test") { event in
            switch event {
            case .note(let text): self.notes.withLock { $0.append(text) }
            case .plan(let plan): self.plans.withLock { $0.append(plan) }
            case .progress(let progress): self.done.withLock { $0 = progress.done }
            case .file(let path, _): onFile(path)
            }
        }
        return try await pull.run(isCancelled: isCancelled)
    }

    /// Stops a pull of files that are not here yet when exactly so many bytes of them have arrived: the hub gives no more
    /// until then. It forgets what was asked.
    func stop(after bytes: Int, _ name: String = "wan2.1-t2v-1.3b", include: [String] = []) async throws -> SwanError {
        hub.forget()
        hub.change { $0.bodyLimit = bytes }
        done.withLock { $0 = 0 }
        let error = try await error {
            try await pull(name, include: include, isCancelled: { self.done.withLock { $0 >= bytes } })
        }
        hub.forget()
        hub.change { $0.bodyLimit = nil }
        return error
    }

    /// Puts a file where ModelScope's own tools have it.
    func lend(_ file: HubRepository.File) throws {
        let place = "\(folder)/.cache/modelscope/hub/models/Wan-AI/Wan2___1-T2V-1___3B"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        try Data(file.content.bytes(0 ..< file.content.size)).write(to: URL(filePath: "\(place)/\(file.path)"))
    }

    /// Changes a few bytes of a file in place.
    func damage(_ path: String) throws {
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seek(toOffset: 1000)
        try handle.write(contentsOf: Data([1, 2, 3, 4]))
        try handle.close()
    }

    /// The bytes of the wanted files.
    var wantedBytes: Int { wanted.reduce(0) { $0 + $1.content.size } }

    func error(_ body: () async throws -> PullReport) async throws -> SwanError {
        do {
            let report = try await body()
            throw Unexpected(report: report)
        } catch let error as SwanError {
            return error
        }
    }

    struct Unexpected: Error { let report: PullReport }

    var said: String { notes.withLock { $0.joined(separator: "\n") } }

    /// Whether a folder holds exactly the wanted files, each with its bytes.
    func check(_ path: String, _ repository: HubRepository? = nil) throws {
        let wanted = (repository ?? self.repository).files.filter { file in
            self.wanted.contains { $0.path == file.path }
        }
        for file in wanted {
            let bytes = try Data(contentsOf: URL(filePath: "\(path)/\(file.path)"))
            #expect(bytes == Data(file.content.bytes(0 ..< file.content.size)), "\(file.path)")
        }
        let names = try FileManager.default.subpathsOfDirectory(atPath: path).filter {
            var isFolder: ObjCBool = false
            return FileManager.default.fileExists(atPath: "\(path)/\($0)", isDirectory: &isFolder)
                && !isFolder.boolValue
        }
        #expect(names.sorted() == wanted.map(\.path).sorted())
    }

    var cached: String { "\(folder)/hub/models--Wan-AI--Wan2.1-T2V-1.3B" }

    /// Everything in the cache that is no content, link or list in its final place.
    var leftovers: [String] {
        let all = (try? FileManager.default.subpathsOfDirectory(atPath: folder + "/hub")) ?? []
        return all.filter { $0.hasSuffix(".incomplete") || $0.hasSuffix(".progress") || $0.contains(".new") }
    }
}

@Suite struct PullTests {
    // MARK: What arrives

    @Test func everyFileThatARunNeedsArrivesWhole() async throws {
        let fixture = try Fixture()
        let report = try await fixture.pull()
        #expect(report.path == "\(fixture.cached)/snapshots/\(fixture.repository.commit)")
        try fixture.check(report.path)
        #expect(fixture.leftovers.isEmpty)
        #expect(report.files == 7 && report.bytes == fixture.wanted.reduce(0) { $0 + $1.content.size })
        #expect(fixture.hub.bodyBytes == report.bytes, "nothing is fetched twice")
        // The layout of the hub's own tools.
        let link = try FileManager.default.destinationOfSymbolicLink(
            atPath: report.path + "/google/umt5-xxl/spiece.model")
        let piece = try #require(fixture.wanted.first { $0.path.hasSuffix("spiece.model") })
        #expect(link == "../../../../blobs/\(piece.sha256)")
        #expect(try String(contentsOfFile: fixture.cached + "/refs/main", encoding: .utf8) == fixture.repository.commit)
        let config = try #require(fixture.wanted.first { $0.path == "config.json" })
        #expect(FileManager.default.fileExists(atPath: "\(fixture.cached)/blobs/\(config.gitBlob)"))

        // Once more asks for lists only.
        fixture.hub.forget()
        let again = try await fixture.pull()
        #expect(again.fetchedBytes == 0 && fixture.hub.bodyBytes == 0)
        #expect(again.path == report.path)
    }

    @Test func modelScopeGivesTheSameFiles() async throws {
        let fixture = try Fixture()
        let report = try await fixture.pull(from: .hub(.modelScope))
        try fixture.check(report.path)
        #expect(report.parts.map(\.hub) == [.modelScope])
        #expect(fixture.hub.requests.allSatisfy { $0.uri.hasPrefix("/api/v1/") || $0.uri.hasPrefix("/storage/") })
        // Large files have the same names on both hubs, so that they are not fetched again.
        fixture.hub.forget()
        let other = try await fixture.pull(from: .hub(.huggingFace))
        try fixture.check(other.path)
        #expect(other.fetchedBytes < 100)
    }

    @Test func longListsComeInPages() async throws {
        let fixture = try Fixture()
        fixture.hub.change { $0.pageEntries = 2 }
        try fixture.check(try await fixture.pull().path)
        #expect(fixture.hub.requests.count { $0.uri.contains("/tree/") } == 5)
    }

    /// A mirror may hand on the hub's own addresses of further pages: it is asked for them itself.
    @Test func furtherPagesAreAskedOfTheMirror() async throws {
        let fixture = try Fixture()
        fixture.hub.change { behaviour in
            (behaviour.pageEntries, behaviour.pagesBase) = (2, "http://hub.invalid")
            behaviour.token = "hf_secret"
        }
        let report = try await fixture.pull(from: .hub(.huggingFace), with: ["HF_TOKEN": "hf_secret"])
        try fixture.check(report.path)
        let lists = fixture.hub.requests.filter { $0.uri.contains("/tree/") }
        #expect(lists.count == 5 && lists.allSatisfy { $0.fields["authorization"] == "Bearer hf_secret" })
        #expect(lists.allSatisfy { $0.uri.contains("recursive=true&expand=false") })
    }

    /// A list without an end is no list that is cut.
    @Test func aListThatGoesOnForEverIsRefused() async throws {
        let files = (0 ..< 1001).map { HubRepository.File("\($0).json", HubContent("\($0)")) }
        let fixture = try Fixture(HubRepository("o/endless", files))
        fixture.hub.change { $0.pageEntries = 1 }
        let error = try await fixture.error { try await fixture.pull("hf:o/endless", include: ["1.json"]) }
        #expect(error.code == .badAnswer && error.message.contains("1000"), "\(error)")
    }

    /// ModelScope cuts long lists without a word, so that folders are asked for one by one.
    @Test func foldersOfALongListAreAskedForOneByOne() async throws {
        var files = [HubRepository.File("config.json", HubContent("{}"))]
        for index in 0 ..< 950 { files.append(.init("part\(index % 3)/\(index).json", HubContent("\(index)"))) }
        let fixture = try Fixture(HubRepository("o/many", files))
        let report = try await fixture.pull("ms:o/many", include: ["part1/*"])
        #expect(report.files == 317)
        #expect(fixture.hub.requests.contains { $0.uri.contains("Root=part1") })
    }

    @Test func aRevisionIsPinned() async throws {
        let fixture = try Fixture()
        let later = Fixture.repository(seed: 77)
        let first = fixture.repository.commit
        fixture.hub.add(later, revisions: ["main"])
        let report = try await fixture.pull(revision: first)
        try fixture.check(report.path)
        #expect(report.parts[0].commit == first)
        #expect(!FileManager.default.fileExists(atPath: fixture.cached + "/refs/main"))
        let branch = try await fixture.pull()
        try fixture.check(branch.path, later)
    }

    @Test func aBranchThatMovedIsSaidAndOnlyTheDifferenceIsFetched() async throws {
        let fixture = try Fixture()
        _ = try await fixture.pull()
        let later = Fixture.repository(seed: 77)
        fixture.hub.add(later)
        fixture.hub.forget()
        let report = try await fixture.pull()
        try fixture.check(report.path, later)
        #expect(fixture.hub.bodyBytes == 900_000)
        #expect(fixture.said.contains("6 of 7 files are the same"), "\(fixture.said)")
    }

    @Test func theLicenceIsSaidOnce() async throws {
        let fixture = try Fixture()
        _ = try await fixture.pull()
        _ = try await fixture.pull()
        let lines = fixture.notes.withLock { $0.filter { $0.contains("licence") } }
        #expect(lines == ["Wan-AI/Wan2.1-T2V-1.3B is under the licence apache-2.0."])
    }

    /// A variant whose files are in two repositories.
    private func lightning() throws -> Fixture {
        let fixture = try Fixture()
        fixture.hub.add(
            HubRepository(
                "Wan-AI/Wan2.2-T2V-A14B",
                [
                    .init("configuration.json", HubContent("{}")),
                    .init("high_noise_model/config.json", HubContent("{}")),
                    .init("low_noise_model/config.json", HubContent("{}")),
                    .init("models_t5_umt5-xxl-enc-bf16.pth", HubContent(seed: 5, size: 1000), isLarge: true),
                    .init("Wan2.1_VAE.pth", HubContent(seed: 6, size: 1000), isLarge: true),
                ]))
        let folder = "Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1"
        fixture.hub.add(
            HubRepository(
                "lightx2v/Wan2.2-Lightning",
                ["high", "low"].map {
                    .init("\(folder)/\($0)_noise_model.safetensors", HubContent("\($0)"), isLarge: true)
                } + [.init("other/high_noise_model.safetensors", HubContent("no"), isLarge: true)]))
        return fixture
    }

    @Test func aVariantOfSeveralRepositoriesHasAFolderOfLinks() async throws {
        let fixture = try lightning()
        let report = try await fixture.pull("wan2.2-t2v-a14b", variant: "lightning")
        #expect(report.path == fixture.folder + "/.local/share/swan/models/wan2.2-t2v-a14b-lightning")
        #expect(
            try String(contentsOfFile: report.path + "/lightning/low_noise_model.safetensors", encoding: .utf8) == "low"
        )
        #expect(try String(contentsOfFile: report.path + "/high_noise_model/config.json", encoding: .utf8) == "{}")
        // Found again by its name, with all of it in place.
        let installed = InstalledModels(
            executable: "/nowhere/swan", environment: ["HOME": fixture.folder, "HF_HUB_CACHE": fixture.folder + "/hub"])
        #expect(try installed.path(of: "wan2.2-t2v-a14b-lightning") == report.path)
        let again = try await fixture.pull("wan2.2-t2v-a14b-lightning")
        #expect(again.path == report.path && again.fetchedBytes == 0)
    }

    /// Whoever put a folder of their own there keeps what is in it.
    @Test func theFolderOfLinksTakesNothingElseAway() async throws {
        let fixture = try lightning()
        let files = FileManager.default
        let path = fixture.folder + "/.local/share/swan/models/wan2.2-t2v-a14b-lightning"
        let own = fixture.folder + "/own"
        try files.createDirectory(atPath: own + "/inner", withIntermediateDirectories: true)
        try "mine".write(toFile: own + "/inner/notes.txt", atomically: false, encoding: .utf8)
        try files.createDirectory(
            atPath: fixture.folder + "/.local/share/swan/models", withIntermediateDirectories: true)
        try files.createSymbolicLink(atPath: path, withDestinationPath: own)
        // A link gives way; what it leads to stays.
        #expect(try await fixture.pull("wan2.2-t2v-a14b", variant: "lightning").path == path)
        #expect(try String(contentsOfFile: own + "/inner/notes.txt", encoding: .utf8) == "mine")
        #expect((try? files.destinationOfSymbolicLink(atPath: path)) == nil)

        // A file among the links is no link.
        let file = path + "/high_noise_model/notes.txt"
        try "mine".write(toFile: file, atomically: false, encoding: .utf8)
        let error = try await fixture.error { try await fixture.pull("wan2.2-t2v-a14b", variant: "lightning") }
        #expect(error.code == .cacheUnwritable && error.message.contains(file), "\(error)")
        #expect(try String(contentsOfFile: file, encoding: .utf8) == "mine")
        #expect(files.fileExists(atPath: path + "/lightning/low_noise_model.safetensors"), "nothing was begun")
        #expect(try files.contentsOfDirectory(atPath: path + "/..").count == 1)
        try files.removeItem(atPath: file)
        #expect(try await fixture.pull("wan2.2-t2v-a14b", variant: "lightning").path == path)
    }

    // MARK: Faults that are overcome

    enum Trouble: String, CaseIterable, Sendable {
        case unavailable, rateLimited, closed, stalled, loginPage, otherRange, wrongByte, lists

        var faults: [(text: String, fault: HubServer.Fault)] {
            switch self {
            case .unavailable: [("/resolve/", .status(503)), ("/storage/", .status(502)), ("/storage/", .status(500))]
            case .rateLimited:
                [
                    ("/resolve/", .status(429, ["Retry-After": "0"])),
                    ("/storage/", .status(429, ["RateLimit": #""api";r=0;t=0"#])),
                ]
            case .closed: [("/storage/", .closed(afterBytes: 70_000)), ("/storage/", .closed(afterBytes: 0))]
            case .stalled: [("/storage/", .stalled(afterBytes: 66_000))]
            case .loginPage: [("/storage/", .loginPage)]
            case .otherRange: [("/storage/", .otherRange), ("/storage/", .otherRange), ("/storage/", .otherRange)]
            case .wrongByte: [("/storage/\(HubContent(seed: 3, size: 65_536).sha256)", .wrongByte(at: 10_000))]
            case .lists:
                [("/tree/", .status(500)), ("/revision/", .closed(afterBytes: 0)), ("/revision/", .status(504))]
            }
        }

        /// Bytes that may be given out and not be used, at most: those of answers that break off, are refused or are
        /// wrong.
        var bytesInVain: Int {
            switch self {
            case .closed: 70_000
            case .stalled: 66_000
            case .otherRange: 300_000
            case .wrongByte: 65_536
            case .unavailable, .rateLimited, .loginPage, .lists: 0
            }
        }
    }

    @Test(arguments: Trouble.allCases)
    func isOvercome(trouble: Trouble) async throws {
        let fixture = try Fixture(stallSeconds: trouble == .stalled ? 1 : 30)
        fixture.hub.change { $0.faults = trouble.faults }
        try fixture.check(try await fixture.pull().path)
        #expect(fixture.hub.faultsLeft == 0, "every fault was met")
        #expect(fixture.leftovers.isEmpty)
        // A busy machine may be slow enough to be taken for more servers that have stalled.
        if trouble != .stalled {
            #expect(fixture.hub.bodyBytes <= fixture.wantedBytes + trouble.bytesInVain, "\(fixture.hub.bodyBytes)")
        }
        // What is there is not asked for again: each request for a piece begins where the last one ended, or later.
        if trouble != .wrongByte {
            var starts: [String: Int] = [:]
            for request in fixture.hub.requests where request.uri.hasPrefix("/storage/") {
                let range = request.fields["range"] ?? ""
                let bounds = range.split { !("0" ... "9").contains($0) }.compactMap { Int($0) }
                try #require(bounds.count == 2)
                let piece = "\(request.uri.prefix { $0 != "?" }) \(bounds[1])"
                #expect(bounds[0] >= starts[piece] ?? 0, "\(piece)")
                starts[piece] = bounds[0]
            }
        }
        #expect(trouble != .wrongByte || fixture.said.contains("It is fetched once more"), "\(fixture.said)")
    }

    @Test func rangesThatAreIgnoredEndInOneStream() async throws {
        let fixture = try Fixture()
        fixture.hub.change { $0.ignoresRanges = true }
        try fixture.check(try await fixture.pull().path)
        #expect(fixture.said.contains("ignores ranges"))
    }

    /// Each file is known by itself, whatever was fetched before it by the same worker.
    @Test func everyFileOfManyComesInOneStream() async throws {
        let files = (0 ..< 12).map {
            HubRepository.File("\($0).safetensors", HubContent(seed: UInt64($0), size: 250_000 + $0), isLarge: true)
        }
        let fixture = try Fixture(HubRepository("o/many", files))
        fixture.hub.change { $0.ignoresRanges = true }
        let report = try await fixture.pull("o/many", connections: 1)
        for file in files {
            let bytes = try Data(contentsOf: URL(filePath: "\(report.path)/\(file.path)"))
            #expect(bytes == Data(file.content.bytes(0 ..< file.content.size)), "\(file.path)")
        }
        #expect(fixture.notes.withLock { $0.count { $0.contains("ignores ranges") } } == 12)
        #expect(fixture.leftovers.isEmpty)
    }

    @Test func aWrongStreamIsFetchedOnceMore() async throws {
        let fixture = try Fixture()
        let large = try #require(fixture.wanted.first { $0.path.hasSuffix("model.safetensors") })
        fixture.hub.change { behaviour in
            behaviour.ignoresRanges = true
            // The first answer only tells that ranges are ignored; a byte of the stream that follows is wrong.
            behaviour.faults = Array(repeating: ("/storage/\(large.sha256)", .wrongByte(at: 400_000)), count: 2)
        }
        try fixture.check(try await fixture.pull(connections: 1).path)
        #expect(fixture.said.contains("It is fetched once more"), "\(fixture.said)")
        #expect(fixture.hub.faultsLeft == 0)
    }

    /// Servers behind one name need not agree: one gives ranges, another the whole file, while others are at work.
    @Test(arguments: 0 ..< 6)
    func rangesThatAreIgnoredBySomeEndInOneStream(position: Int) async throws {
        let fixture = try Fixture()
        let large = try #require(fixture.wanted.first { $0.path.hasSuffix("model.safetensors") })
        fixture.hub.change { behaviour in
            behaviour.bytesPerSecond = 6_000_000
            // What comes before it are answers that begin and break off, so that streams overlap.
            behaviour.faults =
                Array(repeating: ("/storage/\(large.sha256)", .closed(afterBytes: 30_000)), count: position)
                + [("/storage/\(large.sha256)", .ignoredRange), ("/storage/\(large.sha256)", .ignoredRange)]
        }
        try fixture.check(try await fixture.pull(pieceBytes: 70_000).path)
        #expect(fixture.notes.withLock { $0.count { $0.contains("ignores ranges") } } == 1, "\(fixture.said)")
        #expect(!fixture.said.contains("fetched once more"), "\(fixture.said)")
        #expect(fixture.leftovers.isEmpty)
    }

    @Test func signaturesThatEndAreRenewed() async throws {
        let fixture = try Fixture()
        fixture.hub.change { $0.signatureUses = 2 }
        try fixture.check(try await fixture.pull().path)
    }

    // MARK: Two hubs

    @Test func theOtherHubIsTriedWhenOneIsDown() async throws {
        let fixture = try Fixture()
        let report = try await fixture.pull(with: ["HF_ENDPOINT": "http://127.0.0.1:9"])
        try fixture.check(report.path)
        #expect(report.parts.map(\.hub) == [.modelScope])
        #expect(fixture.said.contains("Trying ModelScope"), "\(fixture.said)")
    }

    /// The half that one hub gave is not fetched from the other again.
    @Test func theOtherHubGoesOnWhereOneStopped() async throws {
        let fixture = try Fixture()
        fixture.hub.change { $0.faults = [("/models_t5_umt5", .status(404))] }
        // One after the other, so that nothing else is on its way when one file stops them all.
        let report = try await fixture.pull(connections: 1)
        try fixture.check(report.path)
        #expect(report.parts.map(\.hub) == [.modelScope])
        // The hubs name small files by different hashes.
        let small = fixture.wanted.filter { !$0.isLarge }.reduce(0) { $0 + $1.content.size }
        #expect(fixture.hub.bodyBytes == report.bytes + small)
        #expect(fixture.hub.requests.contains { $0.uri.contains("/resolve/") && $0.uri.contains("VAE") })
    }

    @Test func aMirrorMayBeNamed() async throws {
        let fixture = try Fixture()
        let nowhere = ["HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"]
        try fixture.check(try await fixture.pull(from: .address(fixture.hub.base + "/"), with: nowhere).path)
    }

    // MARK: Errors

    @Test(
        arguments: [
            (401, ["X-Error-Message": "Invalid credentials in Authorization header"], "hub.refused", "HF_TOKEN"),
            (403, ["X-Error-Code": "GatedRepo"], "hub.refused", "accept them"),
            (403, [:], "hub.refused", "token"),
            (404, ["X-Error-Code": "RevisionNotFound"], "hub.not-found", "branch"),
            (404, ["X-Error-Code": "RepoNotFound"], "hub.not-found", "Check the name"),
            (429, ["Retry-After": "4000"], "hub.rate-limited", "later"),
            (429, ["Retry-After": "1e300"], "hub.rate-limited", "later"),
            (429, ["RateLimit": #""api";r=0;t=1e300"#], "hub.rate-limited", "later"),
        ] as [(Int, [String: String], String, String)])
    func isAClearError(status: Int, fields: [String: String], code: String, advice: String) async throws {
        let fixture = try Fixture()
        fixture.hub.change { $0.faults = [("/revision/", .status(status, fields))] }
        let error = try await fixture.error { try await fixture.pull(from: .hub(.huggingFace)) }
        #expect(error.code.name == code && error.advice.contains(advice), "\(error)")
    }

    /// However slow a hub is, the time that is left is a text.
    @Test func timesThatCannotBeAreShown() {
        for seconds in [1e15, 1e19, 1e300, .infinity, .nan, -1] { #expect(formatted(seconds: seconds) == "?") }
        #expect(formatted(seconds: 1e9) == "277777 h 46 min")
    }

    @Test func aHubThatStaysDownIsGivenUp() async throws {
        let fixture = try Fixture()
        let nowhere = ["HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"]
        let error = try await fixture.error { try await fixture.pull(with: nowhere) }
        #expect(error.code == .unreachable && error.code.kind == .unavailable, "\(error)")
        #expect(error.message.contains("refused"), "\(error)")
    }

    @Test func anUnknownRepositoryIsNotFound() async throws {
        let fixture = try Fixture()
        let error = try await fixture.error { try await fixture.pull("nobody/nothing") }
        #expect(error.code == .notFound && error.message.contains("nobody/nothing"), "\(error)")
    }

    @Test func wrongBytesAreNeverKept() async throws {
        let fixture = try Fixture()
        fixture.hub.change { $0.wrongFiles = ["Wan2.1_VAE.pth"] }
        let error = try await fixture.error { try await fixture.pull() }
        #expect(error.code == .hashMismatch && error.code.kind == .data, "\(error)")
        let file = try #require(fixture.wanted.first { $0.path == "Wan2.1_VAE.pth" })
        #expect(error.message.contains(file.sha256) && error.message.contains("Wan2.1_VAE.pth"))
        #expect(!FileManager.default.fileExists(atPath: "\(fixture.cached)/blobs/\(file.sha256)"))
        #expect(!FileManager.default.fileExists(atPath: "\(fixture.cached)/snapshots"))
        fixture.hub.change { $0.wrongFiles = [] }
        try fixture.check(try await fixture.pull().path)
    }

    /// A file that becomes another between the list and the fetch.
    @Test func aChangeMeanwhileIsToldByItsSizeOrHash() async throws {
        let fixture = try Fixture()
        let other = Fixture.repository(seed: 5)
        // The commit that was listed answers with what another one holds.
        var swapped = other
        swapped.message = "swapped"
        let shorter = Fixture.repository(seed: 1, size: 899_999)
        for replacement in [swapped, shorter] {
            fixture.hub.add(fixture.repository, revisions: ["main", "master"])
            fixture.hub.add(replacement, revisions: [fixture.repository.commit])
            let error = try await fixture.error { try await fixture.pull(from: .hub(.huggingFace)) }
            #expect(error.code == .changed && error.message.contains("changed"), "\(error)")
        }
    }

    @Test(arguments: ["../escape", "/etc/passwd", "a/../../b", "a\\b", "C:/x", "a//b", "./a", "line\nbreak"])
    func aNameThatLeadsOutIsRefused(path: String) async throws {
        let fixture = try Fixture(HubRepository("o/hostile", [.init(path, HubContent("x"))]))
        let error = try await fixture.error { try await fixture.pull("o/hostile", from: .hub(.modelScope)) }
        #expect(error.code == .badAnswer, "\(error)")
        #expect(!FileManager.default.fileExists(atPath: fixture.folder + "/hub"))
    }

    @Test func aDiskWithoutRoomIsToldBeforeAnythingIsFetched() async throws {
        // Its content is never asked for, so that its hash does not matter.
        let fixture = try Fixture(
            HubRepository("o/large", [.init("a.bin", HubContent("x")), .init("b.bin", HubContent("y"), isLarge: true)]))
        // 880 TB, in files of sizes that there are.
        let lies = (0 ..< 50).map {
            #"{"type":"file","path":"\#($0).bin","size":17592186044415,"oid":"\#(String(repeating: "a", count: 38))\#(10 + $0)"}"#
        }
        fixture.hub.change { $0.faults = [("/tree/", .text("[\(lies.joined(separator: ","))]"))] }
        let error = try await fixture.error { try await fixture.pull("hf:o/large") }
        #expect(error.code == .noRoom && error.code.kind == .resources, "\(error)")
        #expect(fixture.hub.bodyBytes == 0)
        #expect(!FileManager.default.fileExists(atPath: fixture.folder + "/hub"))
    }

    /// Only what is to come needs room: not what another tool's cache lends, nor what another tool began.
    @Test func roomIsAskedForWhatIsToCome() async throws {
        let lent = try Fixture(Fixture.repository(size: 2_000_000))
        let file = try #require(lent.wanted.first { $0.path.hasSuffix("model.safetensors") })
        try lent.lend(file)
        let toCome = lent.wantedBytes - 2_000_000
        let error = try await lent.error { try await lent.pull(freeBytes: toCome) }
        #expect(error.code == .noRoom && lent.hub.bodyBytes == 0, "\(error)")
        try lent.check(try await lent.pull(freeBytes: toCome + toCome / 100).path)
        #expect(lent.hub.bodyBytes == toCome)

        let begun = try Fixture()
        let large = try #require(begun.wanted.first { $0.path.hasSuffix("model.safetensors") })
        try FileManager.default.createDirectory(
            atPath: begun.cached + "/blobs", withIntermediateDirectories: true)
        try Data(large.content.bytes(0 ..< 555_555)).write(
            to: URL(filePath: "\(begun.cached)/blobs/\(large.sha256).incomplete"))
        let rest = begun.wantedBytes - 555_555
        let tight = try await begun.error { try await begun.pull(freeBytes: rest) }
        #expect(tight.code == .noRoom && begun.hub.bodyBytes == 0, "\(tight)")
        try begun.check(try await begun.pull(freeBytes: rest + rest / 100).path)
    }

    /// Hashing what another tool fetched takes minutes for a model: it ends at once when somebody wants to stop.
    @Test(.timeLimit(.minutes(1)))
    func takingOverCanBeStopped() async throws {
        let fixture = try Fixture(HubRepository("o/large", [.init("a.bin", HubContent("x"))]))
        // A file of nothing but a length, which takes minutes to read.
        let size = 1 << 40
        let digits = String(repeating: "a", count: 64)
        let list =
            #"[{"type":"file","path":"a.bin","size":\#(size),"oid":"\#(digits.prefix(40))","#
            + #""lfs":{"oid":"\#(digits)","size":\#(size),"pointerSize":134}}]"#
        fixture.hub.change { $0.faults = [("/tree/", .text(list))] }
        let place = fixture.folder + "/.cache/modelscope/hub/models/o/large"
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: true)
        #expect(FileManager.default.createFile(atPath: place + "/a.bin", contents: nil))
        #expect(truncate(place + "/a.bin", size) == 0)
        let error = try await fixture.error {
            try await fixture.pull("hf:o/large", isCancelled: { fixture.said.contains("verifying") })
        }
        #expect(error.code == .cancelled, "\(error)")
        #expect(!FileManager.default.fileExists(atPath: fixture.folder + "/hub"))
    }

    /// Sizes that no disk has, alone or added up, are no sizes.
    @Test(arguments: [Int.max, 1 << 44, -1])
    func aSizeThatCannotBeIsRefused(size: Int) async throws {
        let fixture = try Fixture(HubRepository("o/large", [.init("a.bin", HubContent("x"))]))
        let files = ["a", "b"].map {
            #"{"type":"file","path":"\#($0)","size":\#(size),"oid":"\#(String(repeating: $0, count: 40))"}"#
        }
        fixture.hub.change { $0.faults = [("/tree/", .text("[\(files.joined(separator: ","))]"))] }
        let error = try await fixture.error { try await fixture.pull("hf:o/large") }
        #expect(error.code == .badAnswer && error.message.contains("\(size)"), "\(error)")
        #expect(!FileManager.default.fileExists(atPath: fixture.folder + "/hub"))
    }

    // MARK: Caches

    @Test func theNetworkIsNotUsedOffline() async throws {
        let fixture = try Fixture()
        let offline = ["HF_HUB_OFFLINE": "1"]
        let error = try await fixture.error { try await fixture.pull(with: offline) }
        #expect(error.code == .offline && fixture.hub.requests.isEmpty)
        let report = try await fixture.pull()
        fixture.hub.forget()
        #expect(try await fixture.pull(with: offline).path == report.path)
        #expect(fixture.hub.requests.isEmpty)
        try FileManager.default.removeItem(atPath: report.path + "/Wan2.1_VAE.pth")
        let gap = try await fixture.error { try await fixture.pull(with: offline) }
        #expect(gap.code == .offline && gap.message.contains("Wan2.1_VAE.pth"), "\(gap)")
    }

    @Test func aCompleteModelIsUsedWhenNoHubAnswers() async throws {
        let fixture = try Fixture()
        let report = try await fixture.pull()
        let nowhere = ["HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"]
        #expect(try await fixture.pull(with: nowhere).path == report.path)
        #expect(fixture.said.contains("All files of the last revision"), "\(fixture.said)")
    }

    @Test func damagedFilesAreFoundOnRequest() async throws {
        let fixture = try Fixture()
        let report = try await fixture.pull()
        #expect(report.isVerified)
        try fixture.damage(report.path + "/models_t5_umt5-xxl-enc-bf16.pth")
        fixture.hub.forget()
        #expect(try await !fixture.pull().isVerified)
        #expect(fixture.hub.bodyBytes == 0)
        let verified = try await fixture.pull(verifies: true)
        try fixture.check(verified.path)
        #expect(verified.isVerified && fixture.hub.bodyBytes == 300_001)
    }

    /// Where links cannot be made, a snapshot holds the files themselves.
    @Test func damagedPlainFilesAreFoundOnRequest() async throws {
        let fixture = try Fixture()
        let report = try await fixture.pull()
        for (path, hasContent) in [("models_t5_umt5-xxl-enc-bf16.pth", false), ("Wan2.1_VAE.pth", true)] {
            let file = try #require(fixture.wanted.first { $0.path == path })
            try FileManager.default.removeItem(atPath: "\(report.path)/\(path)")
            try Data(file.content.bytes(0 ..< file.content.size)).write(to: URL(filePath: "\(report.path)/\(path)"))
            if !hasContent { try FileManager.default.removeItem(atPath: "\(fixture.cached)/blobs/\(file.sha256)") }
        }
        fixture.hub.forget()
        #expect(try await fixture.pull(verifies: true).isVerified)
        #expect(fixture.hub.bodyBytes == 0, "nothing is wrong yet")
        try fixture.damage(report.path + "/models_t5_umt5-xxl-enc-bf16.pth")
        try fixture.damage(report.path + "/Wan2.1_VAE.pth")
        try fixture.check(try await fixture.pull(verifies: true).path)
        #expect(fixture.hub.bodyBytes == 300_001, "what is here as a content is not fetched")
    }

    /// Without a network a damaged file is told, and stays.
    @Test(arguments: [true, false])
    func damagedFilesAreFoundWithoutTheNetworkToo(isOffline: Bool) async throws {
        let fixture = try Fixture()
        let report = try await fixture.pull()
        let nowhere = ["HF_ENDPOINT": "http://127.0.0.1:9", "MODELSCOPE_ENDPOINT": "http://127.0.0.1:9"]
        let environment = isOffline ? ["HF_HUB_OFFLINE": "1"] : nowhere
        let verified = try await fixture.pull(with: environment, verifies: true)
        #expect(verified.isVerified && verified.path == report.path)
        #expect(try await !fixture.pull(with: environment).isVerified)
        let path = report.path + "/models_t5_umt5-xxl-enc-bf16.pth"
        try fixture.damage(path)
        let error = try await fixture.error { try await fixture.pull(with: environment, verifies: true) }
        #expect(error.code == .hashMismatch && error.message.contains("models_t5"), "\(error)")
        #expect(error.advice.contains("--verify"))
        #expect(FileManager.default.fileExists(atPath: path))
    }

    /// What an older client of the hub left is the beginning of the file.
    @Test func theBeginningThatAnotherToolLeftIsTakenOver() async throws {
        let fixture = try Fixture()
        let file = try #require(fixture.wanted.first { $0.path.hasSuffix("model.safetensors") })
        try FileManager.default.createDirectory(
            atPath: fixture.cached + "/blobs", withIntermediateDirectories: true)
        try Data(file.content.bytes(0 ..< 555_555)).write(
            to: URL(filePath: "\(fixture.cached)/blobs/\(file.sha256).incomplete"))
        let report = try await fixture.pull()
        try fixture.check(report.path)
        #expect(fixture.hub.bodyBytes == report.bytes - 555_555)
    }

    @Test func filesOfModelScopesOwnToolsAreTakenOver() async throws {
        let fixture = try Fixture(Fixture.repository(size: 2_000_000))
        try fixture.lend(try #require(fixture.wanted.first { $0.path.hasSuffix("model.safetensors") }))
        let report = try await fixture.pull()
        try fixture.check(report.path)
        #expect(fixture.hub.bodyBytes == report.bytes - 2_000_000)
    }

    @Test func whatSomebodyElseFetchesIsWaitedFor() async throws {
        let fixture = try Fixture()
        let file = try #require(fixture.wanted.first { $0.path == "Wan2.1_VAE.pth" })
        let locks = "\(fixture.folder)/hub/.locks/models--Wan-AI--Wan2.1-T2V-1.3B"
        try FileManager.default.createDirectory(atPath: locks, withIntermediateDirectories: true)
        let lock = open("\(locks)/\(file.sha256).lock", O_RDWR | O_CREAT, 0o664)
        #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
        async let report = fixture.pull()
        while !fixture.said.contains("Another program fetches") { try await Task.sleep(for: .milliseconds(10)) }
        // The other one finishes it.
        let blob = "\(fixture.cached)/blobs/\(file.sha256)"
        try Data(file.content.bytes(0 ..< file.content.size)).write(to: URL(filePath: blob))
        close(lock)
        try fixture.check(try await report.path)
        #expect(!fixture.hub.requests.contains { $0.uri.contains("Wan2.1_VAE") }, "nobody else asks for it")
    }

    @Test func leftoversOfARevisionThatIsGoneAreRemoved() async throws {
        let fixture = try Fixture()
        // More than all files but the largest have.
        _ = try await fixture.stop(after: 700_000)
        let large = try #require(fixture.wanted.first { $0.path.hasSuffix("model.safetensors") })
        #expect(fixture.leftovers.contains { $0.contains(large.sha256) })
        let later = Fixture.repository(seed: 77)
        fixture.hub.add(later)
        try fixture.check(try await fixture.pull().path, later)
        #expect(fixture.leftovers.isEmpty)
    }

    /// Two choices of files from one repository: what one began is not what the other clears away.
    @Test func whatAnotherChoiceOfFilesBeganIsKept() async throws {
        let large = HubRepository.File("a/large.bin", HubContent(seed: 1, size: 900_000), isLarge: true)
        let fixture = try Fixture(
            HubRepository("o/two", [large, .init("b/small.bin", HubContent(seed: 2, size: 80_000), isLarge: true)]))
        _ = try await fixture.stop(after: 500_000, "hf:o/two", include: ["a/*"])
        let begun = fixture.leftovers
        #expect(!begun.isEmpty)
        _ = try await fixture.pull("hf:o/two", include: ["b/*"])
        #expect(fixture.leftovers == begun)
        fixture.hub.forget()
        let report = try await fixture.pull("hf:o/two", include: ["a/*"])
        #expect(
            FileManager.default.contents(atPath: report.path + "/a/large.bin")
                == Data(large.content.bytes(0 ..< 900_000)))
        #expect(fixture.hub.bodyBytes == 400_000 && fixture.leftovers.isEmpty)
    }

    /// What was begun here and finished by another tool leaves nothing behind, whether as a content or as a plain file.
    @Test(arguments: [true, false])
    func whatAnotherToolFinishedLeavesNoPartial(isPlain: Bool) async throws {
        let fixture = try Fixture()
        let large = try #require(fixture.wanted.first { $0.path.hasSuffix("model.safetensors") })
        // More than all files but the largest have.
        _ = try await fixture.stop(after: 700_000)
        #expect(fixture.leftovers.contains { $0.contains(large.sha256) })
        let snapshot = "\(fixture.cached)/snapshots/\(fixture.repository.commit)"
        try FileManager.default.createDirectory(atPath: snapshot, withIntermediateDirectories: true)
        let place = isPlain ? "\(snapshot)/\(large.path)" : "\(fixture.cached)/blobs/\(large.sha256)"
        try Data(large.content.bytes(0 ..< large.content.size)).write(to: URL(filePath: place))
        try fixture.check(try await fixture.pull().path)
        #expect(fixture.leftovers.isEmpty)
    }

    /// Whoever empties the cache while it is filled gets an error, and no links to nothing.
    @Test func whatVanishesMeanwhileIsNotLinked() async throws {
        let fixture = try Fixture()
        let vae = try #require(fixture.wanted.first { $0.path == "Wan2.1_VAE.pth" })
        let blob = "\(fixture.cached)/blobs/\(vae.sha256)"
        let error = try await fixture.error {
            try await fixture.pull(onFile: { if $0 == vae.path { try? FileManager.default.removeItem(atPath: blob) } })
        }
        #expect(error.message.contains(vae.path) && error.advice.contains("again"), "\(error)")
        #expect(!FileManager.default.fileExists(atPath: "\(fixture.cached)/snapshots"))
        fixture.hub.forget()
        try fixture.check(try await fixture.pull().path)
        #expect(fixture.hub.bodyBytes == 65_536)
    }

    @Test(arguments: [1, 100_000, 700_000, 1_300_000])
    func aStopKeepsWhatIsHere(bytes: Int) async throws {
        let fixture = try Fixture()
        let error = try await fixture.stop(after: bytes)
        #expect(error.code == .cancelled && error.message.contains("are kept"), "\(error)")
        #expect(error.advice.contains("goes on"))
        // All that has arrived is on the disk, and nothing of it is asked for again.
        #expect(keptBytes(inCache: fixture.folder + "/hub") == bytes)
        let report = try await fixture.pull()
        try fixture.check(report.path)
        #expect(report.bytes == fixture.wantedBytes && fixture.hub.bodyBytes == report.bytes - bytes)
    }

    /// After a crash of the system the disk may lack what was written: only what it was asked to hold is trusted.
    @Test(arguments: [true, false])
    func whatTheDiskMayHaveLostIsFetchedAgain(isAnotherStart: Bool) async throws {
        let fixture = try Fixture()
        _ = try await fixture.stop(after: 700_000)
        let notes = fixture.leftovers.filter { $0.hasSuffix(".progress") }
        #expect(!notes.isEmpty)
        for name in notes {
            let path = "\(fixture.folder)/hub/\(name)"
            var bytes = try #require(FileManager.default.contents(atPath: path))
            if isAnotherStart {
                bytes.replaceSubrange(32 ..< 68, with: Data(repeating: 65, count: 36))
            } else {
                bytes.removeLast(3)
            }
            try bytes.write(to: URL(filePath: path))
        }
        // And the disk has indeed lost it.
        for name in fixture.leftovers where name.hasSuffix(".incomplete") {
            let handle = try #require(FileHandle(forWritingAtPath: "\(fixture.folder)/hub/\(name)"))
            try handle.write(contentsOf: Data(count: 60_000))
            try handle.close()
        }
        try fixture.check(try await fixture.pull().path)
        #expect(!fixture.said.contains("fetched once more"), "nothing wrong was trusted: \(fixture.said)")
    }

    // MARK: Secrets

    @Test func theTokenGoesToTheHubOnly() async throws {
        let fixture = try Fixture()
        fixture.hub.change { $0.token = "hf_secret" }
        let refused = try await fixture.error { try await fixture.pull(from: .hub(.huggingFace)) }
        #expect(refused.code == .notFound)
        let report = try await fixture.pull(from: .hub(.huggingFace), with: ["HF_TOKEN": "hf_secret"])
        try fixture.check(report.path)
        let storage = fixture.hub.requests.filter { $0.uri.hasPrefix("/storage/") }
        #expect(!storage.isEmpty && storage.allSatisfy { $0.fields["authorization"] == nil })
        #expect(!fixture.said.contains("hf_secret"))
        // Nor is it kept anywhere.
        for name in try FileManager.default.subpathsOfDirectory(atPath: fixture.folder) {
            let data = FileManager.default.contents(atPath: "\(fixture.folder)/\(name)") ?? Data()
            #expect(data.range(of: Data("hf_secret".utf8)) == nil, "\(name)")
        }
    }

    @Test func theSavedTokenIsUsed() async throws {
        let fixture = try Fixture()
        fixture.hub.change { $0.token = "hf_saved" }
        try FileManager.default.createDirectory(
            atPath: fixture.folder + "/.cache/huggingface", withIntermediateDirectories: true)
        try "hf_saved\n".write(
            toFile: fixture.folder + "/.cache/huggingface/token", atomically: false, encoding: .utf8)
        try fixture.check(try await fixture.pull(from: .hub(.huggingFace)).path)
    }
}
