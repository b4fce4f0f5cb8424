import SwanCUDA
import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanNN
import SwanPipeline
import SwanTensor
import SwanTestSupport
import Testing

/// Guards which layout is chosen for which limit, and that a rehearsal of a whole run works without a GPU.
@Suite("Plans for a device's memory")
struct DevicePlanTests {
    private static let layers = 40

    /// A made-up model: 700 a layer, 3000 for the text encoder, hidden rows of 900 in all.
    private static func need(_ layout: DevicePlan.Layout) -> DevicePlan.Need {
        let rows = layout.feedForwardRows.map { 900 * $0 / 32768 } ?? 900
        let resident = layout.transformer.residentLayers(of: layers)
        let isPinned = if case .pinned = layout.transformer { true } else { false }
        let steps = 700 * (resident == layers ? layers : resident + 2) + 1500 + rows
        let text = layout.textEncoder == .resident ? 3000 : 300
        return .init(arenaBytes: max(steps, text), pinnedBytes: isPinned ? 700 * (layers - resident) : 0)
    }

    private static func choose(
        _ device: Int, pinned: Int = 100_000, weights: DevicePlan.Weights = .auto, canReload: Bool = true
    ) throws -> DevicePlan {
        try DevicePlan.choose(
            limits: (device, pinned), overhead: 100, layers: layers, weights: weights, canReload: canReload,
            rehearse: { (layout) throws(SwanError) in need(layout) })
    }

