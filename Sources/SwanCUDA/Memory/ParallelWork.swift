#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Work on bytes of the host by several threads: one core reads some 10 GB/s, which is less than the bus takes, and makes
/// floats of fewer bits at a tenth of that.
package enum ParallelWork {
    /// Does parts of some bytes side by side, and returns when all are done.
    ///
    /// - Parameters:
    ///   - count: bytes, a multiple of `unit`.
    ///   - unit: parts are multiples of so many bytes.
    ///   - threads: at most; nil for half of the processors, 8 at most. A part has a megabyte at least.
    ///   - work: called once for each part, on threads of their own.
    package static func cut(
        _ count: Int, inUnitsOf unit: Int, threads: Int? = nil, _ work: (_ part: Range<Int>) -> Void
    ) {
        let threads = threads ?? min(8, max(1, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)) / 2)), max(1, count >> 20))
        // Whole pages where units are smaller.
        let step = unit < 4096 ? (4096 + unit - 1) / unit * unit : unit
        let size = max(1, (count + threads * step - 1) / (threads * step)) * step
        let parts = stride(from: 0, to: count, by: size).map { $0 ..< min($0 + size, count) }
        guard let first = parts.first else { return }
        withoutActuallyEscaping(work) { work in
            var started: [pthread_t] = []
            for range in parts.dropFirst() {
                let argument = Unmanaged.passRetained(Part(range, work))
                var thread = pthread_t()
                let status = pthread_create(
                    &thread, nil,
                    { raw in
                        if let raw { Unmanaged<Part>.fromOpaque(raw).takeRetainedValue().run() }
                        return nil
                    }, argument.toOpaque())
                if status == 0 { started.append(thread) } else { argument.takeRetainedValue().run() }
            }
            work(first)
            for thread in started { pthread_join(thread, nil) }
        }
    }

    private final class Part {
        private let range: Range<Int>
        private let work: (Range<Int>) -> Void

        init(_ range: Range<Int>, _ work: @escaping (Range<Int>) -> Void) { (self.range, self.work) = (range, work) }

        func run() { work(range) }
    }
}
