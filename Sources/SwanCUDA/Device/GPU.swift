import CSwanCUDA
import SwanDiagnostics
import SwanTensor

/// A GPU with its queues, its kernels and the libraries that this machine has.
final class GPU: Executor {
    let device: Device
    private let stream: Stream
    private let copyStream: Stream
    private let cache: KernelCache
    private var loaded: [KernelRequest: LoadedKernel] = [:]
    private let compiler: FoundLibrary
    /// nil where cuBLASLt is missing.
    private let matrices: MatrixLibrary?
    /// nil where cuDNN is missing.
    private let graphs: GraphLibrary?

    let isRehearsal = false

    /// - Parameter architecture: what kernels are compiled for.
    init(
        _ device: Device, _ search: LibrarySearch, compiler: Compiler, architecture: String, cacheFolder: String,
        usesLibraries: Bool
    ) throws(SwanError) {
        self.device = device
        let stream = try Stream(device)
        self.stream = stream
        // What merges and rounds weights on their way must not wait until all blocks of an attention, which takes tens of
        // milliseconds, have begun: the next weights could not come in meanwhile.
        copyStream = try Stream(device, isUrgent: true)
        let disk = BlobCache(folder: cacheFolder)
        cache = KernelCache(
            disk: disk, compilerVersion: compiler.found.version, architecture: architecture
        ) { (kernel) throws(SwanError) in
            try compiler.compile(kernel, for: architecture).code
        }
        self.compiler = compiler.found
        matrices = try Self.ifInstalled(usesLibraries) { () throws(SwanError) in
            try MatrixLibrary(search, stream, choices: disk)
        }
        graphs = try Self.ifInstalled(usesLibraries) { () throws(SwanError) in
            try GraphLibrary(search, stream, choices: disk)
        }
    }

    /// nil for a library that is not there; one that is there and fails is an error.
    private static func ifInstalled<Library>(
        _ isWanted: Bool, _ open: () throws(SwanError) -> Library
    ) throws(SwanError) -> Library? {
        guard isWanted else { return nil }
        do {
            return try open()
        } catch  where error.code == .cudaLibraryUnavailable {
            return nil
        }
    }

    var facts: DeviceFacts { device.facts }
    var hasMatrixLibrary: Bool { matrices != nil }
    var hasRowScales: Bool { matrices?.hasRowScales ?? false }
    var hasGraphLibrary: Bool { graphs != nil }
    var hasTileMaps: Bool { table.cuTensorMapEncodeTiled != nil }
    var counts: DeviceCounts {
        get { stream.counts }
        set { stream.counts = newValue }
    }
    var libraries: [FoundLibrary] {
        [device.driver.found, compiler] + [matrices?.found, graphs?.found].compactMap { $0 }
    }
    var summary: String {
        let parts = [
            "\(device.facts.name), driver for \(device.driver.found.version)", "NVRTC \(compiler.version)",
            matrices.map { "products by cuBLASLt \($0.found.version)" } ?? "products by a plain kernel (no cuBLASLt)",
            graphs.map { "convolutions by cuDNN \($0.found.version)" } ?? "convolutions by a plain kernel (no cuDNN)",
        ]
        return parts.joined(separator: ", ")
    }

    private var table: SwanDriver { device.driver.table }

    private func stream(_ queue: Queue) -> Stream { queue == .compute ? stream : copyStream }

    // Memory --------------------------------------------------------------------------------------

    func allocateMemory(_ bytes: Int) throws(SwanError) -> UInt64 {
        var address: UInt64 = 0
        do {
            try device.driver.check(table.cuMemAlloc_v2(&address, bytes), "cuMemAlloc")
        } catch {
            throw SwanError(
                error.code, "\(formatted(bytes: bytes)) of GPU memory are missing.", advice: error.advice, cause: error)
        }
        return address
    }

    func freeBytes() throws(SwanError) -> Int { try device.freeBytes() }

    func freeMemory(_ address: UInt64) {
        // Waits for what uses it; a failure has nobody to throw to, and the next call reports it.
        _ = table.cuMemFree_v2(address)
    }

    func allocatePinned(_ bytes: Int) throws(SwanError) -> PinnedMemory {
        counts.pinnedAllocations += 1
        return try DriverPinnedMemory(bytes: bytes, on: device)
    }

