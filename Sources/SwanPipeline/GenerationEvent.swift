/// What happens during a run, in order.
public enum GenerationEvent: Sendable {
    /// The run's parts.
    public enum Stage: String, Sendable, Codable, CaseIterable {
        case text, loadHigh = "load-high", high, loadLow = "load-low", low, loadDecoder = "load-decoder", decode
        case encode

        /// How people read it.
        public var title: String {
            switch self {
            case .text: "text"
            case .loadHigh: "load, high noise"
            case .high: "high-noise steps"
            case .loadLow: "load, low noise"
            case .low: "low-noise steps"
            case .loadDecoder: "load, decoder"
            case .decode: "decode"
            case .encode: "finish the file"
            }
        }
    }

    /// A stage begins.
    case stage(Stage)
    /// A solver step is done: `step` of `of`, after `seconds`; about `remaining` seconds of the whole
    /// run are left: both experts, all videos, decoding.
    case step(video: Int, step: Int, of: Int, seconds: Double, remaining: Double?)
    /// Frames were decoded and handed on; about `remaining` seconds of the whole run are left.
    case frames(video: Int, done: Int, of: Int, remaining: Double?)
    /// A video is finished.
    case video(index: Int, path: String)
}
