public import SwanSampling
public import SwanTensor

/// The arithmetic of the transformer's linear layers.
public enum LinearPrecision: String, Sendable, Hashable, Codable, CaseIterable {
    /// The device's own: float32 on the CPU, bfloat16 on a GPU.
    case own
    /// Eight-bit numbers, with a scale for each row of weights and of activations.
    case fp8, int8

    /// That of eight-bit numbers.
    public init(_ format: EightBitFormat) { self = format == .fp8 ? .fp8 : .int8 }

    /// The eight-bit numbers; nil for none.
    public var format: EightBitFormat? { EightBitFormat(rawValue: rawValue) }
}

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
    /// The arithmetic of the transformer's linear layers.
    public var precision: LinearPrecision?
    /// The relative change of the velocity that may be missed before the network runs again; 0 to run it in every step.
    public var cacheThreshold: Double?
    /// The part of the run in which guidance is on.
    public var guidanceInterval: GuidanceInterval?
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
    /// The eight-bit numbers that the transformer's linear layers are computed in; nil for the device's own type.
    public var precision: EightBitFormat?
    /// The relative change of the velocity that may be missed before the network runs again; nil to run it in every step.
    public var cacheThreshold: Double?
    /// The part of the run in which guidance is on; nil for all of it.
    public var guidanceInterval: GuidanceInterval?
}
