import FoundationEssentials
import Glibc
import SwanCheckpoint
import SwanDiagnostics
import SwanHub
import SwanMedia
import SwanPipeline
import SwanRuntime
import SwanTensor

/// One call of `swan generate`, from parsed options to the table at the end.
struct GenerateRun {
    private let options: GenerateCommand
    private let results: ResultOutput
    private let progress: any ProgressPrinter

    init(_ options: GenerateCommand) {
        self.options = options
        results = ResultOutput(Interrupts.cancellation)
        progress = options.json ? JSONProgress(results) : TextProgress(results)
    }

    func run() throws {
        do {
            try make()
        } catch {
            progress.abandon()
            throw error
        }
        try checkResults()
    }

    private func make() throws {
        try options.device.check()
        let earlier = try options.source.map { try VideoRecord(readingFrom: $0) }
        let (folder, base) = try chooseModel(earlier)
        let files = try ModelFiles(in: folder.path, completedFrom: base)
        let source = ModelSource(model: folder.source, base: base.map(NamedModel.absolute))
        let place = folder.name == folder.path ? "" : ", \(folder.path)"
        progress.line("\(folder.name): \(files.layout.rawValue) layout\(place)")
        var request = try options.model.request(hasTwoExperts: files.highNoise != nil)
        request.precision = options.device.linearPrecision
        if let earlier {
            request.fill(from: earlier.settings, files, isSameModel: earlier.source?.model == folder.source)
        }

        var items = try makeItems(try readPrompts(earlier), earlier)
        var generator = try Generator(files, request, items)
        let settings = generator.settings
        if let note = generator.note { progress.line(note) }
        let outputs = try chooseOutputs(items, generator)
        for index in items.indices { items[index].path = outputs[index].path }
        let backend = try Runtime.open(options.device.device)
        try options.device.check(backend)
        let limit = options.device.memoryLimit?.bytes
        try generator.fit(
            items, to: backend, limit: limit, hostBytes: SystemMemory.available, weights: options.device.weights.place)
        let run = PlannedRun(settings: settings, plan: generator.plan, device: backend.summary, items: items)
        if options.dryRun { return progress.plan(run, rate: try measureRate(backend)) }
        try generator.plan.check(availableBytes: SystemMemory.available, limit: limit)
        progress.begin(run)

        var finished = 0
        do throws(SwanError) {
            let report = try generator.run(
                items, on: backend, cancellation: Interrupts.cancellation,
                open: { (item, settings) throws(SwanError) in
                    try openVideo(item, outputs[finished], settings, source)
                },
                report: { event in
                    if case .video = event { finished += 1 }
                    progress.event(event)
                })
            progress.end(report)
        } catch {
            guard error.code == .cancelled else { throw error }
            try checkResults()
            throw stopped(after: finished, items, settings)
        }
    }

    // MARK: The end

    /// Whether what was printed arrived.
    private func checkResults() throws(SwanError) {
        guard let number = results.failure else { return }
        throw SwanError(
            .resultsUnwritable, "Standard output cannot be written to (\(SystemError(number: number).text)).",
            advice: "The run ends with whatever reads its results; finished videos are kept.")
    }

    /// The error of an interrupted run: what there is, and how to go on.
    private func stopped(after finished: Int, _ items: [VideoItem], _ settings: GenerationSettings) -> SwanError {
        var message = "Stopped on request; no half-written file is left."
        if items.count > 1 { message += " \(finished) of \(items.count) videos are finished." }
        guard finished < items.count else { return SwanError(.cancelled, message) }
        let item = items[finished]
        var words = ["swan"] + CommandLine.arguments.dropFirst()
        if let path = item.latentsPath, FileManager.default.fileExists(atPath: path) {
            // The steps are done: what is left is decoding.
            words = ["swan", "generate", "--latents", path, "--size", "\(settings.width)x\(settings.height)"]
            words += ["--frames", "\(settings.frames)", "--fps", "\(settings.fps)"]
            if let model = options.model.model { words += ["--model", model] }
            if let base = options.model.base { words += ["--base", base] }
            if let output = options.output { words += ["--output", output] }
            return SwanError(.cancelled, message, advice: "The latents are saved. To go on: \(ShellText.line(words))")
        }
        if options.seed == nil, case .seed(let seed) = items[0].start { words += ["--seed", String(seed)] }
        var advice = "The same again: \(ShellText.line(words))"
        if finished > 0 { advice += "\nMove the finished videos away first, or leave their prompts out." }
        return SwanError(.cancelled, message, advice: advice)
    }

