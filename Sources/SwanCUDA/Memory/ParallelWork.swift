import Dispatch
import Glibc

/// Work on bytes of the host by several threads: one core reads some 10 GB/s, which is less than the bus takes, and makes
/// floats of fewer bits at a tenth of that.
package enum ParallelWork {
    /// Does parts of some bytes side by side, and returns when all are done.
    ///
    /// - Parameters:
    ///   - count: bytes, a multiple of `unit`.
    ///   - unit: parts are multiples of so many bytes.
    ///   - most: parts, at least 1; nil for half of the processors, 8 at most, and one for each megabyte.
    ///   - work: called once for each part, at the same time.
    package static func cut(
        _ count: Int, inUnitsOf unit: Int, most: Int? = nil, _ work: (_ part: Range<Int>) -> Void
    ) {
        let most = most ?? min(8, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 2), max(1, count >> 20))
        // Whole pages where units are smaller.
        let step = unit < 4096 ? (4096 + unit - 1) / unit * unit : unit
        let size = max(1, (count + most * step - 1) / (most * step)) * step
        withoutActuallyEscaping(work) { work in
            // Each part has bytes of its own.
            nonisolated(unsafe) let work = work
            DispatchQueue.concurrentPerform(iterations: (count + size - 1) / size) { index in
                work(index * size ..< min((index + 1) * size, count))
            }
        }
    }
}
