import Foundation
import SwanDiagnostics
import SwanHub
import SwanTestHub
import Testing

/// A folder that goes when the test ends.
private final class Scratch: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "swan-wheel-\(UUID().uuidString)").path

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite struct WheelTests {
    private let scratch = Scratch()
    private var folder: String { scratch.path }

    init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

    private func write(_ bytes: [UInt8]) throws -> String {
        let path = folder + "/a.whl"
        try Data(bytes).write(to: URL(filePath: path))
        return path
    }

    private func bytes(_ path: String) -> [UInt8]? { FileManager.default.contents(atPath: path).map(Array.init) }

    // MARK: Zip files

    @Test func unpacksWhatWasPacked() throws {
        // Repeated text packs well, other bytes do not; more than the buffers hold.
        let contents: [[UInt8]] = [
            [], Array("a small text".utf8),
            Array(repeatElement(Array("again and again ".utf8), count: 300_000).joined()),
            HubContent(seed: 5, size: 3_000_001).bytes(0 ..< 3_000_001),
        ]
        var zip = ZipMaker()
        for (index, content) in contents.enumerated() {
            zip.add("inner/stored\(index)", content, isDeflated: false)
            zip.add("inner/packed\(index)", content, isDeflated: true)
        }
        let archive = try ZipArchive(write(zip.bytes))
        #expect(archive.entries.count == 8)
        for entry in archive.entries {
            let index = try #require(entry.path.last?.wholeNumberValue)
            try archive.unpack(entry, to: "\(folder)/out/\(entry.path)")
            #expect(bytes("\(folder)/out/\(entry.path)") == contents[index], "\(entry.path)")
        }
    }

    @Test func everyCutFileIsRefused() throws {
        var zip = ZipMaker()
        zip.add("a", Array("text ".utf8), isDeflated: true)
        zip.add("b", Array("other".utf8), isDeflated: false)
        let whole = zip.bytes
        for count in 0 ..< whole.count {
            let path = try write(Array(whole[..<count]))
            #expect(throws: SwanError.self, "\(count)") { try ZipArchive(path) }
        }
    }

    /// A package of which half is there must not look like one that is whole.
    @Test func aFolderIsFilledAsAWholeOrNotAtAll() throws {
        let contents = (0 ..< 3).map { HubContent(seed: UInt64($0), size: 5000 + $0).bytes(0 ..< 5000 + $0) }
        var zip = ZipMaker()
        for (index, content) in contents.enumerated() { zip.add("in/\(index)", content, isDeflated: index > 0) }
        zip.add("in/wrong", contents[0], isDeflated: false, checksum: 7)
        let archive = try ZipArchive(write(zip.bytes))
        let files = archive.entries.prefix(3).map { (entry: $0, name: "lib" + ($0.path.last.map(String.init) ?? "")) }
        let out = folder + "/out"
        try FileManager.default.createDirectory(atPath: out + "/.unpacking", withIntermediateDirectories: true)
        try Data("old".utf8).write(to: URL(filePath: out + "/lib1"))
        try Data("left by a kill".utf8).write(to: URL(filePath: out + "/.unpacking/lib9"))
        func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: out).sorted() }

        // A stop before the last, a damaged last one, too little room: nothing has changed.
        var begun = 0
        let stopped = try #require(throws: SwanError.self) {
            try archive.unpack(files, into: out, isCancelled: { begun == 2 }, begin: { _ in begun += 1 })
        }
        #expect(stopped.code == .cancelled && begun == 2)
        #expect(try names() == ["lib1"] && bytes(out + "/lib1") == Array("old".utf8))
        let damaged = try #require(throws: SwanError.self) {
            try archive.unpack(
                files + [(entry: archive.entries[3], name: "libwrong")], into: out, isCancelled: { false },
                begin: { _ in })
        }
        #expect(damaged.code == .badAnswer)
        #expect(try names() == ["lib1"] && bytes(out + "/lib1") == Array("old".utf8))
        let tight = try #require(throws: SwanError.self) {
            try archive.unpack(
                files, into: out, freeBytes: { _ in 15_002 }, isCancelled: { false }, begin: { _ in begun += 1 })
        }
        #expect(tight.code == .noRoom && begun == 2, "\(tight)")

        try archive.unpack(files, into: out, freeBytes: { _ in 15_003 }, isCancelled: { false }, begin: { _ in })
        #expect(try names() == ["lib0", "lib1", "lib2"])
        for index in 0 ..< 3 { #expect(bytes("\(out)/lib\(index)") == contents[index]) }
    }

    @Test func changedBytesAreNoticed() throws {
        var zip = ZipMaker()
        let content = HubContent(seed: 3, size: 2000).bytes(0 ..< 2000)
        zip.add("a", content, isDeflated: false, checksum: 7)
        zip.add("b", content, isDeflated: true, size: 1000)
        zip.add("c", content, isDeflated: true, size: 3000)
        let archive = try ZipArchive(write(zip.bytes))
        for entry in archive.entries {
            let error = try #require(throws: SwanError.self) { try archive.unpack(entry, to: folder + "/x") }
            #expect(error.code == .badAnswer)
            #expect(bytes(folder + "/x") == nil)
        }
    }

    // MARK: The registry

    @Test(
        arguments: [
            (["PIP_INDEX_URL": "https://one/simple/"], [:], "https://one/simple"),
            (["HOME": "/h"], ["/h/.config/pip/pip.conf": "[global]\nindex-url = https://two/x\n"], "https://two/x"),
            (
                ["HOME": "/h", "VIRTUAL_ENV": "/v"],
                [
                    "/v/pip.conf": "[global]\nindex_url: https://three",
                    "/h/.pip/pip.conf": "[global]\nindex-url=https://4",
                ],
                "https://three"
            ),
            (
                [:], ["/etc/pip.conf": "[global]\nindex-url = https://g\n[install]\nindex-url = https://i\n"],
                "https://i"
            ),
            (
                ["PIP_CONFIG_FILE": "/dev/null"], ["/etc/pip.conf": "[global]\nindex-url = https://g\n"],
                "https://pypi.org/simple"
            ),
            (
                [:], ["/etc/pip.conf": "[list]\nindex-url = https://g\n# index-url = https://h\n"],
                "https://pypi.org/simple"
            ),
        ] as [([String: String], [String: String], String)])
    func asksTheRegistryThatPipWouldAsk(variables: [String: String], files: [String: String], index: String) throws {
        #expect(try RegistrySettings(variables: variables) { files[$0] }.index == index)
    }

    private func registry(_ hub: HubServer, login: String = "") throws -> PythonRegistry {
        let base = hub.base.replacingOccurrences(of: "http://", with: "http://" + login)
        var settings = try RegistrySettings(variables: ["PIP_INDEX_URL": base + "/simple"]) { _ in nil }
        settings.web.retries.firstDelay = 0.01
        return PythonRegistry(settings, userAgent: "swan/test")
    }

    @Test(arguments: [true, false])
    func readsBothFormsOfTheIndex(isJSON: Bool) async throws {
        let hub = try HubServer()
        let content = HubContent(seed: 8, size: 500_000)
        let name = "nvidia_thing-13.0.2-py3-none-manylinux_2_27_x86_64.whl"
        hub.serve("/files/\(name)", type: "application/zip", content)
        let digits = content.sha256
        hub.serve(
            "/simple/nvidia-thing/", type: isJSON ? "application/vnd.pypi.simple.v1+json" : "text/html",
            HubContent(
                isJSON
                    ? #"""
                    {"files": [{"filename": "\#(name)", "url": "../../files/\#(name)", "hashes": {"sha256": "\#(digits)"},
                      "size": 500000, "yanked": false},
                     {"filename": "nvidia_thing-13.1.0-py3-none-any.whl", "url": "x", "hashes": {"sha256": "\#(digits)"},
                      "yanked": "broken"},
                     {"filename": "nvidia_thing-13.1.0.tar.gz", "url": "x", "hashes": {"sha256": "\#(digits)"}},
                     {"filename": "nvidia_thing-13.2rc1-py3-none-any.whl", "url": "x", "hashes": {"sha256": "\#(digits)"}},
                     {"filename": "nvidia_thing-13.3-py3-none-any.whl", "url": "x", "hashes": {}}]}
                    """#
                    : """
                    <html><body><a href="../../files/\(name)#sha256=\(digits)" data-requires-python="&gt;=3">\(name)</a>
                    <a href="y/nvidia_thing-13.1.0-py3-none-any.whl#sha256=\(digits)" data-yanked="broken">x</a>
                    <a href="y/nvidia_thing-13.3-py3-none-any.whl">x</a></body></html>
                    """))
        let registry = try registry(hub)
        let wheels = try await registry.wheels(of: "nvidia-thing")
        #expect(wheels.map(\.name) == [name] && wheels[0].version == [13, 0, 2])
        let path = try await registry.fetch(wheels[0], into: folder, progress: { _, _ in }, isCancelled: { false })
        #expect(bytes(path) == content.bytes(0 ..< 500_000))
        // Wrong bytes are no wheel.
        try FileManager.default.removeItem(atPath: path)
        hub.change { $0.wrongFiles = ["/files/\(name)"] }
        let error = try await #require(throws: SwanError.self) {
            try await registry.fetch(wheels[0], into: folder, progress: { _, _ in }, isCancelled: { false })
        }
        #expect(error.code == .hashMismatch)
    }

    /// A server that says nothing is waited for no longer than somebody wants to.
    @Test func askingTheRegistryCanBeStopped() async throws {
        let hub = try HubServer()
        hub.serve("/simple/thing/", type: "application/vnd.pypi.simple.v1+json", HubContent(#"{"files": []}"#))
        hub.change { $0.faults = [("/simple/thing/", .stalled(afterBytes: 0))] }
        let registry = try registry(hub)
        let error = try await #require(throws: SwanError.self) {
            try await registry.wheels(of: "thing", isCancelled: { !hub.requests.isEmpty })
        }
        // Without a stop it is waited for half a minute, and then asked again.
        #expect(error.code == .cancelled && hub.requests.count == 1)
    }

    @Test(arguments: [Int.max, -1])
    func aWheelOfASizeThatCannotBeIsRefused(size: Int) async throws {
        let hub = try HubServer()
        let name = "nvidia_thing-13.0.2-py3-none-any.whl"
        let digits = String(repeating: "a", count: 64)
        hub.serve(
            "/simple/thing/", type: "application/vnd.pypi.simple.v1+json",
            HubContent(
                #"{"files": [{"filename": "\#(name)", "url": "\#(name)", "hashes": {"sha256": "\#(digits)"}, "size": \#(size)}]}"#
            ))
        let registry = try registry(hub)
        let wheel = try #require(try await registry.wheels(of: "thing").first)
        let error = try await #require(throws: SwanError.self) {
            try await registry.fetch(wheel, into: folder, progress: { _, _ in }, isCancelled: { false })
        }
        #expect(error.code == .badAnswer && error.message.contains("\(size)"), "\(error)")
    }

    @Test func aLoginIsGivenToTheRegistryOnly() async throws {
        let hub = try HubServer()
        hub.serve("/simple/thing/", type: "application/vnd.pypi.simple.v1+json", HubContent(#"{"files": []}"#))
        let login = Data("me:secret".utf8).base64EncodedString()
        hub.change { $0.token = "Basic \(login)" }
        #expect(try await registry(hub, login: "me:secret@").wheels(of: "thing").isEmpty)
        let error = try await #require(throws: SwanError.self) { try await registry(hub).wheels(of: "thing") }
        #expect(error.code == .refused)
        let missing = try await #require(throws: SwanError.self) {
            try await registry(hub, login: "me:secret@").wheels(of: "nothing")
        }
        #expect(missing.code == .notFound && !"\(missing)".contains("secret"))
    }
}
