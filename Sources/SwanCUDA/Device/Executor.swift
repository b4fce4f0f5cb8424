import SwanDiagnostics
import SwanTensor

/// Which of a backend's two queues.
enum Queue {
    /// Where everything is computed.
    case compute
    /// Where weights come in beside it.
    case copies
}

/// What carries out a backend's requests: a GPU, or nobody.
///
/// Everything above, what is launched with which shapes, what memory is taken and given back in which order, is the
/// same for both, so that a rehearsal needs exactly what a run needs.
protocol Executor: AnyObject {
    var facts: DeviceFacts { get }
    /// What was asked for so far.
    var counts: DeviceCounts { get set }
    /// Whether nothing is carried out.
    var isRehearsal: Bool { get }
    /// Whether products are cuBLASLt's.
    var hasMatrixLibrary: Bool { get }
    /// Whether it has products of fp8 with a scale for each row and column. Memory depends on it, so a rehearsal knows it too.
    var hasRowScales: Bool { get }
    /// Whether attention and convolutions are cuDNN's.
    var hasGraphLibrary: Bool { get }
    /// Whether kernels can be given ``TileMap``s.
    var hasTileMaps: Bool { get }
    /// What computes, for people.
    var summary: String { get }
    /// The libraries in use.
    var libraries: [FoundLibrary] { get }

    /// Asks the driver for memory.
    func allocateMemory(_ bytes: Int) throws(SwanError) -> UInt64
    /// Bytes that the driver has left, for this process and all others.
    func freeBytes() throws(SwanError) -> Int
    /// Gives memory back to the driver, once everything asked for so far is done.
    func freeMemory(_ address: UInt64)
    /// Memory of the host that the device reads by itself.
    func allocatePinned(_ bytes: Int) throws(SwanError) -> PinnedMemory

    /// Enqueues a copy from pinned host memory, which must stay as it is until the copy has passed.
    func copy(_ source: UnsafeRawBufferPointer, to target: UInt64, on queue: Queue) throws(SwanError)
    /// Enqueues a copy to host memory.
    func copy(_ source: UInt64, to target: UnsafeMutableRawBufferPointer) throws(SwanError)
    /// Enqueues a copy on the device.
    func copy(_ source: UInt64, to target: UInt64, bytes: Int) throws(SwanError)
    /// Enqueues zeros.
    func clear(_ target: UInt64, bytes: Int) throws(SwanError)
    /// Enqueues a kernel.
    func launch(_ plan: KernelPlan, _ arguments: [KernelArgument], on queue: Queue) throws(SwanError)
    /// Enqueues a product by cuBLASLt; false, with nothing enqueued, where it is missing or, in eight bits, has none.
    ///
    /// - Parameter scales: of fp8, one for each row of x and of w.
    func multiply(
        x: UInt64, w: UInt64, bias: UInt64?, y: UInt64, scales: (x: UInt64, w: UInt64)?, _ shape: ProductShape,
        workspace: Workspace
    ) throws(SwanError) -> Bool
    /// Enqueues an operation of cuDNN; false, with nothing enqueued, where it is missing or has no plan.
    func execute(
        _ operation: GraphOperation, _ addresses: [UInt64], scale: Float?, workspace: Workspace
    ) throws(SwanError) -> Bool
    /// Does on the host what the first ``execute(_:_:scale:workspace:)`` of an operation would do there.
    func prepare(_ operation: GraphOperation, workspaceBytes: Int) throws(SwanError)
    /// Waits for everything that is computed.
    func synchronize() throws(SwanError)
    /// Waits for everything that is copied beside it.
    func synchronizeCopies() throws(SwanError)

    /// A place to mark points of a queue.
    func makeMark() throws(SwanError) -> any QueueMark

    /// What times operations of the computing queue.
    func makeOperationClock() -> any OperationClock
}

/// Memory that libraries use while one of their operations runs: one for all, since those follow each other.
struct Workspace {
    let address: UInt64
    let bytes: Int
    /// Plans that need more are passed over.
    static let size = 256 << 20
}

