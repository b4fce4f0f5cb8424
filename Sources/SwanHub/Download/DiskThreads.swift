import Dispatch

/// Threads for what waits for a disk or computes for seconds: Swift's own threads are few.
enum DiskThreads {
    private static let queue = DispatchQueue(label: "swan.disk", attributes: .concurrent)

    static func run(_ body: @escaping @Sendable () -> Void) { queue.async(execute: body) }
}
