import Foundation
import Glibc
import SwanTestHub
import SwanTestSupport
import Testing

extension CommandTests {
    /// `swan pull` as a person or a script meets it, from a hub on loopback.
    @Suite struct PullCommandTests {
        private let program: Program
        private let hub: HubServer
        private let repository: HubRepository

        init() throws {
            program = try Program()
            hub = try HubServer()
            repository = HubRepository(
                "o/model",
                [
                    .init("config.json", HubContent("{}")),
                    .init("a.safetensors", HubContent(seed: 1, size: 6_000_000), isLarge: true),
                    .init("b.safetensors", HubContent(seed: 2, size: 4_000_000), isLarge: true),
                ])
            hub.add(repository)
            program.environment = [
                "HF_ENDPOINT": hub.base, "MODELSCOPE_ENDPOINT": hub.base, "HF_HUB_CACHE": program.folder.path + "/hub",
                "HOME": program.folder.path, "XDG_DATA_HOME": program.folder.path + "/data", "HF_TOKEN": "",
                "HTTP_PROXY": "", "http_proxy": "", "ALL_PROXY": "", "all_proxy": "",
            ]
        }

        private var cache: String { program.folder.path + "/hub" }
        private var snapshot: String { "\(program.folder.path)/hub/models--o--model/snapshots/\(repository.commit)" }

        private func check() throws {
            for file in repository.files {
                let bytes = try Data(contentsOf: URL(filePath: "\(snapshot)/\(file.path)"))
                #expect(bytes == Data(file.content.bytes(0 ..< file.content.size)), "\(file.path)")
            }
        }

        @Test func printsTheFolderAndNothingElse() throws {
            let result = try program.run(["pull", "o/model"])
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.output == snapshot + "\n")
            #expect(result.errors.contains("3 files of 10.0 MB"), "\(result.errors)")
            #expect(result.errors.contains("apache-2.0"))
            try check()
        }

        @Test func tellsEventsAsJSON() throws {
            let result = try program.run(["pull", "o/model", "--json"])
            let events = try result.events
            #expect(result.status == 0 && Set(events.map(\.name)) == ["note", "plan", "progress", "file", "done"])
            let last = try #require(events.last { $0.name == "progress" })
            #expect(last["done"] as? Int == 10_000_002 && last["of"] as? Int == 10_000_002)
            #expect(events.last?["path"] as? String == snapshot)
            #expect(events.last?["fetched_bytes"] as? Int == 10_000_002)
        }

        @Test func listsWithoutFetching() throws {
            let result = try program.run(["pull", "o/model", "--dry-run", "--include", "*.safetensors"])
            #expect(result.status == 0 && result.output.contains("a.safetensors  6.0 MB"), "\(result.output)")
            #expect(!result.output.contains("config.json") && hub.bodyBytes == 0)
            #expect(!FileManager.default.fileExists(atPath: program.folder.path + "/hub"))
        }

        /// Ctrl-C leaves what the next run goes on with, and the message says so.
        @Test func ctrlCKeepsWhatIsHere() throws {
            // The hub gives no more than that, so that it is known what has arrived.
            hub.change { $0.bodyLimit = 5_000_000 }
            var isSent = false
            let result = try program.run(["pull", "o/model", "--json"]) { line, process in
                guard !isSent, let event = try? Program.Event(line), event.name == "progress",
                    event["done"] as? Int == 5_000_000
                else { return }
                isSent = true
                kill(process, SIGINT)
            }
            #expect(result.status == 130 && isSent, "\(result.errors)")
            #expect(result.errors.contains("are kept") && result.errors.contains("The same command goes on"))
            #expect(keptBytes(inCache: cache) == 5_000_000)
            hub.forget()
            hub.change { $0.bodyLimit = nil }
            #expect(try program.run(["pull", "o/model"]).status == 0)
            try check()
            #expect(hub.bodyBytes == 5_000_002, "\(hub.bodyBytes)")
        }

