import Foundation
import SwanPipeline
import SwanTestSupport
import Testing

/// What containers leave to a process, in both versions of the interface.
@Suite struct ControlGroupTests {
    /// What is available with these files.
    private func available(_ files: [String: String]) throws -> Int? {
        let folder = try TemporaryFolder()
        for (path, text) in files {
            let url = URL(filePath: folder.path + path)
            try FileManager.default.createDirectory(
                at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: url)
        }
        return ControlGroup(root: folder.path).available
    }

    @Test func theNarrowestGroupCounts() throws {
        let base = "/sys/fs/cgroup"
        var files = [
            "/proc/self/cgroup": "0::/a/b\n", base + "/a/b/memory.max": "max\n", base + "/a/b/memory.current": "500\n",
            base + "/a/memory.max": "10000\n", base + "/a/memory.current": "4000\n",
            base + "/a/memory.stat": "anon 3000\nfile 900\nfile_mapped 1\n",
        ]
        #expect(try available(files) == 10_000 - (4000 - 900))
        files[base + "/a/b/memory.max"] = "2000\n"
        #expect(try available(files) == 1500)
        files[base + "/a/b/memory.current"] = "2500\n"
        #expect(try available(files) == 0)
    }

    @Test func theOlderInterfaceCounts() throws {
        let base = "/sys/fs/cgroup/memory"
        let files = [
            "/proc/self/cgroup": "5:devices:/x\n4:cpu,memory:/a\n0::/\n", base + "/a/memory.limit_in_bytes": "8000\n",
            base + "/a/memory.usage_in_bytes": "3000\n", base + "/a/memory.stat": "cache 1\ntotal_cache 1000\n",
            base + "/memory.limit_in_bytes": "9223372036854771712\n", base + "/memory.usage_in_bytes": "1\n",
        ]
        #expect(try available(files) == 6000)
    }

    @Test func thereNeedNotBeALimit() throws {
        #expect(try available([:]) == nil)
        #expect(try available(["/proc/self/cgroup": "0::/\n"]) == nil)
        #expect(try available(["/proc/self/cgroup": "nonsense\n0::/a"]) == nil)
    }
}
