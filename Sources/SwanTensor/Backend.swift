/// One device with one ordered queue: everything that a model asks of it, at the level of the
/// field's operations.
///
/// Composed of one small protocol per family, a file each. Results are new tensors unless a name
/// says otherwise. Operations may be enqueued: results are complete once they are downloaded or
/// after ``MemoryOps/synchronize()``. Not `Sendable`: whoever owns a backend owns the order.
///
/// *Activations* are float32 tensors on the CPU; a backend that computes in fewer bits returns them
/// in ``MemoryOps/activationType``. Every operation checks shapes and types against its contract
/// before anything runs and throws `tensor.shape-mismatch`; every operation that returns a tensor can
/// throw `tensor.out-of-memory`.
public protocol Backend: MemoryOps, PlanningOps, StreamingOps, LinearOps, EightBitOps, NormalizationOps, AttentionOps,
    LatentOps, VideoOps
{
    /// The device's name as the user writes it: `cpu`, `reference`, `cuda:0`.
    var name: String { get }
    /// One line about what computes: library and version, threads, instruction set.
    var summary: String { get }

    /// What is computed on, whichever way it was opened.
    var hardware: String { get }
}

extension Backend {
    /// What ``summary`` says, where that is all there is.
    public var hardware: String { summary }
}
