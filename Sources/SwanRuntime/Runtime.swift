import FoundationEssentials
import SwanCPU
import SwanCUDA
public import SwanDiagnostics
public import SwanTensor

/// Devices by name.
public struct Runtime: Sendable {
    /// What the names mean to someone who is to choose one.
    public static let names = "'auto', 'cpu', 'cuda:0' (and other numbers) and 'reference'"

    private let variables: [String: String]
    /// False leaves NVIDIA's libraries aside, so that Swan's own kernels do everything.
    public var usesLibraries = true
    /// A GPU of an earlier generation, as `sm_80`, whose instructions are all that kernels may use; nil for the
    /// device's own.
    public var imitatedArchitecture: String?
    /// What computes attention, as `flash-sm90` on a GPU; nil for the fastest exact one that runs. `int8` stands for eight
    /// bits on every device but `reference`.
    public var attention: String?
    /// The values of ``attention``.
    public static let attentionNames = AttentionKernel.allCases.map(\.rawValue) + [CPUAttention.int8.rawValue]

    /// The ways to compute attention of a device that is no GPU.
    public static func attentionNames(onHostDevice device: String) -> [String] {
        device == "cpu" ? CPUAttention.allCases.map(\.rawValue) : [CPUAttention.exact.rawValue]
    }

    /// Devices of this machine.
    ///
    /// - Parameter variables: an environment, which says where libraries and caches lie; nil for the process' own.
    public init(variables: [String: String]? = nil) {
        self.variables = variables ?? ProcessInfo.processInfo.environment
    }

    /// Opens a device of this machine; see ``open(_:)-swift.method``.
    public static func open(_ name: String) throws(SwanError) -> any Backend { try Runtime().open(name) }

