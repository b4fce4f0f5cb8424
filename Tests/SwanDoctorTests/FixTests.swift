import Foundation
import SwanCUDA
import SwanDiagnostics
import SwanDoctor
import SwanHub
import SwanTestHub
import Testing

/// A folder that goes when the test ends.
private final class Scratch: Sendable {
    let path = FileManager.default.temporaryDirectory.appending(path: "swan-fix-\(UUID().uuidString)").path

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

@Suite("Doctor's repairs")
struct FixTests {
    private let hub: HubServer
    private let scratch = Scratch()
    private var folder: String { scratch.path }

    init() throws { hub = try HubServer() }

    /// Wheels with one file each, in a registry of loopback.
    private func serve(_ project: String, _ versions: [String], platform: String = "manylinux_2_17_x86_64") {
        let digits = String(repeating: "a", count: 64)
        let files = versions.map { version in
            let name = "\(project.replacingOccurrences(of: "-", with: "_"))-\(version)-py3-none-\(platform).whl"
            return #"{"filename": "\#(name)", "url": "/files/\#(name)", "hashes": {"sha256": "\#(digits)"}}"#
        }
        hub.serve(
            "/simple/\(project)/", type: "application/vnd.pypi.simple.v1+json",
            HubContent("{\"files\": [\(files.joined(separator: ","))]}"))
    }

    private func wheels(_ project: String) async throws -> [Wheel] {
        let settings = try RegistrySettings(variables: ["PIP_INDEX_URL": hub.base + "/simple"]) { _ in nil }
        return try await PythonRegistry(settings, userAgent: "swan/test").wheels(of: project)
    }

    @Test(
        "the newest version that the driver loads",
        arguments: [
            ([13, 0], DeviceLibrary.nvrtc, "nvidia-cuda-nvrtc", "13.0.88"),
            ([13, 1], .nvrtc, "nvidia-cuda-nvrtc", "13.1.5"),
            ([14, 2], .nvrtc, "nvidia-cuda-nvrtc", "13.1.5"),
            ([12, 4], .nvrtc, "nvidia-cuda-nvrtc-cu12", "12.4.127"),
            ([12, 9], .nvrtc, "nvidia-cuda-nvrtc-cu12", "12.8.93"),
            ([13, 0], .cudnn, "nvidia-cudnn-cu13", "9.15.0.57"),
            ([12, 4], .cudnn, "nvidia-cudnn-cu12", "9.15.0.57"),
        ] as [([Int], DeviceLibrary, String, String)])
    func versions(driver: [Int], library: DeviceLibrary, project: String, version: String) async throws {
        let listed =
            library == .cudnn
            ? ["8.9.7.29", "9.9.0.52", "9.15.0.57", "9.15.0.56", "10.0.1"]
            : ["12.4.127", "12.8.93", "13.0.48", "13.0.88", "13.1.5", "13.0.9"]
        serve(project, listed)
        let packages = LibraryPackages(driver: driver, machine: "x86_64", glibc: [2, 31])
        #expect(packages.project(library) == project)
        #expect(packages.newest(library, of: try await wheels(project))?.versionText == version)
    }

    @Test("a system that nothing is made for gets nothing")
    func systems() async throws {
        serve("nvidia-cublas", ["13.0.2"], platform: "manylinux_2_27_x86_64")
        let all = try await wheels("nvidia-cublas")
        for (machine, glibc, fits) in [
            ("x86_64", [2, 27], true), ("x86_64", [2, 26], false), ("aarch64", [2, 36], false), ("x86_64", [], false),
        ] {
            let packages = LibraryPackages(driver: [13, 0], machine: machine, glibc: glibc)
            #expect((packages.newest(.cublasLt, of: all) != nil) == fits, "\(machine) \(glibc)")
        }
        #expect(LibraryPackages(driver: [11, 8], machine: "x86_64", glibc: [2, 31]).project(.nvrtc) == nil)
    }

