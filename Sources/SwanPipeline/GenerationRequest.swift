public import SwanSampling

/// What was asked for; nil where the model's default is to be used.
public struct GenerationRequest: Sendable, Hashable {
    /// Pixels.
    public var width, height: Int?
    /// Frames, 4k + 1.
    public var frames: Int?
    /// Frames per second of the file.
    public var fps: Int?
    /// Solver steps.
    public var steps: Int?
    /// The solver.
    public var solver: SolverName?
    /// The flow's shift.
    public var shift: Double?
    /// The sigma below which the low-noise expert works.
    public var boundary: Double?
    /// Guidance scale of the high-noise expert.
    public var guidanceHigh: Double?
    /// Guidance scale of the low-noise expert.
    public var guidanceLow: Double?
    /// What the picture should not show; empty means just that.
    public var negativePrompt: String?
    /// A preset's name; `none` for none.
    public var preset: String?
    /// LoRAs of the high-noise expert.
    public var lorasHigh: [LoRASetting] = []
    /// LoRAs of the low-noise expert, or of the only transformer.
    public var lorasLow: [LoRASetting] = []

    /// Asks for nothing in particular.
    public init() {}
}

/// What will be done: every value decided.
public struct GenerationSettings: Sendable, Hashable, Codable {
    /// The model's name.
    public var model: String
    /// Pixels.
    public var width, height: Int
    /// Frames, 4k + 1.
    public var frames: Int
    /// Frames per second of the file.
    public var fps: Int
    /// Solver steps.
    public var steps: Int
    /// The solver.
    public var solver: SolverName
    /// The flow's shift.
    public var shift: Double
    /// The sigma below which the low-noise expert works; 0 with one transformer.
    public var boundary: Double
    /// Guidance scale of the high-noise expert.
    public var guidanceHigh: Double
    /// Guidance scale of the low-noise expert.
    public var guidanceLow: Double
    /// What the picture should not show.
    public var negativePrompt: String
    /// The preset in use.
    public var preset: String?
    /// LoRAs of the high-noise expert.
    public var lorasHigh: [LoRASetting]
    /// LoRAs of the low-noise expert.
    public var lorasLow: [LoRASetting]
}
