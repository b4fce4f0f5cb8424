import CSwanSystem
import Foundation
import SwanDiagnostics
import SwanHub
import SwanTestHub
import Testing

/// A zip file made by hand.
struct ZipMaker {
    private var body: [UInt8] = []
    private var directory: [UInt8] = []
    private var count = 0

    mutating func add(_ path: String, _ bytes: [UInt8], isDeflated: Bool, checksum: UInt32? = nil, size: Int? = nil) {
        let packed = isDeflated ? Self.deflated(bytes) : bytes
        let sum = checksum ?? UInt32(crc32(0, bytes, UInt32(bytes.count)))
        let name = Array(path.utf8)
        let common =
            Self.little(isDeflated ? 8 : 0, 2) + Self.little(0, 4) + Self.little(Int(sum), 4)
            + Self.little(packed.count, 4) + Self.little(size ?? bytes.count, 4) + Self.little(name.count, 2)
        directory += Self.little(0x0201_4B50, 4) + Self.little(20, 2) + Self.little(20, 2) + Self.little(0, 2) + common
        directory += Self.little(0, 2) + Self.little(0, 2) + Self.little(0, 2) + Self.little(0, 2) + Self.little(0, 4)
        directory += Self.little(body.count, 4) + name
        body += Self.little(0x0403_4B50, 4) + Self.little(20, 2) + Self.little(0, 2) + common + Self.little(3, 2)
        body += name + [1, 2, 3] + packed
        count += 1
    }

    var bytes: [UInt8] {
        body + directory + Self.little(0x0605_4B50, 4) + Self.little(0, 4) + Self.little(count, 2)
            + Self.little(count, 2) + Self.little(directory.count, 4) + Self.little(body.count, 4) + Self.little(5, 2)
            + Array("hello".utf8)
    }

    private static func little(_ number: Int, _ count: Int) -> [UInt8] {
        (0 ..< count).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    private static func deflated(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        var input = bytes
        var output = [UInt8](repeating: 0, count: bytes.count + 1000)
        _ = deflateInit2_(&stream, 9, Z_DEFLATED, -15, 8, 0, zlibVersion(), Int32(MemoryLayout<z_stream>.size))
        let count = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(output.count)
                _ = deflate(&stream, Z_FINISH)
                return output.count - Int(stream.avail_out)
            }
        }
        deflateEnd(&stream)
        return Array(output[..<count])
    }
}

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
