import Glibc
import SwanDiagnostics

/// How fast a disk reads and writes, by trying it on a file that goes at once.
package struct DiskSpeed: Sendable, Hashable {
    /// Bytes a second.
    package var writing, reading: Double

    package init(writing: Double, reading: Double) { (self.writing, self.reading) = (writing, reading) }

    /// Tries a folder's disk; nil where nothing can be written.
    ///
    /// - Parameter bytes: that are written and read; the page cache is asked to drop them in between.
    package init?(of folder: String, bytes: Int = 64 << 20) {
        let name = "\(folder)/.swan-speed-\(getpid())-\(UInt32.random(in: 0 ... .max))"
        let descriptor = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        unlink(name)
        defer { close(descriptor) }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 << 20, alignment: 4096)
        defer { buffer.deallocate() }
        // Disks that compress would make zeros look fast.
        var state: UInt64 = 0x9E37_79B9_7F4A_7C15
        for index in 0 ..< buffer.count / 8 {
            state ^= state << 13
            state ^= state >> 7
            state ^= state << 17
            buffer.storeBytes(of: state, toByteOffset: 8 * index, as: UInt64.self)
        }
        let clock = ContinuousClock()
        var isWhole = true
        let written = clock.measure {
            for offset in stride(from: 0, to: bytes, by: buffer.count) {
                isWhole = isWhole && pwrite(descriptor, buffer.baseAddress, buffer.count, off_t(offset)) == buffer.count
            }
            isWhole = isWhole && fdatasync(descriptor) == 0
        }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        let read = clock.measure {
            for offset in stride(from: 0, to: bytes, by: buffer.count) {
                isWhole = isWhole && pread(descriptor, buffer.baseAddress, buffer.count, off_t(offset)) == buffer.count
            }
        }
        guard isWhole, written > .zero, read > .zero else { return nil }
        self.init(writing: Double(bytes) / written.inSeconds, reading: Double(bytes) / read.inSeconds)
    }

    /// What it means for a model of real size.
    package var finding: DoctorReport.Finding {
        // One expert of Wan2.2-T2V-A14B as it is published, in float32.
        let seconds = 57_154_077_376 / reading
        let isSlow = reading < 500e6
        return .init(
            "disk speed", isSlow ? .note : .good,
            "reads \(formatted(bytes: Int(reading)))/s, writes \(formatted(bytes: Int(writing)))/s",
            advice: isSlow
                ? "Loading one expert of wan2.2-t2v-a14b (57.2 GB) takes about \(formatted(seconds: seconds)) from it. A"
                    + " local SSD, or a smaller variant, is faster: `swan models wan2.2-t2v-a14b`." : "")
    }
}

/// The memory that files and the GPU's copies can be kept in.
package enum MemoryLimits {
    /// How much of a model the page cache can hold.
    package static func pageCache(availableMemory: Int) -> DoctorReport.Finding {
        // Both experts in bfloat16, as they are streamed.
        let isEnough = availableMemory >= 57_200_000_000
        return .init(
            "page cache", .good, "can hold \(formatted(bytes: availableMemory)) of files",
            advice: isEnough
                ? "" : "Weights of 14B models that a GPU streams are read from the disk again in each step beyond that."
        )
    }

    /// How much memory may be locked.
    ///
    /// - Parameters:
    ///   - limit: bytes, nil for unlimited.
    ///   - systemVersion: the text of `/proc/version`.
    package static func pinned(limit: UInt64?, systemVersion: String) -> DoctorReport.Finding {
        if systemVersion.lowercased().contains("microsoft") {
            return .init(
                "pinned memory", .note, "Windows gives at most half of the memory to a GPU's copies",
                advice: "Weights beyond that are read from the disk in each step. Give WSL more memory in .wslconfig.")
        }
        let text = limit.map { formatted(bytes: Int(clamping: $0)) } ?? "any amount"
        return .init(
            "pinned memory", .good,
            "\(text) by 'ulimit -l'\(limit == nil ? "" : "; NVIDIA's driver pins memory outside that limit")")
    }

    static func pinnedHere() -> DoctorReport.Finding {
        pinned(limit: lockedBytes(contents("/proc/self/limits")), systemVersion: contents("/proc/version"))
    }

    /// The soft limit in `Max locked memory`, in bytes; nil where there is none.
    package static func lockedBytes(_ limits: String) -> UInt64? {
        let line = limits.split(separator: "\n").first { $0.hasPrefix("Max locked memory") }
        return line?.split(separator: " ").dropFirst(3).first.flatMap { UInt64($0) }
    }
}
