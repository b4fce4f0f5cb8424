import CSwanCPUKernels
public import SwanDiagnostics
public import SwanTensor

/// The fast backend of the host: vector kernels in pooled memory on all cores, convolutions by oneDNN.
///
/// Results have the same bits from run to run: every sum has an order that depends on sizes alone.
public final class CPUBackend: HostBackend, Backend {
    let library: OneDNN
    let kernels: SwanKernels
    /// How tokens attend to each other.
    let tokenAttention: CPUAttention
    /// Memory that an operation needs while it runs, kept for the next one.
    private var scratch: HostStorage?
    /// Convolutions that oneDNN computed: shows in tests that the fast path ran.
    package internal(set) var convolutionCount = 0
    /// Operations that the matrix kernels computed.
    package internal(set) var productCount = 0

    /// Which code convolutions get: the matrix kernels, oneDNN, or by default what is faster.
    package var usesTaps: Bool?

    /// The device's name.
    public let name = "cpu"

    /// What computes.
    public var summary: String {
        let threads = library.threads == 1 ? "1 thread" : "\(library.threads) threads"
        return "oneDNN \(library.version), \(threads), \(String(cString: kernels.name))"
    }

    /// Opens oneDNN.
    ///
    /// - Parameter attention: how tokens attend to each other.
    /// - Throws: `cpu.library-unavailable` when it is not installed or has another version.
    public convenience init(attention: CPUAttention = .exact) throws(SwanError) {
        try self.init(kernels: swan_kernels().pointee, poisons: false, attention)
    }

    /// A backend that uses the vectors of level `level` (0: what every processor has), or nil where the
    /// processor lacks it; for tests of every level. New tensors are filled with NaNs.
    package convenience init?(level: Int) throws(SwanError) {
        guard let table = swan_kernels_at(Int32(level)) else { return nil }
        try self.init(kernels: table.pointee, poisons: true)
    }

    private init(
        kernels: SwanKernels, poisons: Bool, _ attention: CPUAttention = .exact
    ) throws(SwanError) {
        tokenAttention = attention
        library = try OneDNN.open()
        self.kernels = kernels
        super.init(pool: BufferPool(poisons: poisons))
    }

    /// Calls `body` with consecutive ranges that make up `0 ..< count`, on all cores.
    ///
    /// The ranges depend on the sizes alone. Each is about as large as a core's first cache level, so
    /// that a range is worth its start and a core that others have taken away delays the rest little.
    ///
    /// - Parameter size: floats that one index reads or writes.
    func forEachRange(of count: Int, size: Int, _ body: (Range<Int>) -> Void) {
        let length = max(1, (1 << 15) / max(1, size))
        library.parallel((count + length - 1) / length) { index, _ in
            body(index * length ..< min(count, (index + 1) * length))
        }
    }

    /// At least `count` floats of memory, until the next call.
    func scratchFloats(_ count: Int) throws(SwanError) -> Floats {
        let bytes = max(count, 1) * MemoryLayout<Float>.size
        if let scratch, scratch.byteCount >= bytes { return scratch.floats }
        scratch = nil
        let larger = try HostStorage(pool, bytes: bytes)
        scratch = larger
        return larger.floats
    }

    /// Computes rows `0 ..< rows` and panels `panels` of `c = a * packed`, or of `c +=` it.
    func product(
        _ a: Floats, stride aStride: Int, rows: Int, _ packed: Floats, k: Int, n: Int, panels: Range<Int>,
        into c: Floats, stride cStride: Int, accumulates: Bool = false
    ) {
        withUnsafePointer(to: SwanSegment(offset: 0, packedRow: 0)) { segment in
            var product = SwanProduct(
                a: a, aStride: aStride, segments: segment, segmentCount: 1, k: k, packed: packed, packedRows: k, n: n,
                c: c, cStride: cStride, accumulates: accumulates)
            kernels.product(&product, 0, rows, panels.lowerBound, panels.upperBound)
        }
    }
}

/// Columns of a panel of a packed matrix.
let panelWidth = Int(SWAN_PANEL)

/// Panels that a packed matrix of `columns` columns takes.
func panels(_ columns: Int) -> Int { (columns + panelWidth - 1) / panelWidth }