    @Test("only libraries are taken out of packages")
    func paths() {
        #expect(LibraryPackages.isNeeded("nvidia/cu13/lib/libnvrtc.so.13", for: .nvrtc))
        #expect(LibraryPackages.isNeeded("nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.8", for: .nvrtc))
        #expect(LibraryPackages.isNeeded("nvidia/cudnn/lib/libcudnn_graph.so.9", for: .cudnn))
        for path in [
            "nvidia/cu13/include/nvrtc.h", "nvidia/cu13/lib/libnvrtc.alt.so.13", "../lib/libnvrtc.so.13",
            "nvidia/cublas/lib/libnvblas.so.12", "nvidia/cu13/lib/libnvrtc_static.a",
        ] { #expect(!DeviceLibrary.allCases.contains { LibraryPackages.isNeeded(path, for: $0) }, "\(path)") }
    }

    @Test("without a driver it says which one is needed")
    func noDriver() throws {
        let none = try #require(throws: SwanError.self) { try Doctor.driverVersion(nil, nil, cards: []) }
        #expect(none.code.name == "doctor.no-driver" && none.advice.contains("580"), "\(none)")
        #expect(none.message.contains("no NVIDIA GPU") && none.advice.contains("processor"), "\(none)")
        let card = try #require(throws: SwanError.self) {
            try Doctor.driverVersion(nil, nil, cards: ["0000:01:00.0"])
        }
        #expect(card.code.name == "doctor.no-driver" && card.message.contains("0000:01:00.0"), "\(card)")
        #expect(!card.advice.contains("processor"))
    }

    @Test("the driver's version, or one that is asked for, decides")
    func driverVersions() throws {
        #expect(try Doctor.driverVersion("12.8", nil, cards: []) == [12, 8])
        #expect(try Doctor.driverVersion("12.8", "13.0", cards: []) == [13, 0])
        #expect(try Doctor.driverVersion(nil, "13.0", cards: []) == [13, 0])
        for text in ["13", "11.8", "thirteen", "13.0.1"] {
            let error = try #require(throws: SwanError.self) { try Doctor.driverVersion("12.8", text, cards: []) }
            #expect(error.code.name == "doctor.bad-version" && error.message.contains(text))
        }
    }

    @Test("the file by which a library is found comes last, and only with all others")
    func unpacking() async throws {
        serve("nvidia-cudnn-cu13", ["9.15.0.57"])
        let wheel = try #require(try await wheels("nvidia-cudnn-cu13").first)
        let library = Array("a library".utf8)
        var zip = ZipMaker()
        for name in ["libcudnn.so.9", "libcudnn_graph.so.9", "libcudnn_ops.so.9"] {
            zip.add("nvidia/cudnn/lib/\(name)", library, isDeflated: true)
        }
        zip.add("nvidia/cudnn/include/cudnn.h", library, isDeflated: true)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = folder + "/a.whl"
        try Data(zip.bytes).write(to: URL(filePath: path))
        let out = folder + "/lib"

        var said: [String] = []
        let stopped = try #require(throws: SwanError.self) {
            try Doctor.unpack(
                .cudnn, wheel, at: path, to: out, { said.count == 2 }, { text, _ in said.append(text) })
        }
        #expect(stopped.code == .cancelled && said.count == 2)
        #expect(!said.contains { $0.contains("libcudnn.so.9") }, "\(said)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: out).isEmpty)

