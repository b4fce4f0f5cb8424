public import SwanSampling

/// What a model does unless the request says otherwise.
public struct ModelDefaults: Sendable, Hashable {
    /// The model's name, for people.
    public var name: String
    /// Pixels.
    public var width, height: Int
    /// Frames of a clip, 4k + 1.
    public var frames: Int
    /// Frames per second of the file.
    public var fps: Int
    /// Solver steps.
    public var steps: Int
    /// The flow's shift.
    public var shift: Double
    /// The sigma below which the low-noise expert works; meaningless with one transformer.
    public var boundary: Double
    /// Guidance scale of the high-noise expert.
    public var guidanceHigh: Double
    /// Guidance scale of the low-noise expert, or of the only transformer.
    public var guidanceLow: Double
    /// The solver.
    public var solver = SolverName.unipc
    /// What the picture should not show.
    public var negativePrompt: String
    /// A preset that is used unless the request asks for something it fixes.
    public var preset: String?
    /// What has to be said of where the values come from; nil where they are the model's own.
    public var note: String?

    /// The official negative prompt of every Wan text-to-video model: garish, overexposed, static, blurred,
    /// subtitles, deformed hands and the like.
    ///
    /// Source: Wan2.2 `wan/configs/shared_config.py`.
    static let officialNegative =
        "色调艳丽，过曝，静态，细节模糊不清，字幕，风格，作品，画作，画面，静止，整体发灰，最差质量，低质量，JPEG压缩残留，丑陋的，残缺的，多余的手指，画得不好的手部，画得不好的脸部，畸形的，毁容的，形态畸形的肢体，手指融合，静止不动的画面，杂乱的背景，三条腿，背景人很多，倒着走"

    /// Wan2.2-T2V-A14B.
    ///
    /// Source: Wan2.2 `wan/configs/wan_t2v_A14B.py`.
    public static let t2vA14B = Self(
        name: "Wan2.2-T2V-A14B", width: 832, height: 480, frames: 81, fps: 16, steps: 40, shift: 12, boundary: 0.875,
        guidanceHigh: 4, guidanceLow: 3, negativePrompt: officialNegative)

    /// Wan2.1-T2V-14B.
    public static let t2v14B = Self(
        name: "Wan2.1-T2V-14B", width: 832, height: 480, frames: 81, fps: 16, steps: 50, shift: 5, boundary: 0,
        guidanceHigh: 5, guidanceLow: 5, negativePrompt: officialNegative)

    /// Wan2.1-T2V-1.3B.
    public static let t2v1B = Self(
        name: "Wan2.1-T2V-1.3B", width: 832, height: 480, frames: 81, fps: 16, steps: 50, shift: 8, boundary: 0,
        guidanceHigh: 6, guidanceLow: 6, negativePrompt: officialNegative)
}
