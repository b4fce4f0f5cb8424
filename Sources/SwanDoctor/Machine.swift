import SwanDiagnostics

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// What the operating system says about a machine.
package struct Machine: Sendable, Hashable {
    /// The processor's name, and those of its instructions that Swan has code for.
    var processor: String
    var instructions: [String]
    /// Cores that this process may use.
    var cores: Int
    /// Bytes of memory, and those that are available; nil where the system does not say.
    var memory, availableMemory: Int?
    /// Bytes that are free where videos and models go.
    var freeDisk: Int?

    static func here(folder: String) -> Machine {
        let (name, instructions) = processor(contents("/proc/cpuinfo"))
        let memory = memory(contents("/proc/meminfo"))
        var disk = statvfs()
        let free = statvfs(folder, &disk) == 0 ? Int(clamping: UInt64(disk.f_bavail) * UInt64(disk.f_frsize)) : nil
        return Machine(
            processor: name, instructions: instructions, cores: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))),
            memory: memory.total, availableMemory: memory.available, freeDisk: free)
    }

    /// Reads `/proc/cpuinfo`: the first `model name`, and which of the sets in its `flags` there is code for.
    package static func processor(_ text: String) -> (name: String, instructions: [String]) {
        func value(_ key: String) -> Substring? {
            for line in text.split(separator: "\n") where line.hasPrefix(key) {
                guard let colon = line.firstIndex(of: ":") else { continue }
                return line[line.index(after: colon)...].drop { $0 == " " }
            }
            return nil
        }
        let flags = Set((value("flags") ?? "").split(separator: " "))
        let sets = [
            ("avx2", "AVX2"), ("fma", "FMA"), ("avx512f", "AVX-512"), ("avx512_bf16", "AVX-512 BF16"),
            ("amx_tile", "AMX"),
        ]
        let name = value("model name").map { String($0).printable() } ?? "unknown processor"
        return (name, sets.filter { flags.contains(Substring($0.0)) }.map(\.1))
    }

    /// Reads `/proc/meminfo`, which counts in KiB.
    package static func memory(_ text: String) -> (total: Int?, available: Int?) {
        func bytes(_ key: String) -> Int? {
            for line in text.split(separator: "\n") where line.hasPrefix(key + ":") {
                let digits = line.drop { !$0.isNumber }.prefix { $0.isNumber }
                guard let count = Int(digits) else { return nil }
                let (bytes, overflow) = count.multipliedReportingOverflow(by: 1024)
                return overflow ? nil : bytes
            }
            return nil
        }
        return (bytes("MemTotal"), bytes("MemAvailable"))
    }
}

/// The file behind a library that this process has opened, from `/proc/self/maps`.
package func openedFile(_ name: String, maps: String) -> String? {
    for line in maps.split(separator: "\n") {
        guard let slash = line.firstIndex(of: "/") else { continue }
        let path = line[slash...]
        if let last = path.split(separator: "/").last, last.hasPrefix(name) { return String(path).printable() }
    }
    return nil
}

/// The text of a file of the system; empty when it cannot be read.
func contents(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while all.count < 1 << 24 {
        let count = buffer.withUnsafeMutableBytes { read(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { break }
        all += buffer[..<count]
    }
    return String(decoding: all, as: UTF8.self)
}