        let files = try Doctor.unpack(.cudnn, wheel, at: path, to: out, { false }, { _, _ in })
        #expect(files.count == 3 && files.last == out + "/libcudnn.so.9")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: out).sorted()
                == ["libcudnn.so.9", "libcudnn.so.9.15.0.57", "libcudnn_graph.so.9", "libcudnn_ops.so.9"])
        #expect(
            try FileManager.default.destinationOfSymbolicLink(atPath: out + "/libcudnn.so.9")
                == "libcudnn.so.9.15.0.57")

        // What lacks the library itself is no package of it.
        var parts = ZipMaker()
        parts.add("nvidia/cudnn/lib/libcudnn_graph.so.9", library, isDeflated: true)
        try Data(parts.bytes).write(to: URL(filePath: path))
        let error = try #require(throws: SwanError.self) {
            try Doctor.unpack(.cudnn, wheel, at: path, to: folder + "/other", { false }, { _, _ in })
        }
        #expect(error.code.name == "doctor.no-package")
    }

    @Test("nvidia-smi's lines are read, and what is wrong has its cost")
    func health() {
        let lines = """
            0, 1980, 1980, 700.00, 700.00, 35, 0, 0, 0
            1, 345, 1410, 250.00, 400.00, 88, 3, 24064, 97
            2, 210, 2520, [N/A], [N/A], 41, [N/A], 12, 0
            garbage
            """
        let all = GPUHealth.read(lines)
        #expect(all.map(\.ordinal) == [0, 1, 2])
        #expect(all[0].findings.map(\.level) == [.good])
        #expect(all[0].findings[0].text == "up to 1980 MHz, 700 W, 35 °C, no memory errors")
        let bad = all[1].findings
        #expect(bad.map(\.level) == [.problem, .note, .note, .note])
        for (finding, words) in zip(bad, ["3 errors", "250 of 400 W", "25.2 GB", "88 °C"]) {
            #expect(finding.text.contains(words) && !finding.advice.isEmpty, "\(finding)")
        }
        #expect(bad[1].advice.contains("37 %"))
        #expect(all[2].memoryErrors == nil && all[2].findings.map(\.level) == [.good])
    }

    @Test("cards without a driver are seen")
    func cards() throws {
        let root = folder + "/devices"
        for (name, vendor, kind) in [
            ("0000:01:00.0", "0x10de", "0x030000"), ("0000:01:00.1", "0x10de", "0x040300"),
            ("0000:02:00.0", "0x8086", "0x030000"),
        ] {
            try FileManager.default.createDirectory(atPath: "\(root)/\(name)", withIntermediateDirectories: true)
            try (vendor + "\n").write(toFile: "\(root)/\(name)/vendor", atomically: false, encoding: .utf8)
            try (kind + "\n").write(toFile: "\(root)/\(name)/class", atomically: false, encoding: .utf8)
        }
        #expect(PCIDevices.nvidia(root: root) == ["0000:01:00.0"])
        #expect(PCIDevices.nvidia(root: "/nowhere").isEmpty)
    }

    @Test("speeds and limits say what they cost")
    func limits() {
        let slow = DiskSpeed(writing: 100e6, reading: 200e6).finding
        #expect(slow.level == .note && slow.advice.contains("4 min 46 s"), "\(slow)")
        #expect(DiskSpeed(writing: 2e9, reading: 3e9).finding.level == .good)
        let here = DiskSpeed(of: NSTemporaryDirectory(), bytes: 8 << 20)
        #expect(here.map { $0.reading > 1e6 && $0.writing > 1e6 } == true)
        #expect(DiskSpeed(of: "/nowhere") == nil)
        #expect(MemoryLimits.pageCache(availableMemory: 20_000_000_000).advice.contains("each step"))
        #expect(MemoryLimits.pageCache(availableMemory: 90_000_000_000).advice.isEmpty)
        #expect(MemoryLimits.pinned(limit: nil, systemVersion: "Linux").text.hasPrefix("any amount"))
        #expect(MemoryLimits.pinned(limit: 8 << 20, systemVersion: "Linux").text.hasPrefix("8.4 MB"))
        #expect(MemoryLimits.pinned(limit: nil, systemVersion: "Linux Microsoft WSL2").level == .note)
        let text =
            "Limit                     Soft Limit           Hard Limit           Units\nMax locked memory         8388608              9999999              bytes\n"
        #expect(MemoryLimits.lockedBytes(text) == 8_388_608)
        #expect(
            MemoryLimits.lockedBytes("Max locked memory         unlimited            unlimited            bytes") == nil
        )
    }
}
