import ArgumentParser
import SwanBench
import SwanDiagnostics
import SwanHub
import SwanPipeline
import SwanTensor

/// `swan bench --ladder` and `--scores`: whole videos, judged.
extension BenchCommand {
    /// What a ladder has no use for.
    func validateLadder() throws {
        if formats { throw ValidationError("--ladder and --formats exclude each other.") }
        if loras { throw ValidationError("--ladder and --loras exclude each other.") }
        if mostLost != nil, scores == nil { throw ValidationError("--most-lost needs --scores.") }
        let given = [
            ("--stages", stages != nil), ("--weights", weights != nil), ("--precision", precision != nil),
            ("--outliers", outliers), ("--save-velocity", saveVelocity != nil),
            ("--save-frames", saveFrames != nil), ("--profile-operations", profileOperations),
        ]
        if let (option, _) = given.first(where: \.1) {
            throw ValidationError("--ladder and \(option) exclude each other.")
        }
        if synthetic != nil, model != nil { throw ValidationError("--model and --synthetic exclude each other.") }
    }

    /// Climbs, and writes what is known after each way.
    func runLadder() throws {
        Interrupts.install()
        var request = GenerationRequest()
        (request.width, request.height, request.frames) = (size?.width, size?.height, frames)
        (request.steps, request.preset) = (steps, preset ?? "none")
        let place = LadderDevice(name: device, attention: attention)
        var options = LadderBench.Options()
        if let rungs { options.steps = rungs.steps }
        options.runs = runs ?? 3
        (options.seed, options.budget, options.memoryLimit) = (seed ?? 0, budget?.seconds, memoryLimit?.bytes)
        if let leastSSIM { options.leastSSIM = leastSSIM }
        if !prompt.isEmpty { options.prompts = prompt }
        let source: LadderModel
        if let synthetic {
            source = LadderModel(try SyntheticModel.named(synthetic))
        } else {
            let files = try ModelFiles(in: NamedModel(model, .here).path)
            options.scenes = try scores.map { (count) throws(SwanError) in try SceneTest(in: files.root, count: count) }
            options.mostLost = mostLost
            source = LadderModel(
                files, folder: LadderDevice.temporaryFolder, cancellation: Interrupts.cancellation)
        }
        options.attentionKernels = place.otherKernels(than: try place.open(nil))
        let folder = try output.map { (path) throws(SwanError) in try LadderFolder(path) }
        defer { folder?.removeIfEmpty() }
        options.videoFolder = synthetic == nil ? folder?.path : nil
        let printer = LadderPrinter(json: json)
        let ladder = try LadderBench.run(
            source, request, options, swan: swanVersion, cancellation: Interrupts.cancellation,
            report: { rung, ladder in
                printer.print(rung)
                // A climb may take hours: what is known is there, however it ends.
                do { try folder?.write(ladder) } catch { Output.standardError("\(error)\n") }
            },
            open: place.open)
        try folder?.write(ladder)
        Output.standardOutput(
            json ? try encoded(ladder) + "\n" : "\(ladder.footer)\n\(ladder.conclusion)\n")
    }

    /// What scores have no use for.
    func validateScores() throws {
        let given = [
            ("--formats", formats), ("--prompt", !prompt.isEmpty), ("--runs", runs != nil), ("--size", size != nil),
            ("--frames", frames != nil), ("--stages", stages != nil), ("--weights", weights != nil),
            ("--outliers", outliers), ("--save-velocity", saveVelocity != nil), ("--save-frames", saveFrames != nil),
            ("--profile-operations", profileOperations),
        ]
        if let (option, _) = given.first(where: \.1) {
            throw ValidationError("--scores and \(option) exclude each other.")
        }
    }

    /// Scores the videos of a model.
    func score(_ files: ModelFiles, _ test: SceneTest) throws {
        Interrupts.install()
        var request = GenerationRequest()
        (request.steps, request.preset, request.precision) = (steps, preset, precision?.precision)
        let backend = try DeviceOptions.open(device, attention: attention)
        let bench = try ScoreBench(
            files, request, test, seed: seed ?? 0, swan: swanVersion, limit: memoryLimit?.bytes, on: backend,
            cancellation: Interrupts.cancellation
        ) { clip in
            if !json, !clip.wrong.isEmpty { Output.standardOutput(clip.text + "\n") }
        }
        Output.standardOutput(json ? try encoded(bench) + "\n" : bench.text)
    }
}
