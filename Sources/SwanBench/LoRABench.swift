import Glibc
import SwanCheckpoint
public import SwanDiagnostics
import SwanModels
public import SwanPipeline
public import SwanTensor

/// Whether LoRAs of every family do the same: the videos of a model's own few-step pair, written as each family writes it,
/// beside those of the pair itself.
public struct LoRABench: Sendable, Codable {
    /// One family.
    public struct Row: Sendable, Codable {
        /// The family; nil for the pair as it is.
        public let family: LoRAFamily?
        /// Bytes of both files.
        public let bytes: Int
        /// Against the pair as it is; nil for that.
        public let quality: VideoQuality?
    }

    /// The model's name.
    public let model: String
    /// What computed.
    public let device: String
    /// How the videos were made.
    public let settings: GenerationSettings
    /// What they show.
    public let prompts: [String]
    /// The noise's seed, the same for every prompt.
    public let seed: UInt64
    /// One for each family, the pair as it is first.
    public let rows: [Row]

    /// Makes the videos.
    ///
    /// - Parameters:
    ///   - files: a model with two experts and a pair of its own in the first family's names.
    ///   - request: what is asked of it; its preset is the pair's, and it names no LoRA.
    ///   - prompts: what the videos show.
    ///   - seed: the noise's, the same for every prompt.
    ///   - folder: where the files of one family at a time lie: a new folder, removed when this returns.
    ///   - backend: the device.
    ///   - cancellation: looked at between steps and decoded chunks.
    ///   - report: told each row when it is there.
    /// - Throws: `bench.quality` where the model brings no such pair; what generating throws.
    public init(
        _ files: ModelFiles, _ request: GenerationRequest, prompts: [String], seed: UInt64, folder: String,
        on backend: any Backend, cancellation: Cancellation = Cancellation(), report: (Row) -> Void = { _ in }
    ) throws(SwanError) {
        guard let pair = files.lightning, let high = files.highNoise else {
            throw SwanError(
                .quality, "\(files.root.printable()) brings no pair of LoRAs for two experts.",
                advice: "Compare LoRA families with a model that does, as swan-tiny.")
        }
        let experts = [("high_noise", high, pair.high), ("low_noise", files.lowNoise, pair.low)]
        let opened = try experts.map { (name, part, path) throws(SwanError) in
            let (configuration, weights) = try files.openTransformer(part)
            return (
                name: name, weights: weights, changes: try LoRAFamily.changes(openWeights(at: path)),
                names: Self.diffusersNames(configuration)
            )
        }
        try ComparedVideos.makeFolder(folder)
        defer { rmdir(folder) }
        let videos = ComparedVideos(prompts: prompts, seed: seed, backend: backend, cancellation: cancellation)
        var request = try request.withoutLoRAs(hasTwoExperts: true, model: files.root)

        func make(_ high: String, _ low: String) throws(SwanError) -> (frames: [UInt8], settings: GenerationSettings) {
            (request.lorasHigh, request.lorasLow) = ([LoRASetting(high)], [LoRASetting(low)])
            let made = try videos.make(files, request)
            return (made.frames.flatMap(\.self), made.settings)
        }
        let own = try make(pair.high, pair.low)
        var rows: [Row] = []
        func add(_ row: Row) {
            rows.append(row)
            report(row)
        }
        add(Row(family: nil, bytes: try Self.bytes(pair.high, pair.low), quality: nil))
        for family in LoRAFamily.allCases {
            var paths: [String] = []
            defer { for path in paths { unlink(path) } }
            for expert in opened {
                try cancellation.check()
                var tensors: [String: HostTensor] = [:]
                for (module, change) in expert.changes {
                    let made = try family.tensors(
                        module, diffusers: expert.names[module] ?? module, change,
                        weight: expert.weights.tensor(module + ".weight"))
                    tensors.merge(made) { first, _ in first }
                }
                let path = "\(folder)/\(expert.name)_\(family.rawValue).safetensors"
                paths.append(path)
                try SafetensorsWriter.write(tensors, to: path, isReplacing: false)
            }
            let found = try make(paths[0], paths[1])
            add(
                Row(
                    family: family, bytes: try Self.bytes(paths[0], paths[1]),
                    quality: try VideoQuality(
                        found.frames, against: own.frames, width: own.settings.width, height: own.settings.height)))
        }
        (model, device, settings) = (own.settings.model, "\(backend.name): \(backend.summary)", own.settings)
        (self.prompts, self.seed, self.rows) = (prompts, seed, rows)
    }

    /// diffusers' names of the layers, by the official ones.
    private static func diffusersNames(_ configuration: WanConfiguration) -> [String: String] {
        var names: [String: String] = [:]
        for (spelling, official) in WanKeys.spellings(configuration) where spelling != official {
            names[official] = spelling
        }
        return names
    }

    /// Bytes of the tensors of a pair.
    private static func bytes(_ paths: String...) throws(SwanError) -> Int {
        var sum = 0
        for path in paths {
            let source = try openWeights(at: path)
            for name in source.names { sum += source.info(name)?.storedBytes ?? 0 }
        }
        return sum
    }
}

extension LoRABench.Row {
    /// The columns' names.
    public static let head =
        padded("family", 14) + aligned("bytes", 10) + aligned("PSNR", 12) + aligned("SSIM", 9)
        + aligned("worst SSIM", 12)

    /// The row as people read it.
    public var text: String {
        let start = padded(family?.rawValue ?? "own pair", 14) + aligned(formatted(bytes: bytes), 10)
        guard let quality else { return start }
        return start + aligned(quality.psnrText, 12) + aligned(quality.ssimText, 9)
            + aligned(decimal(quality.worstSSIM, 4), 12)
    }
}