        /// Already the first Ctrl-C ends what only lists.
        @Test func ctrlCEndsAListing() throws {
            hub.change { $0.faults = [("/tree/", .stalled(afterBytes: 0))] }
            let process = try program.start(["pull", "hf:o/model", "--dry-run"])
            while !hub.requests.contains(where: { $0.uri.contains("/tree/") }) { usleep(1000) }
            kill(process, SIGINT)
            let start = ContinuousClock.now
            var status: Int32 = 0
            waitpid(process, &status, 0)
            #expect(status & 0x7F == 0 && status >> 8 & 0xFF == 130, "\(status)")
            // Half a minute is how long a silent server is waited for.
            #expect(ContinuousClock.now - start < .seconds(25))
        }

        /// What is damaged is told without a network, and fetched with one.
        @Test func verifiesWhatIsHere() throws {
            #expect(try program.run(["pull", "o/model"]).errors.contains("all are verified"))
            let again = try program.run(["pull", "o/model"])
            #expect(!again.errors.contains("are verified"), "\(again.errors)")
            for arguments in [["--verify"], ["--verify", "--offline"]] {
                let result = try program.run(["pull", "o/model"] + arguments)
                #expect(result.status == 0 && result.errors.contains("all are verified"), "\(result.errors)")
            }
            let handle = try #require(FileHandle(forWritingAtPath: snapshot + "/a.safetensors"))
            try handle.write(contentsOf: Data([1, 2, 3]))
            try handle.close()
            program.environment["HF_HUB_OFFLINE"] = "1"
            let offline = try program.run(["pull", "o/model", "--verify", "--json"])
            #expect(offline.status == 65 && offline.errors.contains("a.safetensors has the SHA-256"), "\(offline)")
            program.environment["HF_HUB_OFFLINE"] = nil
            #expect(try program.run(["pull", "o/model", "--verify"]).status == 0)
            try check()
        }

        /// The process ends at once, wherever it is.
        @Test(arguments: [1_000_000, 5_000_000, 9_500_000])
        func aKillLosesNothing(bytes: Int) throws {
            // It is never done, however late the kill comes.
            hub.change { ($0.bytesPerSecond, $0.bodyLimit) = (20_000_000, bytes + 400_000) }
            let process = try program.start(["pull", "o/model"])
            while keptBytes(inCache: cache) < bytes { usleep(1000) }
            kill(process, SIGKILL)
            var status: Int32 = 0
            waitpid(process, &status, 0)
            #expect(!FileManager.default.fileExists(atPath: snapshot), "nothing is there under its name yet")
            let kept = keptBytes(inCache: cache)
            #expect((bytes ... bytes + 400_000).contains(kept), "\(kept)")
            hub.forget()
            hub.change { ($0.bytesPerSecond, $0.bodyLimit) = (nil, nil) }
            #expect(try program.run(["pull", "o/model"]).status == 0)
            try check()
            #expect(hub.bodyBytes == 10_000_002 - kept, "\(hub.bodyBytes)")
        }

        /// A disk that becomes full: here a file that may not grow.
        @Test func aFullDiskIsTold() throws {
            program.wrapper = ["/bin/sh", "-c", "ulimit -f 8000; exec \"$@\"", "sh"]
            let result = try program.run(["pull", "o/model", "--json"])
            #expect(result.status == 74, "\(result.errors)")
            #expect(try result.failure?["code"] as? String == "hub.cache-unwritable")
            #expect(result.errors.contains("is full") && result.errors.contains("HF_HUB_CACHE"), "\(result.errors)")
            program.wrapper = []
            #expect(try program.run(["pull", "o/model"]).status == 0)
            try check()
        }

        /// Whether a folder can be made read-only for the program: permissions do not stop the superuser, and a mount of
        /// its own is not allowed in every container.
        private static let canBeReadOnly =
            geteuid() != 0
            || system("unshare --mount sh -c 'mount --bind /tmp /tmp && mount -o remount,ro,bind /tmp' 2> /dev/null")
                == 0