    @Test("everything stays on a device that has room")
    func resident() throws {
        let plan = try Self.choose(40_000)
        #expect(plan.layout == .resident && plan.peakBytes == 28_000 + 1500 + 900 + 100 && plan.pinnedBytes == 0)
        // A little less room: the feed-forward's hidden rows are made smaller first.
        #expect(
            try Self.choose(30_000).layout
                == .init(textEncoder: .resident, transformer: .resident, feedForwardRows: 8192))
    }

    @Test("as many layers stay as there is room for", arguments: Array(stride(from: 3300, to: 29_000, by: 700)))
    func streamed(limit: Int) throws {
        let plan = try Self.choose(limit)
        #expect(plan.peakBytes <= limit)
        guard case .pinned(let resident) = plan.layout.transformer else {
            Issue.record("\(plan.layout)")
            return
        }
        var larger = plan.layout
        larger.transformer = .pinned(resident: resident + 1)
        #expect(Self.need(larger).arenaBytes + 100 > limit || resident + 1 >= Self.layers - 2)
    }

    @Test("without host memory to pin, layers come from their file, unless the CPU merges a LoRA into them")
    func file() throws {
        let plan = try Self.choose(10_000, pinned: 5000)
        guard case .file = plan.layout.transformer else {
            Issue.record("\(plan.layout)")
            return
        }
        #expect(plan.pinnedBytes == 0)
        #expect { try Self.choose(10_000, pinned: 5000, canReload: false) } throws: {
            ($0 as? SwanError)?.code == .notEnoughMemory
        }
    }

    @Test("weights are where they were asked to be, or the run is refused")
    func wanted() throws {
        #expect(try Self.choose(40_000, weights: .resident).layout == .resident)
        #expect { try Self.choose(10_000, weights: .resident) } throws: {
            ($0 as? SwanError)?.code == .notEnoughMemory
        }
        let pinned = try Self.choose(10_000, weights: .pinned)
        #expect(pinned.layout.transformer.title.contains("pinned"))
        let file = try Self.choose(10_000, weights: .file)
        #expect(file.layout.transformer.title.contains("file"))
        #expect(file.pinnedBytes == 0)
        #expect { try Self.choose(10_000, weights: .file, canReload: false) } throws: {
            ($0 as? SwanError)?.code == .invalidRequest
        }
    }

    @Test("what does not fit is refused with what is needed")
    func refused() throws {
        let needed = 2 * 700 + 1500 + 900 * 2048 / 32768 + 100
        #expect(try Self.choose(needed).peakBytes == needed)
        #expect { try Self.choose(needed - 1) } throws: {
            let error = $0 as? SwanError
            return error?.code == .notEnoughMemory && error?.message.contains(formatted(bytes: needed)) == true
        }
    }

    /// A GPU that is not there.
    private static let facts = DeviceFacts(
        ordinal: 0, name: "a GPU", capability: ComputeCapability(9, 0), multiprocessors: 132,
        sharedMemoryPerBlock: 227 << 10, cacheBytes: 50 << 20, memoryBytes: 80 << 30)

    private static let tiny = Fixture.root + "/../../Models/swan-tiny"

    private static func plan(
        _ limit: Int?, frames: Int = 25, lora: String? = nil, precision: LinearPrecision? = nil,
        weights: DevicePlan.Weights = .auto
    ) throws -> DevicePlan {
        var request = GenerationRequest()
        request.frames = frames
        request.precision = precision
        if let lora { (request.lorasHigh, request.lorasLow) = ([LoRASetting(lora)], [LoRASetting(lora)]) }
        let items = [VideoItem(prompt: "a cat", start: .seed(1), path: "x.y4m")]
        var generator = try Generator(ModelFiles(in: tiny), request, items)
        try generator.fit(
            items, to: CUDABackend(rehearsing: facts), limit: limit, hostBytes: 1 << 40, weights: weights)
        return try #require(generator.plan.device)
    }

    @Test("a run of swan-tiny is rehearsed, whatever room it has")
    func rehearsal() throws {
        let plenty = try Self.plan(nil)
        // What goes to the device passes through pinned memory, which is all of it that a resident model needs.
        #expect(plenty.layout == .resident && plenty.pinnedBytes <= 64 << 20)
        #expect(try Self.plan(nil) == plenty, "a plan is a function of its arguments")
        #expect(try Self.plan(nil, frames: 49).arenaBytes >= plenty.arenaBytes)
        #expect(try Self.plan(plenty.peakBytes) == plenty)
        #expect { try Self.plan(1 << 20) } throws: { ($0 as? SwanError)?.code == .notEnoughMemory }
    }

    /// A LoRA for every feed-forward of swan-tiny.
    private static func lora(_ folder: TemporaryFolder, rank: Int, isDoRA: Bool = false) throws -> String {
        let files = try ModelFiles(in: tiny)
        let (configuration, weights) = try files.openTransformer(files.lowNoise)
        var tensors: [String: HostTensor] = [:]
        for layer in 0 ..< configuration.layers {
            for part in [0, 2] {
                let module = "blocks.\(layer).ffn.\(part)"
                let shape = try #require(weights.info(module + ".weight")?.shape)
                func noise(_ shape: Shape) throws -> HostTensor {
                    try HostTensor(shape, .float32, Noise(seed: 1, deviation: 0.01)).rounded(to: .bfloat16)
                }
                tensors[module + ".lora_up.weight"] = try noise([shape[0], rank])
                tensors[module + ".lora_down.weight"] = try noise([rank, shape[1]])
                if isDoRA { tensors[module + ".dora_scale"] = try noise([shape[0], 1]) }
            }
        }
        let path = "\(folder.path)/rank\(rank)\(isDoRA ? "dora" : "").safetensors"
        try SafetensorsWriter.write(tensors, metadata: [:], to: path)
        return path
    }

    @Test("with a LoRA layers come from their file too, and the plan counts what merging takes")
    func loras() throws {
        let folder = try TemporaryFolder()
        let lora = try Self.lora(folder, rank: 32)
        // Where all stay, merging is over before anything is computed: it leaves other gaps behind and no more.
        let (resident, plain) = (try Self.plan(nil, lora: lora), try Self.plan(nil))
        #expect(resident.layout == plain.layout && abs(resident.arenaBytes - plain.arenaBytes) < plain.arenaBytes / 100)
        for precision in [nil, LinearPrecision.fp8] {
            let plain = try Self.plan(nil, precision: precision, weights: .file)
            let merged = try Self.plan(nil, lora: lora, precision: precision, weights: .file)
            guard case .file = merged.layout.transformer else {
                Issue.record("\(merged.layout)")
                return
            }
            #expect(merged.pinnedBytes == plain.pinnedBytes && merged.arenaBytes > plain.arenaBytes)
            // More factors take more.
            let more = try Self.plan(
                nil, lora: Self.lora(folder, rank: 256), precision: precision, weights: .file)
            #expect(more.arenaBytes > merged.arenaBytes)
        }
        let dora = try Self.lora(folder, rank: 4, isDoRA: true)
        #expect { try Self.plan(nil, lora: dora, weights: .file) } throws: {
            ($0 as? SwanError)?.code == .invalidRequest && "\($0)".contains("DoRA")
        }
    }
}
