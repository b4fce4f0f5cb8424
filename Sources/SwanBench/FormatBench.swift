import Glibc
import SwanCheckpoint
public import SwanDiagnostics
import SwanMedia
import SwanModels
public import SwanPipeline
public import SwanTensor

/// What formats cost in quality: the same video, made by a model's transformers in every format that Swan writes, beside
/// that of the model's own weights.
public struct FormatBench: Sendable, Codable {
    /// One format.
    public struct Row: Sendable, Codable {
        /// The format; nil for the model's own weights.
        public let format: ConversionFormat?
        /// Bytes of the transformers' files.
        public let bytes: Int
        /// Bits for each weight of the transformers, scales among them.
        public let bitsPerWeight: Double
        /// Against the model's own weights; nil for those.
        public let quality: VideoQuality?
        /// The same of every prompt.
        public let qualities: [VideoQuality]
        /// Why the format cannot hold the model; nil where it can.
        public let refusal: String?
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
    /// One for each format, the model's own first.
    public let rows: [Row]

    /// Makes the videos.
    ///
    /// - Parameters:
    ///   - files: the model.
    ///   - request: what is asked of it; the same for all formats.
    ///   - prompts: what the videos show.
    ///   - seed: the noise's, the same for every prompt.
    ///   - folder: where the converted files of one format at a time lie: a new folder, removed when this returns.
    ///   - backend: the device.
    ///   - cancellation: looked at between steps and decoded chunks.
    ///   - report: told each row when it is there.
    /// - Throws: what generating and converting throws; a format that cannot hold the weights makes a row.
    public init(
        _ files: ModelFiles, _ request: GenerationRequest, prompts: [String], seed: UInt64, folder: String,
        on backend: any Backend, cancellation: Cancellation = Cancellation(), report: (Row) -> Void = { _ in }
    ) throws(SwanError) {
        try ComparedVideos.makeFolder(folder)
        defer { rmdir(folder) }
        let videos = ComparedVideos(prompts: prompts, seed: seed, backend: backend, cancellation: cancellation)
        let own = try videos.make(files, request)
        let parts = [files.highNoise, files.lowNoise].compactMap(\.self)
        var (parameters, ownBytes) = (0, 0)
        for part in parts {
            let opened = try files.openTransformer(part)
            parameters += opened.configuration.parameters
            for name in opened.weights.names { ownBytes += opened.weights.info(name)?.storedBytes ?? 0 }
        }
        var rows: [Row] = []
        func add(_ row: Row) {
            rows.append(row)
            report(row)
        }
        add(
            Row(
                format: nil, bytes: ownBytes, bitsPerWeight: 8 * Double(ownBytes) / Double(parameters), quality: nil,
                qualities: [], refusal: nil))
        for format in ConversionFormat.allCases {
            let converted: ConvertedModel
            do throws(SwanError) {
                converted = try ConvertedModel(files, format, in: folder, cancellation: cancellation)
            } catch {
                guard error.code == .conversionRefused else { throw error }
                add(
                    Row(
                        format: format, bytes: 0, bitsPerWeight: 0, quality: nil, qualities: [],
                        refusal: error.message))
                continue
            }
            // The files of one format at a time.
            defer { converted.remove() }
            let found = try videos.make(converted.files, request)
            let (width, height) = (own.settings.width, own.settings.height)
            let qualities = try zip(found.frames, own.frames).map { (video, reference) throws(SwanError) in
                try VideoQuality(video, against: reference, width: width, height: height)
            }
            let all = try VideoQuality(
                found.frames.flatMap(\.self), against: own.frames.flatMap(\.self), width: width, height: height)
            add(
                Row(
                    format: format, bytes: converted.bytes,
                    bitsPerWeight: 8 * Double(converted.bytes) / Double(parameters), quality: all,
                    qualities: qualities, refusal: nil))
        }
        (model, device, settings) = (own.settings.model, "\(backend.name): \(backend.summary)", own.settings)
        (self.prompts, self.seed, self.rows) = (prompts, seed, rows)
    }
}

extension FormatBench.Row {
    /// The columns' names.
    public static let head =
        padded("format", 14) + aligned("bytes", 10) + aligned("bits/weight", 13) + aligned("PSNR", 12)
        + aligned("SSIM", 9) + aligned("worst SSIM", 12)

    /// The row as people read it.
    public var text: String {
        let name = padded(format?.rawValue ?? "own weights", 14)
        if let refusal { return name + "  " + refusal }
        let numbers = aligned(formatted(bytes: bytes), 10) + aligned(decimal(bitsPerWeight, 2), 13)
        guard let quality else { return name + numbers }
        return name + numbers + aligned(quality.psnrText, 12) + aligned(quality.ssimText, 9)
            + aligned(decimal(quality.worstSSIM, 4), 12)
    }
}