        /// A cache that others own: what is there is used, what is not there is an error with advice.
        @Test(.enabled(if: canBeReadOnly, "the superuser may not mount anything here"))
        func aReadOnlyCacheIsUsedAsFarAsItGoes() throws {
            #expect(try program.run(["pull", "o/model", "--include", "config.json"]).status == 0)
            let cache = program.folder.path + "/hub"
            if geteuid() == 0 {
                // Permissions do not stop the superuser.
                program.wrapper = [
                    "unshare", "--mount", "/bin/sh", "-c",
                    "mount --bind \(cache) \(cache) && mount -o remount,ro,bind \(cache) && exec \"$@\"", "sh",
                ]
            } else {
                #expect(system("chmod -R a-w \(cache)") == 0)
            }
            defer { if geteuid() != 0 { _ = system("chmod -R u+w \(cache)") } }
            let here = try program.run(["pull", "o/model", "--include", "config.json"])
            #expect(here.status == 0 && here.output == snapshot + "\n", "\(here.errors)")
            let missing = try program.run(["pull", "o/model"])
            #expect(missing.status == 74 && missing.errors.contains("cannot be written to"), "\(missing.errors)")
            #expect(missing.errors.contains("HF_HUB_CACHE"))
        }

        @Test(
            arguments: [
                (["pull", "happyhorse"], 69, "davinci-magihuman"), (["pull", "ltx-2.3"], 69, "does not run"),
                (["pull", "wan2.2-t2v-a14b", "--variant", "q9"], 66, "gguf-q8_0"),
                (["pull", "nothing"], 66, "no model"), (["pull", "swan-tiny"], 66, "comes with Swan"),
                (["pull", "o/model", "--from", "nowhere"], 64, "modelscope"),
                (["pull", "o/model", "--variant", "fp8"], 64, "--include"),
                (["pull", "o/model@main", "--revision", "v1"], 64, "Name one of them"),
                (["pull", "o/none"], 66, "Check the name"),
            ] as [([String], Int32, String)])
        func refusesWhatItCannotFetch(arguments: [String], status: Int32, text: String) throws {
            let result = try program.run(arguments)
            #expect(result.status == status && result.errors.contains(text), "\(result.errors)")
            #expect(hub.bodyBytes == 0)
        }

        /// The line on a terminal is one line, rewritten.
        @Test func aTerminalShowsOneLine() throws {
            // What is shown is shown several times before there is more.
            hub.change { $0.bodyLimit = 5_000_000 }
            program.isTerminal = true
            var shown = 0
            let result = try program.run(["pull", "o/model"]) { line, _ in
                guard line.contains(" % ") || line.contains(" %,") else { return }
                shown += 1
                if shown == 6 { hub.change { $0.bodyLimit = nil } }
            }
            #expect(result.status == 0 && shown >= 6)
            let lines = result.errors.components(separatedBy: "\r\u{1B}[K")
            #expect(lines.count > 6)
            #expect(lines.contains { $0.contains("%, ") && $0.contains("/s") && $0.contains("left") })
            #expect(lines.dropFirst(2).allSatisfy { $0.count < 60 || $0.contains("\n") })
        }

        @Test func aProxyIsUsed() throws {
            let proxy = try ConnectProxy(to: UInt16(hub.port))
            program.environment["http_proxy"] = proxy.base.replacingOccurrences(of: "http://", with: "http://me:word@")
            program.environment["HF_ENDPOINT"] = "http://hub.invalid"
            let result = try program.run(["pull", "hf:o/model", "--include", "config.json"])
            #expect(result.status == 0, "\(result.errors)")
            let head = try #require(proxy.requests.first)
            #expect(head.hasPrefix("CONNECT hub.invalid:80 "), "\(head)")
            #expect(head.lowercased().contains("proxy-authorization: basic bwu6d29yza=="), "\(head)")
            #expect(hub.requests.allSatisfy { $0.fields["host"] == "hub.invalid" })
        }
    }
}
