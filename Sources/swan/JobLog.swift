import FoundationEssentials
import Glibc
import SwanJobs

/// Reads a job's events while they are written.
final class JobLog {
    private let path: String
    private var descriptor: Int32 = -1
    /// Bytes behind the last whole line.
    private var rest: [UInt8] = []

    init(_ files: JobFolder) { path = files.events }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// The lines that came since the last call. A line that is still being written comes with the next.
    func newLines() -> [String] {
        if descriptor < 0 { descriptor = open(path, O_RDONLY | O_CLOEXEC) }
        guard descriptor >= 0 else { return [] }
        var lines: [String] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return lines }
            rest += chunk.prefix(count)
            while let end = rest.firstIndex(of: 0x0A) {
                lines.append(String(decoding: rest[..<end], as: UTF8.self))
                rest.removeSubrange(...end)
            }
        }
    }

    /// A line as an event; nil for one that this version does not know.
    static func event(_ line: String) -> RunEvent? {
        try? JSONDecoder().decode(RunEvent.self, from: Data(line.utf8))
    }

    /// Appends to a job's events; what is written survives the process.
    ///
    /// - Returns: what writes a text, and does nothing where there is no room: a video is worth more than its log.
    static func appending(to files: JobFolder) -> (String) -> Void {
        let descriptor = open(files.events, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        return { text in
            let bytes = Array(text.utf8)
            _ = write(descriptor, bytes, bytes.count)
        }
    }
}