    // Queues --------------------------------------------------------------------------------------

    func copy(_ source: UnsafeRawBufferPointer, to target: UInt64, on queue: Queue) throws(SwanError) {
        counts.copies += 1
        try stream(queue).copy(source, to: target)
    }

    func copy(_ source: UInt64, to target: UnsafeMutableRawBufferPointer) throws(SwanError) {
        counts.copies += 1
        try stream.copy(source, to: target)
    }

    func copy(_ source: UInt64, to target: UInt64, bytes: Int) throws(SwanError) {
        counts.copies += 1
        try stream.copy(source, to: target, bytes: bytes)
    }

    func clear(_ target: UInt64, bytes: Int) throws(SwanError) { try stream.clear(target, bytes: bytes) }

    func launch(_ plan: KernelPlan, _ arguments: [KernelArgument], on queue: Queue) throws(SwanError) {
        counts.launches += 1
        try stream(queue).launch(kernel(plan.request), plan.shape, arguments)
    }

    private func kernel(_ request: KernelRequest) throws(SwanError) -> LoadedKernel {
        if let kernel = loaded[request] { return kernel }
        let kernel: LoadedKernel
        do {
            kernel = try LoadedKernel(request, cache.cubin(request), device)
        } catch  where error.code == .cudaCallFailed {
            // A kept cubin that the driver refuses is made anew, once.
            kernel = try LoadedKernel(request, cache.rebuilt(request), device)
        }
        loaded[request] = kernel
        return kernel
    }

    func multiply(
        x: UInt64, w: UInt64, bias: UInt64?, y: UInt64, scales: (x: UInt64, w: UInt64)?, _ shape: ProductShape,
        workspace: Workspace
    ) throws(SwanError) -> Bool {
        try matrices?.multiply(x: x, w: w, bias: bias, y: y, scales: scales, shape, workspace: workspace) ?? false
    }

    func execute(
        _ operation: GraphOperation, _ addresses: [UInt64], scale: Float?, workspace: Workspace
    ) throws(SwanError) -> Bool {
        try graphs?.execute(operation, addresses, scale: scale, workspace: workspace) ?? false
    }

    func prepare(_ operation: GraphOperation, workspaceBytes: Int) throws(SwanError) {
        try graphs?.prepare(operation, workspaceBytes: workspaceBytes)
    }

    func synchronize() throws(SwanError) { try stream.synchronize() }
    func synchronizeCopies() throws(SwanError) {
        counts.synchronizations += 1
        try copyStream.synchronize()
    }

    func makeMark() throws(SwanError) -> any QueueMark { try Mark(self) }

    func makeOperationClock() -> any OperationClock { DeviceClock(stream) }

    private final class Mark: QueueMark {
        private let event: Event
        private unowned let gpu: GPU

        init(_ gpu: GPU) throws(SwanError) {
            self.gpu = gpu
            event = try Event(gpu.device)
        }

        func record(on queue: Queue) throws(SwanError) { try event.record(on: gpu.stream(queue)) }
        func wait(on queue: Queue) throws(SwanError) { try gpu.stream(queue).wait(for: event) }
        func hasPassed() throws(SwanError) -> Bool { try event.hasPassed() }
        func synchronize() throws(SwanError) {
            gpu.counts.synchronizations += 1
            try event.synchronize()
        }
    }
}

/// Pinned memory that the driver gave, owned.
private final class DriverPinnedMemory: PinnedMemory {
    private let device: Device

    init(bytes count: Int, on device: Device) throws(SwanError) {
        self.device = device
        var address: UnsafeMutableRawPointer?
        do {
            try device.driver.check(
                device.driver.table.cuMemHostAlloc(&address, max(count, 1), 0), "cuMemHostAlloc")
        } catch {
            throw SwanError(
                error.code, "\(formatted(bytes: count)) of pinned host memory cannot be had.",
                advice: "Close other programs, or raise the limit of locked memory (ulimit -l).", cause: error)
        }
        super.init(UnsafeMutableRawBufferPointer(start: address, count: count))
    }

    deinit { _ = device.driver.table.cuMemFreeHost(bytes.baseAddress) }
}
