import Foundation
import Glibc
import SwanTestHub
import SwanTestSupport
import Testing

/// Long trials of downloads; `Scripts/hub-trials` asks for them and says what they found.
@Suite(.serialized) struct PullTrials {
    private static let variables = ProcessInfo.processInfo.environment

    /// 2 GB in 34 files, some of them broken off on the way, while the program is killed 20 times.
    @Test(.enabled(if: variables["SWAN_HUB_TRIAL"] != nil, "Scripts/hub-trials runs it"))
    func survivesTwentyKills() throws {
        let program = try Program()
        let hub = try HubServer()
        var files: [HubRepository.File] = []
        for index in 0 ..< 24 {
            files.append(
                .init(
                    "shard-\(index).safetensors", HubContent(seed: UInt64(index), size: 82_000_000 + index * 12_347),
                    isLarge: true))
        }
        for index in 0 ..< 10 { files.append(.init("small/\(index).json", HubContent(seed: 99, size: 100 * index))) }
        let repository = HubRepository("o/two-gigabytes", files)
        hub.add(repository)
        let total = files.reduce(0) { $0 + $1.content.size }
        // Fast enough for many kills, slow enough that the network is what is waited for.
        hub.change { $0.bytesPerSecond = 60_000_000 }
        program.environment = [
            "HF_ENDPOINT": hub.base, "HF_HUB_CACHE": program.folder.path + "/hub", "HOME": program.folder.path,
            "HF_TOKEN": "",
        ]

        var kills = 0
        var moments: [Int] = []
        while kills < 20 {
            let process = try program.start(["pull", "hf:o/two-gigabytes"])
            // Some at once, some late, most in between: also while it lists, verifies or renames.
            let wait = kills % 5 == 0 ? Int.random(in: 10 ... 400) : Int.random(in: 600 ... 2200)
            usleep(UInt32(wait) * 1000)
            kill(process, SIGKILL)
            var status: Int32 = 0
            waitpid(process, &status, 0)
            guard status & 0x7F == SIGKILL else { break }
            kills += 1
            moments.append(hub.bodyBytes)
            // Faults beside the kills.
            hub.change { $0.faults = [("/storage/", .closed(afterBytes: 3_000_000)), ("/tree/", .status(503))] }
            // Nothing that has its final name may be wrong, at any moment.
            for file in files where file.isLarge {
                let blob = "\(program.folder.path)/hub/models--o--two-gigabytes/blobs/\(file.sha256)"
                guard FileManager.default.fileExists(atPath: blob) else { continue }
                let size = try FileManager.default.attributesOfItem(atPath: blob)[.size] as? Int
                #expect(size == file.content.size)
            }
        }
        let result = try program.run(["pull", "hf:o/two-gigabytes"], seconds: 600)
        #expect(result.status == 0, "\(result.errors)")
        #expect(kills == 20, "it was finished before the last kill")
        let folder = result.output.split(separator: "\n").last.map(String.init) ?? ""
        for file in files {
            let output = Process.output("/usr/bin/sha256sum", ["\(folder)/\(file.path)"])
            #expect(output.hasPrefix(file.sha256), "\(file.path)")
        }
        let twice = Double(hub.bodyBytes - total) / Double(total)
        print(
            "pull trial: \(files.count) files, \(total) bytes, \(kills) kills, \(hub.bodyBytes) bytes sent, "
                + "\(String(format: "%.2f", twice * 100)) % sent twice")
        print("pull trial: sent before each kill, MB: \(moments.map { $0 / 1_000_000 })")
        #expect(twice <= 0.05)
    }

    /// The Python client of the hub reads what Swan fetched, and Swan what it fetched.
    @Test(.enabled(if: variables["SWAN_HUB_PYTHON"] != nil, "Scripts/hub-trials runs it"))
    func sharesTheCacheWithThePythonClient() throws {
        let python = try #require(Self.variables["SWAN_HUB_PYTHON"])
        let hub = try HubServer()
        let repository = HubRepository(
            "o/shared",
            [
                .init("config.json", HubContent(#"{"a": 1}"#)),
                .init("inner/deeper/text.txt", HubContent("some text")),
                .init("inner/large.safetensors", HubContent(seed: 4, size: 3_000_000), isLarge: true),
            ])
        hub.add(repository)
        let script = """
            import os, sys
            from huggingface_hub import snapshot_download, hf_hub_download, scan_cache_dir
            mode = sys.argv[1]
            path = snapshot_download("o/shared", local_files_only=(mode == "offline"))
            again = hf_hub_download("o/shared", "inner/large.safetensors", local_files_only=True)
            assert os.path.samefile(again, os.path.join(path, "inner/large.safetensors"))
            info = scan_cache_dir()
            assert not info.warnings, info.warnings
            repo = [r for r in info.repos if r.repo_id == "o/shared"][0]
            print(path, repo.nb_files, repo.size_on_disk, sorted(r for x in repo.revisions for r in x.refs))
            """
        func environment(_ program: Program) -> [String: String] {
            [
                "HF_ENDPOINT": hub.base, "HF_HUB_CACHE": program.folder.path + "/hub", "HOME": program.folder.path,
                "HF_TOKEN": "", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1",
                "HF_HOME": program.folder.path,
            ]
        }
        let size = repository.files.reduce(0) { $0 + $1.content.size }

        // Swan first: Python needs no network, and with one nothing is fetched again.
        let first = try Program()
        first.environment = environment(first)
        let pulled = try first.run(["pull", "hf:o/shared"])
        #expect(pulled.status == 0, "\(pulled.errors)")
        hub.forget()
        for mode in ["offline", "online"] {
            let said = Process.output(python, ["-c", script, mode], environment(first))
            let expected = pulled.output.dropLast() + " 3 \(size) ['main']"
            let last = said.split(separator: "\n").last ?? ""
            #expect(last == expected, "\(mode): \(said)")
            #expect(!said.lowercased().contains("corrupt") && !said.contains("Error"), "\(said)")
            print("python after swan, \(mode): \(said)")
        }
        #expect(hub.bodyBytes == 0)

        // Python first.
        let second = try Program()
        second.environment = environment(second)
        let said = Process.output(python, ["-c", script, "online"], environment(second))
        print("python first: \(said)")
        #expect(hub.bodyBytes == size)
        hub.forget()
        let read = try second.run(["pull", "hf:o/shared"])
        #expect(read.status == 0 && said.contains(read.output.dropLast() + " 3 "), "\(read.errors) \(said)")
        #expect(hub.bodyBytes == 0, "Swan fetches nothing that Python has fetched")
        let offline = try second.run(["pull", "hf:o/shared", "--offline"])
        #expect(offline.status == 0 && offline.output == read.output, "\(offline.errors)")
        print("swan after python: \(read.errors)")
    }
}

extension Process {
    /// What a program prints on both streams.
    fileprivate static func output(
        _ path: String, _ arguments: [String], _ environment: [String: String] = [:]
    ) -> String {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        do { try process.run() } catch { return "\(error)" }
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self)
    }
}
