public import SwanTensor

/// Every operation spelled out as its contract says it: plain loops, one thread, sums in float64.
///
/// Slow on purpose. It is the oracle that the fast backends are compared with, and what is switched
/// on to find out which of them is wrong; it takes no library and no special instructions. New
/// tensors are filled with NaNs, so that an element that nobody wrote shows.
public final class ReferenceBackend: HostBackend, Backend {
    /// The device's name.
    public let name = "reference"
    /// What computes.
    public let summary = "plain Swift loops, one thread, sums in float64"

    /// Makes a backend with memory of its own.
    public init() { super.init(pool: BufferPool(poisons: true)) }
}
