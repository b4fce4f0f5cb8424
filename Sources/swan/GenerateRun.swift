import FoundationEssentials
import Glibc
import SwanCheckpoint
import SwanDiagnostics
import SwanHub
import SwanJobs
import SwanMedia
import SwanPipeline
import SwanRuntime
import SwanSampling
import SwanTensor

/// One call of `swan generate`, from parsed options to the table at the end; or a job, which is such a call in the
/// background.
struct GenerateRun {
    private var options: GenerateCommand
    private let results: ResultOutput
    private let progress: any ProgressPrinter
    /// The job that this is; nil for a run that its user waits for.
    private let work: JobWork?

    init(_ options: GenerateCommand) {
        self.options = options
        results = ResultOutput(Interrupts.cancellation)
        progress = options.json ? JSONProgress(results) : TextProgress(results)
        work = nil
    }

    /// A job in the process that runs it.
    ///
    /// - Parameters:
    ///   - options: as they were typed when the job was queued.
    ///   - progress: the job's log.
    init(_ work: JobWork, _ options: GenerateCommand, progress: any ProgressPrinter) {
        var options = options
        // What was decided when the job was queued.
        if let seed = work.job.seed { options.seed = seed }
        if options.prompts != nil { options.prompts = work.files.prompts }
        if options.source == nil { options.model.model = work.job.model }
        options.device.device =
            work.job.deviceAsked == "reference" ? "reference" : work.job.device ?? options.device.device
        self.options = options
        self.work = work
        self.progress = progress
        results = ResultOutput(Interrupts.cancellation)
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

    private var isQueuedOnly: Bool { options.detach && work == nil }

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

        let prompts = try readPrompts(earlier)
        var items = try makeItems(prompts, earlier)
        var generator = try Generator(files, request, items)
        if let note = generator.note { progress.line(note) }
        let records = RunRecords(isUsed: !options.dryRun && work == nil)
        let outputs = try chooseOutputs(&items, generator, records)
        var backend = try options.device.open(forPlanning: isQueuedOnly)
        try options.device.check(backend)
        let profile = earlier == nil ? profile(for: files, request, items, source, on: backend) : nil
        if let profile {
            profile.used.fill(&request)
            generator = try Generator(files, request, items)
            if let kernel = profile.used.attention {
                backend = try DeviceOptions.open(options.device.device, attention: kernel, forPlanning: isQueuedOnly)
            }
            // What it gains was measured of all of it.
            let gain = profile.used == profile.whole ? ", measured \(profile.whole.gainText)" : ""
            progress.line(
                "profile of \(profile.used.measured.prefix(10)): \(profile.used.text)\(gain); --profile none is without it"
            )
        }
        let settings = generator.settings
        var limit = options.device.memoryLimit?.bytes
        // A stand-in's memory is all free, and no more than that.
        if isQueuedOnly, let memory = try backend.deviceMemory() { limit = min(limit ?? memory.total, memory.total) }
        // A job waits until its device is free; what it finds then is looked at then.
        let hostBytes = isQueuedOnly ? SystemMemory.total : SystemMemory.available
        try generator.fit(items, to: backend, limit: limit, hostBytes: hostBytes, weights: options.device.weights.place)
        var run = PlannedRun(settings: settings, plan: generator.plan, device: backend.summary, items: items)
        if options.dryRun {
            run.seconds = run.plan.operations / (try measureRate(backend))
            return progress.showOnly(run)
        }
        try generator.plan.check(availableBytes: hostBytes, limit: limit)
        let jobRequest = jobRequest(items, outputs, model: folder.source, profile?.used, on: backend)
        if isQueuedOnly { return try queue(jobRequest, prompts, records) }

        work?.begin(settings, items)
        let record = work == nil ? try records.begin(jobRequest, remark: progress.line) : nil
        progress.show(.plan(run))
        var finished = 0
        var unfinished = zip(items, outputs).compactMap { $0.isFinished ? nil : $1 }[...]
        do throws(SwanError) {
            let report = try generator.run(
                items, on: backend, cancellation: Interrupts.cancellation, keeper: work,
                open: { (item, settings) throws(SwanError) in
                    guard let output = unfinished.popFirst() else {
                        throw SwanError(.fault, "A video was begun that nobody asked for.")
                    }
                    return try openVideo(item, output, settings, source)
                },
                report: { event in
                    if case .video(let index, _) = event {
                        finished += 1
                        // The journal knows that the video is whole: it is not made again, whatever happens here.
                        do { try work?.published(index) } catch { progress.line("\(error)") }
                    }
                    progress.show(RunEvent(event))
                })
            record?.finish(report)
            progress.show(.done(try work?.finish(report) ?? report))
        } catch {
            record?.fail(error)
            guard error.code == .cancelled, work == nil else { throw error }
            try checkResults()
            throw stopped(after: finished, items, settings)
        }
    }

