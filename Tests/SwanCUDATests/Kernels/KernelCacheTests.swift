import Foundation
import SwanCUDA
import SwanDiagnostics
import SwanTestSupport
import Testing

@Suite("Kernel cache")
struct KernelCacheTests {
    static let add = KernelRequest("add", ["INPUT": "float", "VECTOR": 4])

    /// A cache in a folder that does not exist yet, with a compiler that counts.
    final class Counter {
        var requests: [KernelRequest] = []
    }

    static func cache(
        _ folder: TemporaryFolder, _ counter: Counter, version: String = "13.0", architecture: String = "sm_90a",
        sources: KernelSources = .all
    ) -> KernelCache {
        KernelCache(
            disk: BlobCache(folder: folder.path + "/a/b"), compilerVersion: version, architecture: architecture,
            sources: sources
        ) { (request) throws(SwanError) in
            counter.requests.append(request)
            return [1, 2, 3]
        }
    }

    @Test("compiles once, and not again in another process")
    func keeps() throws {
        let (folder, counter) = (try TemporaryFolder(), Counter())
        for _ in 0 ..< 2 {
            let cache = Self.cache(folder, counter)
            #expect(try cache.cubin(Self.add) == [1, 2, 3])
            #expect(try cache.cubin(Self.add) == [1, 2, 3])
        }
        #expect(counter.requests == [Self.add])
        // One entry, and no temporary file beside it.
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path + "/a/b")
        #expect(names.count == 1 && names.allSatisfy { $0.count == 32 })
    }

    @Test("everything that the code depends on is in the key")
    func keys() throws {
        let (folder, counter) = (try TemporaryFolder(), Counter())
        func changed(_ name: String) -> KernelSources {
            KernelSources(
                files: KernelSources.all.files.map { $0.name == name ? .init(name: $0.name, text: $0.text + " ") : $0 })
        }
        let caches = [
            Self.cache(folder, counter), Self.cache(folder, counter, version: "13.1"),
            Self.cache(folder, counter, architecture: "sm_80"),
            Self.cache(folder, counter, sources: changed("add.cu")),
            Self.cache(folder, counter, sources: changed("swan_device.cuh")),
        ]
        var keys = Set(caches.map { $0.key(Self.add) })
        keys.insert(caches[0].key(KernelRequest("add", ["INPUT": "float", "VECTOR": 1])))
        keys.insert(caches[0].key(KernelRequest("gelu_gate", ["INPUT": "float", "VECTOR": 4])))
        #expect(keys.count == 7)
        #expect(Self.cache(folder, counter, sources: changed("gelu_gate.cu")).key(Self.add) == caches[0].key(Self.add))
    }

    @Test("an entry that was damaged in any place is made again")
    func corruption() throws {
        let (folder, counter) = (try TemporaryFolder(), Counter())
        let cache = Self.cache(folder, counter)
        _ = try cache.cubin(Self.add)
        let path = BlobCache(folder: folder.path + "/a/b").path(of: cache.key(Self.add))
        let whole = try Data(contentsOf: URL(filePath: path))
        var rebuilt = 1
        for place in whole.indices {
            var damaged = whole
            damaged[place] ^= 0x10
            try damaged.write(to: URL(filePath: path))
            #expect(try cache.cubin(Self.add) == [1, 2, 3])
            rebuilt += 1
            #expect(counter.requests.count == rebuilt, "byte \(place)")
        }
        for length in 0 ..< whole.count {
            try whole.prefix(length).write(to: URL(filePath: path))
            #expect(try cache.cubin(Self.add) == [1, 2, 3])
            rebuilt += 1
            #expect(counter.requests.count == rebuilt, "\(length) bytes")
        }
        #expect(try Data(contentsOf: URL(filePath: path)) == whole)
    }

    @Test("code that the driver refuses is compiled anew")
    func refused() throws {
        let (folder, counter) = (try TemporaryFolder(), Counter())
        let cache = Self.cache(folder, counter)
        _ = try cache.cubin(Self.add)
        _ = try cache.rebuilt(Self.add)
        #expect(counter.requests.count == 2 && cache.compilations == 2)
    }

    @Test("a folder that cannot be written costs time, not correctness")
    func unwritable() throws {
        let disk = BlobCache(folder: "/proc/no-such-folder")
        #expect(!disk.store("key", [1]))
        #expect(disk.load("key") == nil)
    }

    @Test("two writers leave one whole entry")
    func race() async throws {
        let folder = try TemporaryFolder()
        let disk = BlobCache(folder: folder.path)
        let values = (0 ..< 8).map { [UInt8](repeating: UInt8($0), count: 100_000) }
        await withTaskGroup(of: Void.self) { group in
            for value in values { group.addTask { disk.store("key", value) } }
        }
        let kept = try #require(disk.load("key"))
        #expect(values.contains(kept))
        #expect(folder.names.count == 1)
    }
}