/// A point in a queue that the other, or the host, can wait for.
protocol QueueMark: AnyObject {
    /// Marks the end of what was enqueued so far.
    func record(on queue: Queue) throws(SwanError)
    /// Lets what is enqueued from now on wait for the marked point. Before the first mark it waits for nothing.
    func wait(on queue: Queue) throws(SwanError)
    /// Whether the marked point has passed.
    func hasPassed() throws(SwanError) -> Bool
    /// Waits until the marked point has passed.
    func synchronize() throws(SwanError)
}

/// Pinned memory of the host.
class PinnedMemory {
    /// The bytes; none in a rehearsal.
    let bytes: UnsafeMutableRawBufferPointer
    init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }
}

/// Nobody: requests are counted and forgotten.
final class Rehearsal: Executor {
    let facts: DeviceFacts
    var counts = DeviceCounts()
    let isRehearsal = true
    let hasMatrixLibrary: Bool
    let hasRowScales: Bool
    let hasGraphLibrary: Bool
    let hasTileMaps = true
    let summary = "rehearsal"
    let libraries: [FoundLibrary] = []
    /// Different operations of cuDNN, in the order in which they were first asked for.
    private(set) var operations: [GraphOperation] = []
    private var known: Set<GraphOperation> = []
    private var nextAddress: UInt64 = 1 << 44
    /// Told each kernel, by its name, and the memory that it is given.
    var watch: ((_ kernel: String, _ addresses: [UInt64]) -> Void)?

    init(_ facts: DeviceFacts, hasMatrixLibrary: Bool, hasRowScales: Bool, hasGraphLibrary: Bool) {
        (self.facts, self.hasMatrixLibrary, self.hasGraphLibrary) = (facts, hasMatrixLibrary, hasGraphLibrary)
        self.hasRowScales = hasRowScales
    }

    func allocateMemory(_ bytes: Int) -> UInt64 {
        defer { nextAddress += 1 << 44 }
        return nextAddress
    }
    func freeBytes() -> Int { facts.memoryBytes }
    func freeMemory(_ address: UInt64) {}
    func allocatePinned(_ bytes: Int) -> PinnedMemory {
        counts.pinnedAllocations += 1
        return PinnedMemory(UnsafeMutableRawBufferPointer(start: nil, count: 0))
    }
    func copy(_ source: UnsafeRawBufferPointer, to target: UInt64, on queue: Queue) { counts.copies += 1 }
    func copy(_ source: UInt64, to target: UnsafeMutableRawBufferPointer) { counts.copies += 1 }
    func copy(_ source: UInt64, to target: UInt64, bytes: Int) { counts.copies += 1 }
    func clear(_ target: UInt64, bytes: Int) {}
    func launch(_ plan: KernelPlan, _ arguments: [KernelArgument], on queue: Queue) throws(SwanError) {
        counts.launches += 1
        watch?(plan.request.name, arguments.compactMap(\.address))
    }
    func multiply(
        x: UInt64, w: UInt64, bias: UInt64?, y: UInt64, scales: (x: UInt64, w: UInt64)?, _ shape: ProductShape,
        workspace: Workspace
    ) -> Bool {
        if hasMatrixLibrary { counts.libraryCalls += 1 }
        return hasMatrixLibrary
    }
    func execute(
        _ operation: GraphOperation, _ addresses: [UInt64], scale: Float?, workspace: Workspace
    ) -> Bool {
        guard hasGraphLibrary else { return false }
        counts.libraryCalls += 1
        if known.insert(operation).inserted { operations.append(operation) }
        return true
    }
    func prepare(_ operation: GraphOperation, workspaceBytes: Int) {}
    func synchronize() { counts.synchronizations += 1 }
    func synchronizeCopies() { counts.synchronizations += 1 }
    func makeMark() -> any QueueMark { NoMark() }
    func makeOperationClock() -> any OperationClock { RehearsedClock() }

    private final class NoMark: QueueMark {
        func record(on queue: Queue) {}
        func wait(on queue: Queue) {}
        func hasPassed() -> Bool { true }
        func synchronize() {}
    }
}
