public import SwanDiagnostics
import SwanSampling
public import SwanTensor

/// A video between two steps: all that it takes to go on from there and end in the same bits.
///
/// Random numbers are drawn before the first step and never again, so that no generator belongs to it.
public struct DenoisingState: Sendable {
    /// Solver steps that are done.
    public var steps: Int
    /// The latent behind them, float32 `[channels, frames, height, width]`.
    public var latent: HostTensor
    /// What the solver and the step cache remember, by their names, each shaped like the latent.
    public var memory: [String: HostTensor]
    /// What the step cache remembers, by its names, and forwards that it has spared up to now.
    public var numbers: [String: Double]

    /// Describes a video between two steps.
    public init(steps: Int, latent: HostTensor, memory: [String: HostTensor], numbers: [String: Double] = [:]) {
        (self.steps, self.latent, self.memory, self.numbers) = (steps, latent, memory, numbers)
    }
}

/// Keeps videos that are being made, so that a run which ends before its time can go on.
public protocol DenoisingKeeper: AnyObject {
    /// What was kept of a video; nil to begin it.
    ///
    /// - Parameter video: its index among the run's videos.
    /// - Throws: `pipeline.state-invalid`, or what reading it throws.
    func state(of video: Int) throws(SwanError) -> DenoisingState?

    /// Whether a video is to be kept now. Asked after each step; keeping a state copies it from the device.
    ///
    /// - Parameters:
    ///   - video: its index among the run's videos.
    ///   - isLast: whether nothing will be asked for a while: the steps are done, or the run is to stop.
    func isDue(_ video: Int, isLast: Bool) -> Bool

    /// Keeps a video in place of what was kept of it before.
    ///
    /// - Parameters:
    ///   - state: all that it takes to go on.
    ///   - video: its index among the run's videos.
    ///   - stages: how long the run's stages have taken up to now.
    func keep(_ state: DenoisingState, of video: Int, stages: [RunReport.StageTime])
}

/// A video of a run on its way from noise to a clean latent.
struct LatentState {
    /// Its index among the run's videos.
    let index: Int
    let item: VideoItem
    var tensor: Tensor
    /// Steps that are done.
    var steps: Int
    var solver: (any Solver)?
    /// Nil without one, and where it holds nothing yet.
    var cache: StepCache?
    /// Forwards that the cache has spared.
    var spared = 0

    /// Begins a video, or goes on with one.
    ///
    /// - Parameter kept: what was kept of it; nil to begin it.
    /// - Throws: `pipeline.state-invalid`, `sampling.memory-incomplete`.
    init(
        _ index: Int, _ item: VideoItem, _ start: HostTensor, _ kept: DenoisingState?, _ settings: GenerationSettings,
        on backend: any Backend
    ) throws(SwanError) {
        (self.index, self.item) = (index, item)
        guard let kept else {
            tensor = try backend.upload(start, as: .float32)
            steps = item.isDecodedOnly ? settings.steps : 0
            solver = item.isDecodedOnly ? nil : settings.solver.makeSolver(try settings.schedule())
            return
        }
        guard (0 ... settings.steps).contains(kept.steps), kept.latent.shape == start.shape,
            kept.memory.values.allSatisfy({ $0.shape == start.shape })
        else {
            throw SwanError(
                .stateInvalid,
                "What was kept of video \(index + 1) is \(kept.latent.shape) after step \(kept.steps), expected \(start.shape) and at most \(settings.steps) steps.",
                advice: "Begin the run again.")
        }
        tensor = try backend.upload(kept.latent, as: .float32)
        steps = kept.steps
        spared = Int(kept.numbers[Self.sparedName] ?? 0)
        guard steps < settings.steps else { return }
        var solver = settings.solver.makeSolver(try settings.schedule())
        var memory: [String: Tensor] = [:]
        for (name, values) in kept.memory { memory[name] = try backend.upload(values, as: .float32) }
        try solver.resume(at: steps, with: memory)
        self.solver = solver
        guard let threshold = settings.cacheThreshold else { return }
        cache = StepCache(threshold: threshold, steps: settings.steps)
        cache?.resume(
            with: .init(
                tensors: memory.named(behind: Self.cachePrefix), numbers: kept.numbers.named(behind: Self.cachePrefix)))
    }

    private static let cachePrefix = "cache."
    private static let sparedName = "spared"

    /// The state as a keeper takes it.
    ///
    /// - Parameter withMemory: whether steps are left, which need what solver and cache remember.
    func downloaded(from backend: any Backend, withMemory: Bool) throws(SwanError) -> DenoisingState {
        var state = DenoisingState(
            steps: steps, latent: HostTensor(tensor.shape, try backend.download(tensor)), memory: [:],
            numbers: [Self.sparedName: Double(spared)])
        guard withMemory else { return state }
        var tensors = solver?.memory ?? [:]
        let cached = cache?.memory
        for (name, values) in cached?.tensors ?? [:] { tensors[Self.cachePrefix + name] = values }
        for (name, value) in cached?.numbers ?? [:] { state.numbers[Self.cachePrefix + name] = value }
        for (name, values) in tensors { state.memory[name] = HostTensor(values.shape, try backend.download(values)) }
        return state
    }
}

extension Dictionary where Key == String {
    /// The values of names that begin with a prefix, under the rest of the names.
    fileprivate func named(behind prefix: String) -> Self {
        var found: Self = [:]
        for (name, value) in self where name.hasPrefix(prefix) { found[String(name.dropFirst(prefix.count))] = value }
        return found
    }
}