    // MARK: What to make

    /// The model that was asked for, else that of the earlier video; and the folder that completes it.
    private func chooseModel(_ earlier: VideoRecord?) throws(SwanError) -> (NamedModel, base: String?) {
        if let earlier, options.model.model == nil {
            guard let source = earlier.source else {
                throw SwanError(
                    .noModel, "\(options.source?.printable() ?? "") does not say where its model came from.",
                    advice: "Name it with --model: the video calls it \(earlier.settings.model.printable()).")
            }
            return (try NamedModel(source.model, .here), options.model.base ?? source.base)
        }
        return (try NamedModel(options.model.model, .here), options.model.base)
    }

    private func readPrompts(_ earlier: VideoRecord?) throws -> [String] {
        if let prompt = options.prompt { return [prompt] }
        if let path = options.prompts {
            guard let data = FileManager.default.contents(atPath: path) else {
                throw SwanError(
                    .promptsMissing, "There is no file \(path.printable()) with prompts.",
                    advice: "Check the path; the file has one prompt per line.")
            }
            let text = String(bytes: data, encoding: .utf8)
            let prompts = (text ?? "").split(whereSeparator: \.isNewline).map(String.init)
                .filter { !$0.allSatisfy(\.isWhitespace) }
            guard text != nil, !prompts.isEmpty else {
                throw SwanError(
                    .promptsInvalid,
                    "\(path.printable()) holds \(text == nil ? "something else than text" : "no prompt").",
                    advice: "Give a text file (UTF-8) with one prompt per line.")
            }
            return prompts
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
        if let earlier, earlier.seed == nil, options.seed == nil {
            throw SwanError(
                .noSeed, "\(options.source ?? "") was made from noise or latents of a file, and has no seed.",
                advice: "Give that file with --noise or --latents, or another video's seed with --seed.")
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
        if tensor.shape.rank == 5, tensor.shape[0] == 1 {
            return tensor.reshaped(Shape(Array(tensor.shape.extents.dropFirst())))
        }
        return tensor
    }

    // MARK: Where to write

    /// The checked path of every video.
    private func chooseOutputs(_ items: [VideoItem], _ generator: Generator) throws -> [OutputPath] {
        let settings = generator.settings
        if let path = options.saveLatents {
            // Float32 values behind a header of some hundred bytes.
            try OutputPath.checkFile(path, bytes: 4 * generator.plan.latent.reduce(1, *) + 1024)
        }
        let paths = try VideoNames.paths(items, output: options.output, latents: options.saveLatents)
        return try paths.enumerated().map { index, path in
            // Room for all of them, and the encoder looked for once.
            try OutputPath.check(
                path, width: settings.width, height: settings.height, frames: settings.frames * items.count,
                checksEncoder: index == 0)
        }
    }

    private func openVideo(
        _ item: VideoItem, _ output: OutputPath, _ settings: GenerationSettings, _ source: ModelSource
    ) throws(SwanError) -> any FrameSink {
        try VideoWriter.open(
            output, width: settings.width, height: settings.height, fps: settings.fps,
            metadata: VideoRecord(item, settings, source, version: swanVersion).metadata())
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
        return Double(2 * rows * width * width * repeats) / max(time.inSeconds, 1e-9)
    }
}

extension SwanError.Code {
    /// The file of prompts is not there.
    static let promptsMissing = Self("cli.prompts-missing", .missing)
    /// The file of prompts is no text, or empty.
    static let promptsInvalid = Self("cli.prompts-invalid", .data)
    /// A video that is to be made again was not made from a seed.
    static let noSeed = Self("cli.no-seed", .usage)
    /// Standard output was closed, or its disk is full.
    static let resultsUnwritable = Self("cli.results-unwritable", .io)
    /// A video that is to be made again does not say with which model.
    static let noModel = Self("cli.no-model", .usage)
}