    /// What `swan tune` has measured for this run, and what is left of that beside what was asked for; nil where it has
    /// not, or nothing won.
    private func profile(
        for files: ModelFiles, _ request: GenerationRequest, _ items: [VideoItem], _ source: ModelSource,
        on backend: any Backend
    ) -> (used: TuningProfile, whole: TuningProfile)? {
        guard options.profile == .auto, options.latents == nil, backend.name != "reference",
            let folder = HubSettings.dataFolder(ProcessInfo.processInfo.environment)
        else { return nil }
        // As it was measured: without what a profile decides.
        var plain = request
        (plain.precision, plain.cacheThreshold, plain.guidanceInterval) = (nil, nil, nil)
        guard let settings = try? Generator(files, plain, items).settings,
            let whole = TuningProfiles(dataFolder: folder).find(TuningProfile.Key(settings, source, on: backend))
        else { return nil }
        let used = whole.filling(request, isAttentionOpen: options.device.attention == "auto")
        return used.isPlain ? nil : (used, whole)
    }

    // MARK: Jobs

    /// What the store is told of this call.
    private func jobRequest(
        _ items: [VideoItem], _ outputs: [OutputPath?], model: String, _ profile: TuningProfile?,
        on backend: any Backend
    ) -> JobRequest {
        JobRequest(
            isDetached: isQueuedOnly, prompt: items[0].prompt, model: model, seed: RunReport.Video(items[0]).seed,
            folder: FileManager.default.currentDirectoryPath,
            arguments: isQueuedOnly ? jobArguments(profile) : Array(CommandLine.arguments.dropFirst(2)),
            device: options.device.device, deviceInUse: isQueuedOnly ? nil : backend.name,
            outputs: outputs.compactMap { $0?.path },
            environment: isQueuedOnly ? JobEnvironment.kept(ProcessInfo.processInfo.environment) : [:])
    }

    /// This call with its profile written out: a job does the same whenever it runs, and however often it is begun.
    private func jobArguments(_ profile: TuningProfile?) -> [String] {
        var arguments = Array(CommandLine.arguments.dropFirst(2))
        let end = arguments.firstIndex(of: "--") ?? arguments.count
        var place = arguments[..<end].firstIndex(of: "--profile")
        if let place { arguments.removeSubrange(place ..< min(place + 2, arguments.count)) }
        place = arguments.prefix { $0 != "--" }.firstIndex { $0.hasPrefix("--profile=") }
        if let place { arguments.remove(at: place) }
        var decided = ["--profile", "none"]
        if let precision = profile?.precision { decided += ["--precision", precision.rawValue] }
        if let attention = profile?.attention { decided += ["--attention", attention] }
        if let threshold = profile?.cacheThreshold { decided += ["--cache", "\(threshold)"] }
        if let interval = profile?.guidanceInterval {
            decided += ["--guidance-interval", "\(interval.start):\(interval.stop)"]
        }
        return decided + arguments
    }

    /// Queues this call as a job, and sees to it that somebody runs it.
    private func queue(_ request: JobRequest, _ prompts: [String], _ records: RunRecords) throws {
        let store = try records.requireStore()
        let text = options.prompts == nil ? nil : prompts.joined(separator: "\n") + "\n"
        let (id, _) = try store.add(request, prompts: text)
        progress.show(.job(.init(id: id, outputs: request.outputs)))
        try store.ensureSupervisor()
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

    /// The checked path of every video, noted with the items; nil for one that an earlier attempt has finished.
    private func chooseOutputs(
        _ items: inout [VideoItem], _ generator: Generator, _ records: RunRecords
    ) throws -> [OutputPath?] {
        let settings = generator.settings
        // Latents that are there were written by an earlier attempt, which has kept its last step before.
        if let path = options.saveLatents, work?.hasKept(0) != true {
            // Float32 values behind a header of some hundred bytes.
            try OutputPath.checkFile(path, bytes: 4 * generator.plan.latent.reduce(1, *) + 1024)
        }
        let paths =
            try work?.job.outputs.map(\.path)
            ?? VideoNames.paths(
                items, output: options.output, latents: options.saveLatents, isPlanned: records.isPlanned)
        guard paths.count == items.count else {
            throw SwanError(
                .promptsInvalid, "The job has \(paths.count) outputs and asks for \(items.count) videos.",
                advice: "Its file of prompts was changed: queue it again.")
        }
        var outputs: [OutputPath?] = []
        for (index, path) in paths.enumerated() {
            items[index].path = path
            items[index].isFinished = try work?.isPublished(index) ?? false
            // Room for all of them, and the encoder looked for once.
            outputs.append(
                items[index].isFinished
                    ? nil
                    : try OutputPath.check(
                        path, width: settings.width, height: settings.height, frames: settings.frames * items.count,
                        checksEncoder: outputs.allSatisfy { $0 == nil }))
        }
        return outputs
    }

    private func openVideo(
        _ item: VideoItem, _ output: OutputPath, _ settings: GenerationSettings, _ source: ModelSource
    ) throws(SwanError) -> any FrameSink {
        try VideoWriter.open(
            output, width: settings.width, height: settings.height, fps: settings.fps,
            metadata: VideoRecord(item, settings, source, version: swanVersion).metadata(), journal: work)
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
