import Glibc

/// What the system says about memory.
public enum SystemMemory {
    /// Bytes that can be used without swapping, by this process and its control group; the largest number
    /// when the system does not say.
    public static var available: Int {
        min(field("MemAvailable:", in: "/proc/meminfo") ?? Int.max, ControlGroup().available ?? Int.max)
    }

    /// Bytes of the machine's memory, whoever uses them; the largest number when the system does not say.
    public static var total: Int { field("MemTotal:", in: "/proc/meminfo") ?? Int.max }

    /// The largest resident size that this process had, in bytes.
    public static var peakResident: Int { field("VmHWM:", in: "/proc/self/status") ?? 0 }

    /// A value in kB of one of the system's `name: value` lists, in bytes.
    private static func field(_ name: String, in path: String) -> Int? {
        guard let file = fopen(path, "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let words = text.split(whereSeparator: \.isWhitespace)
            if words.count >= 2, words[0] == name { return Int(words[1]).map { $0 * 1024 } }
        }
        return nil
    }
}

/// The memory that a container or a service manager leaves to this process: Linux ends a process that
/// takes more, however much the machine has.
package struct ControlGroup {
    /// Bytes that are left; nil without a limit.
    package let available: Int?

    /// Reads the limits of the process' own group and of those above it, in both versions of the interface.
    ///
    /// - Parameter root: the folder of the system's files; a test gives its own.
    package init(root: String = "") {
        var left: Int?
        for line in Self.text(root + "/proc/self/cgroup").split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let isUnified = parts[1].isEmpty
            guard isUnified || parts[1].split(separator: ",").contains("memory") else { continue }
            let base = root + (isUnified ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory")
            var path = String(parts[2])
            while true {
                if let here = Self.left(base + path, isUnified: isUnified) { left = min(left ?? here, here) }
                guard let slash = path.lastIndex(of: "/"), path != "/" else { break }
                path = slash == path.startIndex ? "/" : String(path[..<slash])
            }
        }
        available = left
    }

    /// What a group has left: its limit without what it uses, where cached files do not count.
    private static func left(_ folder: String, isUnified: Bool) -> Int? {
        // Without a limit there is a word, or a number beyond any memory.
        guard let limit = Int(word(folder + (isUnified ? "/memory.max" : "/memory.limit_in_bytes"))), limit < 1 << 60,
            let use = Int(word(folder + (isUnified ? "/memory.current" : "/memory.usage_in_bytes")))
        else { return nil }
        let name: Substring = isUnified ? "file" : "total_cache"
        var cached = 0
        for line in text(folder + "/memory.stat").split(whereSeparator: \.isNewline) {
            let fields = line.split(separator: " ")
            if fields.count == 2, fields[0] == name { cached = Int(fields[1]) ?? 0 }
        }
        return max(0, limit - max(0, use - cached))
    }

    private static func word(_ path: String) -> String {
        text(path).split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    }

    /// A small file's text; empty when it cannot be read.
    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 14)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes.prefix(count), as: UTF8.self)
    }
}
