import FoundationEssentials
import SwanCheckpoint
import SwanDiagnostics
import SwanMedia
import SwanPipeline
import SwanRuntime
import SwanTensor

/// One call of `swan generate`, from parsed options to the table at the end.
struct GenerateRun {
    private let options: GenerateCommand
    private let progress: any ProgressPrinter

    init(_ options: GenerateCommand) {
        self.options = options
        progress = options.json ? JSONProgress() : TextProgress()
    }

    func run() throws {
        let earlier = try options.source.map { try VideoRecord(readingFrom: $0) }
        let folder = try NamedModel(options.model.model ?? earlier?.settings.model)
        let files = try ModelFiles(in: folder.path, completedFrom: options.model.base)
        var request = try options.model.request(hasTwoExperts: files.highNoise != nil)
        if let earlier { request.fill(from: earlier.settings) }
        let prompts = try readPrompts(earlier)
        progress.line("\(folder.name): \(files.layout.rawValue) layout, \(folder.path)")

        var items = try makeItems(prompts, earlier)
        let generator = try Generator(files, request, items)
        let settings = generator.settings
        items = try chooseOutputs(items, settings)
        let backend = try Runtime.open(options.device.device)
        if options.dryRun {
            return progress.plan(generator.plan, settings, rate: try measureRate(backend))
        }
        try generator.plan.check(
            availableBytes: SystemMemory.available, limit: options.device.memoryLimit?.bytes)
        progress.begin(settings, generator.plan, backend.summary)

        let report = try generator.run(
            items, on: backend, cancellation: Interrupts.cancellation,
            open: { (item, settings) throws(SwanError) in try openVideo(item, settings) },
            report: { progress.event($0) })
        progress.end(report)
    }

    // MARK: What to make

    private func readPrompts(_ earlier: VideoRecord?) throws -> [String] {
        if let prompt = options.prompt { return [prompt] }
        if let path = options.prompts {
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                throw SwanError(
                    .promptsUnreadable, "\(path) cannot be read as a text file.", advice: "Give a file with one prompt per line.")
            }
            let lines = text.split(whereSeparator: \.isNewline).map(String.init).filter { !$0.allSatisfy(\.isWhitespace) }
            guard !lines.isEmpty else {
                throw SwanError(.promptsUnreadable, "\(path) holds no prompt.", advice: "Give a file with one prompt per line.")
            }
            return lines
        }
        return [earlier?.prompt ?? ""]
    }

    private func makeItems(_ prompts: [String], _ earlier: VideoRecord?) throws -> [VideoItem] {
        if let path = options.latents {
            return [VideoItem(prompt: prompts[0], start: .latents(try readLatent("latents", path)), path: nil)]
        }
        if let path = options.noise {
            return [
                VideoItem(
                    prompt: prompts[0], start: .noise(try readLatent("noise", path)), path: nil,
                    latentsPath: options.saveLatents)
            ]
        }
        // Seeds that a person can type again.
        let first = options.seed ?? earlier?.seed ?? UInt64.random(in: 0 ..< 1 << 32)
        return prompts.flatMap { prompt in
            (0 ..< options.count).map { index in
                VideoItem(
                    prompt: prompt, start: .seed(first &+ UInt64(index)), path: nil, latentsPath: options.saveLatents)
            }
        }
    }

    /// Reads a tensor `[channels, frames, height, width]`; a leading axis of 1 is accepted.
    private func readLatent(_ name: String, _ path: String) throws -> HostTensor {
        let source = try openWeights(at: path)
        let tensor = try source.tensor(name)
        if tensor.shape.rank == 5, tensor.shape[0] == 1 { return tensor.reshaped(Shape(Array(tensor.shape.extents.dropFirst()))) }
        return tensor
    }

    // MARK: Where to write

    private func chooseOutputs(_ items: [VideoItem], _ settings: GenerationSettings) throws -> [VideoItem] {
        if let output = options.output, items.count > 1, !output.contains("%") {
            throw SwanError(
                .outputAmbiguous, "\(items.count) videos would go into one file, \(output.printable()).",
                advice: "Put a number into the name, as clips/%04d.mp4.")
        }
        var taken: Set<String> = []
        return try items.enumerated().map { index, item in
            var item = item
            if let output = options.output {
                item.path = items.count > 1 ? numbered(output, index) : output
            } else {
                item.path = OutputName.free(for: item, taken: taken)
            }
            if let path = item.path {
                taken.insert(path)
                _ = try OutputPath.check(
                    path, width: settings.width, height: settings.height, frames: settings.frames)
            }
            return item
        }
    }

    /// The first `%d` or `%04d` of a pattern replaced by a number; the rest stays.
    private func numbered(_ pattern: String, _ index: Int) -> String {
        guard let match = pattern.firstMatch(of: #/%(0?)(\d*)d/#) else { return pattern }
        let width = Int(match.2) ?? 0
        let number = String(index)
        let padding = String(repeating: match.1.isEmpty ? " " : "0", count: max(0, min(width, 20) - number.count))
        return String(pattern[..<match.range.lowerBound]) + padding + number + pattern[match.range.upperBound...]
    }

    private func openVideo(_ item: VideoItem, _ settings: GenerationSettings) throws(SwanError) -> any FrameSink {
        guard let path = item.path else { throw SwanError(.fault, "A video without a path reached the writer.") }
        return try VideoWriter.open(
            path: path, width: settings.width, height: settings.height, fps: settings.fps,
            metadata: VideoRecord(item, settings, version: swanVersion).metadata())
    }

    // MARK: Prediction

    /// Operations per second of a linear layer of the backend, measured for a few hundredths of a second.
    private func measureRate(_ backend: any Backend) throws -> Double {
        let (rows, width) = (512, 1024)
        var random = SystemRandomNumberGenerator()
        let values = (0 ..< rows * width).map { _ in Float.random(in: -1 ... 1, using: &random) }
        let weight = try backend.makeLinear(
            weight: HostTensor([width, width], values + values), bias: nil)
        let x = try backend.upload(HostTensor([rows, width], values), as: backend.activationType)
        _ = try backend.linear(x, weight, activation: .identity)
        try backend.synchronize()
        let clock = ContinuousClock()
        let repeats = backend.name == "reference" ? 1 : 10
        let time = try clock.measure {
            for _ in 0 ..< repeats { _ = try backend.linear(x, weight, activation: .identity) }
            try backend.synchronize()
        }
        let seconds = Double(time.components.seconds) + Double(time.components.attoseconds) * 1e-18
        return Double(2 * rows * width * width * repeats) / max(seconds, 1e-9)
    }
}

extension SwanError.Code {
    /// The file of prompts is no text or empty.
    static let promptsUnreadable = Self("cli.prompts-unreadable", .missing)
    /// Several videos were asked for under one name.
    static let outputAmbiguous = Self("cli.output-ambiguous", .usage)
}