    /// Opens a device.
    ///
    /// - Parameter name: `reference` (plain loops, the oracle), `cpu` (oneDNN), `cuda:0` (a GPU; `cuda` is the
    ///   first), or `auto` for a GPU if there is one that Swan can use, else the CPU.
    /// - Throws: `runtime.device-unknown`, `runtime.device-unavailable`, `cpu.library-unavailable`, or what opening
    ///   a GPU throws. A device that was asked for by name is never replaced by another.
    public func open(_ name: String) throws(SwanError) -> any Backend {
        switch name {
        case "auto":
            return try automatic()
        case "cpu":
            return try openCPU()
        case "reference":
            return ReferenceBackend()
        case "cuda":
            return try openGPU(0)
        case _ where name.hasPrefix("cuda:"):
            let digits = name.dropFirst(5)
            guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && $0.isNumber }), let ordinal = Int(digits) else {
                throw SwanError(
                    .deviceUnknown, "There is no device named '\(name.printable())'.",
                    advice: "A GPU is named by its number: cuda:0.")
            }
            return try openGPU(ordinal)
        default:
            throw SwanError(
                .deviceUnknown, "There is no device named '\(name.printable())'.",
                advice: "Devices are \(Self.names).")
        }
    }

    /// A GPU that is not there, to plan on: it takes and gives back memory as a GPU does that has all of NVIDIA's
    /// libraries, and computes nothing. But for its memory it is a data-centre card of the generation sm_90.
    ///
    /// - Parameter memoryBytes: of its memory, all of them free.
    public static func rehearsal(memoryBytes: Int) -> any Backend {
        CUDABackend(
            rehearsing: DeviceFacts(
                ordinal: 0, name: "a GPU", capability: ComputeCapability(9, 0), multiprocessors: 132,
                sharedMemoryPerBlock: 227 << 10, cacheBytes: 50 << 20, memoryBytes: memoryBytes))
    }

    /// The devices that jobs can be given, by name: GPUs that Swan can use, and the CPU. Starts nothing on them.
    public func deviceNames() -> [String] {
        CUDABackend.usableDevices(search).map { "cuda:\($0.ordinal)" } + ["cpu"]
    }

    /// A device to plan on for a later time, when all of its memory is free: for a GPU one that computes nothing, so
    /// that whatever runs there now loses nothing.
    ///
    /// - Throws: as ``open(_:)-swift.method`` for a device that is not there.
    public func openForPlanning(_ name: String) throws(SwanError) -> any Backend {
        guard name == "auto" || name == "cuda" || name.hasPrefix("cuda:") else { return try open(name) }
        let usable = CUDABackend.usableDevices(search)
        let asked = name == "cuda" ? "cuda:0" : name
        let found =
            name == "auto"
            ? usable.max { $0.memoryBytes < $1.memoryBytes } : usable.first { "cuda:\($0.ordinal)" == asked }
        // Opening says what a GPU lacks.
        guard let found else { return try open(name) }
        return try CUDABackend(rehearsing: found, attention: attentionKernel(on: found))
    }

    /// Ways to compute attention that may be faster on a GPU than its own choice, the most promising first: whoever has little
    /// time may not come to the last. Some may lack what they need there.
    ///
    /// `plain` is an oracle, a hundred times slower, and takes memory that grows with the square of the length. Where
    /// `int8-sm90` runs, `int8-sm80` gives the same bits more slowly.
    ///
    /// - Parameters:
    ///   - chosen: what the GPU computes attention with by itself.
    ///   - device: its name.
    public static func attentionToTry(besides chosen: String, on device: String) -> [String] {
        var runtime = Runtime()
        runtime.attention = AttentionKernel.int8SM90.rawValue
        let hasHopper = (try? runtime.openForPlanning(device)) != nil
        let kernels: [AttentionKernel] = [hasHopper ? .int8SM90 : .int8SM80, .flashSM90, .cudnn, .flashSM80]
        return kernels.map(\.rawValue).filter { $0 != chosen }
    }

    /// What ``attention`` names on a GPU: in eight bits, the fastest that runs there.
    private func attentionKernel(on facts: DeviceFacts?) throws(SwanError) -> AttentionKernel? {
        guard let attention else { return nil }
        if attention == CPUAttention.int8.rawValue {
            guard let facts, imitatedArchitecture == nil,
                (try? CUDABackend(rehearsing: facts, attention: .int8SM90)) != nil
            else { return .int8SM80 }
            return .int8SM90
        }
        guard let kernel = AttentionKernel(rawValue: attention) else {
            throw SwanError(
                .deviceUnknown, "No attention kernel is named '\(attention.printable())'.",
                advice: "They are \(AttentionKernel.names), and 'int8'.")
        }
        return kernel
    }

    /// The GPU with the most free memory that has what Swan needs, else the CPU.
    private func automatic() throws(SwanError) -> any Backend {
        guard let ordinal = CUDABackend.usableDevice(search) else { return try openCPU() }
        return try openGPU(ordinal)
    }

    /// A GPU's kernel by another's name is left to whoever gave it, to find that this is none.
    private func openCPU() throws(SwanError) -> CPUBackend {
        try CPUBackend(attention: attention.flatMap(CPUAttention.init) ?? .exact)
    }

    private var search: LibrarySearch { .thisProcess(variables: variables) }

    private func openGPU(_ ordinal: Int) throws(SwanError) -> any Backend {
        var options = CUDABackend.Options(cacheFolder: try cacheFolder() + "/cuda")
        options.usesLibraries = usesLibraries
        options.attention = try attentionKernel(
            on: CUDABackend.usableDevices(search).first { $0.ordinal == ordinal })
        if let imitatedArchitecture {
            guard let capability = ComputeCapability(architecture: imitatedArchitecture) else {
                throw SwanError(
                    .deviceUnknown, "'\(imitatedArchitecture.printable())' names no generation of GPUs.",
                    advice: "Give sm_80, sm_86 or sm_89.")
            }
            options.imitating = capability
        }
        return try CUDABackend(ordinal: ordinal, search: search, options)
    }

    /// Where Swan keeps what it can make again.
    private func cacheFolder() throws(SwanError) -> String {
        if let folder = variables["XDG_CACHE_HOME"], folder.hasPrefix("/") { return folder + "/swan" }
        if let home = variables["HOME"], home.hasPrefix("/") { return home + "/.cache/swan" }
        throw SwanError(
            .deviceUnavailable, "Neither XDG_CACHE_HOME nor HOME names a folder, where compiled kernels are kept.",
            advice: "Set XDG_CACHE_HOME.")
    }
}
