import Glibc

/// How long this process has been running, its start by the system's account: to a hundredth of a second.
package enum ProcessAge {
    /// Seconds since the process was started; nil where the system does not say.
    package static var seconds: Double? {
        guard let file = fopen("/proc/self/stat", "r") else { return nil }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 2048)
        let count = fread(&bytes, 1, bytes.count, file)
        return seconds(stat: String(decoding: bytes.prefix(count), as: UTF8.self))
    }

    /// Reads the start off the system's line about a process, whose name may hold anything.
    ///
    /// Source: proc_pid_stat(5), field 22 in clock ticks since the machine's start.
    package static func seconds(stat text: String) -> Double? {
        guard let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        guard fields.count > 19, let ticks = Double(fields[19]) else { return nil }
        var now = timespec()
        guard clock_gettime(CLOCK_BOOTTIME, &now) == 0 else { return nil }
        let age = Double(now.tv_sec) + Double(now.tv_nsec) * 1e-9 - ticks / Double(sysconf(Int32(_SC_CLK_TCK)))
        return max(0, age)
    }
}
