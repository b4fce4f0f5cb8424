/// How the CPU computes the attention of a video's tokens to each other.
public enum CPUAttention: String, Sendable, CaseIterable {
    /// In float32.
    case exact
    /// In whole numbers of eight bits, as a GPU does with `int8-sm90` and `int8-sm80`: slower here, to see what it costs.
    case int8
}
