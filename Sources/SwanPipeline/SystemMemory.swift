import Glibc

/// What the system says about memory.
public enum SystemMemory {
    /// Bytes that can be used without swapping; the largest number when the system does not say.
    public static var available: Int { field("MemAvailable:", in: "/proc/meminfo") ?? Int.max }

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
