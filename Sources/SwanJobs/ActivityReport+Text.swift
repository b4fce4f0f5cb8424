import SwanDiagnostics
import SwanPipeline

extension ActivityReport {
    private typealias Section = ReportDocument.Section

    private var sections: [Section] {
        [machineSection] + ladders.map(ladderSection) + [runSection, settingsSection] + failureSections + modelSections
    }

    private var machineSection: Section {
        Section(title: "The machine", head: ["", "found"], rows: machine.map { [$0.subject, $0.text] })
    }

    private func ladderSection(_ ladder: Ladder) -> Section {
        Section(
            title: "\(ladder.model), \(ladder.width)x\(ladder.height), \(ladder.rungs.first?.frames ?? 0) frames",
            text:
                "On \(ladder.device). Time is that of one video, from start to file: the median where there are several runs.",
            head: ["method", "steps", "frames", "forwards", "runs", "time", "speed-up"],
            rows: ladder.rungs.map { rung in
                [
                    rung.method, String(rung.steps), String(rung.frames), String(rung.forwards),
                    rung.runs.map(String.init).joined(separator: ", "), formatted(seconds: rung.seconds),
                    rung.isBaseline ? "baseline" : "\(decimal(rung.speedUp, 2))×",
                ]
            })
    }

    private var finished: [(run: Run, report: RunReport)] { runs.compactMap { run in run.report.map { (run, $0) } } }

    private var runSection: Section {
        let stages = GenerationEvent.Stage.allCases.filter { stage in
            finished.contains { $0.report.stages.contains { $0.stage == stage } }
        }
        return Section(
            title: "Runs", text: finished.isEmpty ? "No run is finished." : "",
            head: ["run", "started", "model"] + stages.map(\.title) + ["total", "peak memory"],
            rows: finished.map { run, report in
                let gpu = report.deviceMemory.map { ", GPU \(formatted(bytes: $0.peak))" } ?? ""
                return [String(run.id), run.started ?? "", report.settings.model]
                    + stages.map { stage in
                        report.stages.first { $0.stage == stage }.map { formatted(seconds: $0.seconds) } ?? ""
                    } + [formatted(seconds: report.seconds), formatted(bytes: report.peakMemory) + gpu]
            }, figure: bars)
    }

    private var settingsSection: Section {
        Section(
            title: "Settings",
            head: ["run", "settings", "guidance", "device", "precision", "weights", "seed", "prompt", "file"],
            rows: finished.map { run, report in
                let settings = report.settings
                let seeds = report.videos.compactMap(\.seed)
                let files = report.videos.compactMap(\.path)
                func short(_ all: [String]) -> String {
                    (all.first ?? "") + (all.count > 1 ? " and \(all.count - 1) more" : "")
                }
                return [
                    String(run.id), settings.summary,
                    settings.boundary > 0
                        ? "\(settings.guidanceHigh) high, \(settings.guidanceLow) low" : "\(settings.guidanceLow)",
                    report.device, "\(report.precision), attention \(report.attention)", report.weights,
                    short(seeds.map(String.init)), run.prompt, short(files),
                ]
            })
    }

    private var failureSections: [Section] {
        let others = runs.filter { $0.report == nil }
        guard !others.isEmpty else { return [] }
        return [
            Section(
                title: "Runs without a result", head: ["run", "started", "state", "why", "prompt"],
                rows: others.map { run in
                    [String(run.id), run.started ?? "", run.state.rawValue, run.failure?.message ?? "", run.prompt]
                })
        ]
    }

    private var modelSections: [Section] {
        models.map { model in
            let (net, text) = (model.architecture.transformer, model.architecture.textEncoder)
            func row(_ name: String, _ net: ModelArchitecture.Network, count: Int) -> [String] {
                [
                    name, String(net.width), String(net.feedForward), String(net.layers), String(net.heads),
                    String(net.width / max(1, net.heads)), parameters(net.parameters * count),
                ]
            }
            let experts = model.architecture.experts
            return Section(
                title: "Architecture of \(model.name)",
                text:
                    "\(parameters(model.parameters)) parameters in all, \(parameters(model.activeParameters)) of the transformer active in a step; latents of \(model.architecture.latentChannels) channels.",
                head: ["part", "width", "feed-forward", "layers", "heads", "width of a head", "parameters"],
                rows: [
                    row(experts > 1 ? "transformer, \(experts) experts" : "transformer", net, count: experts),
                    row("text encoder", text, count: 1),
                    ["autoencoder", "", "", "", "", "", parameters(model.architecture.autoencoderParameters)],
                ])
        }
    }

    /// A count of parameters as people read it: `14.3 billion`.
    private func parameters(_ count: Int) -> String {
        for (unit, size) in [("billion", 1_000_000_000), ("million", 1_000_000)] where count >= size {
            let tenths = (count + size / 20) / (size / 10)
            return "\(tenths / 10).\(tenths % 10) \(unit)"
        }
        return String(count)
    }

    private func document(style: String = "") -> ReportDocument {
        ReportDocument(
            title: "What Swan did", note: "Written by swan \(swan) at \(written).", sections: sections, style: style)
    }

    /// The report as Markdown with tables.
    public func markdown() -> String { document().markdown() }

    /// The report as one page that needs nothing else.
    public func html() -> String {
        document(
            style: stageColours.map { ".\($0.stage.rawValue) { background: \($0.colour); }" }.joined(separator: "\n")
        )
        .html()
    }

    private var stageColours: [(stage: GenerationEvent.Stage, colour: String)] {
        let colours = ["#8a8f98", "#b8c4d6", "#2f6db5", "#c9d9b4", "#5b9a3c", "#e5cfa8", "#d98a1f", "#a0522d"]
        return Array(zip(GenerationEvent.Stage.allCases, colours))
    }

    /// Each run as a bar of its stages, all to the scale of the longest.
    private var bars: String {
        let longest = finished.map(\.report.seconds).max() ?? 0
        guard longest > 0 else { return "" }
        var text = ReportDocument.legend(stageColours.map { ($0.stage.rawValue, $0.stage.title) })
        for (run, report) in finished {
            text += ReportDocument.bar(
                "run \(run.id), \(formatted(seconds: report.seconds))",
                report.stages.map { time in
                    .init(
                        style: time.stage.rawValue, title: "\(time.stage.title), \(formatted(seconds: time.seconds))",
                        share: time.seconds / longest)
                })
        }
        return text
    }
}
