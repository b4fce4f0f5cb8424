import SwanDiagnostics
import SwanPipeline

extension ActivityReport {
    /// A table under a heading, before it is written in any format.
    private struct Section {
        var title: String
        var text = ""
        var head: [String] = []
        var rows: [[String]] = []
    }

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
                    rung.isBaseline ? "baseline" : "\(ratio(rung.speedUp))×",
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
            })
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

    private func ratio(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }

    /// A count of parameters as people read it: `14.3 billion`.
    private func parameters(_ count: Int) -> String {
        for (unit, size) in [("billion", 1_000_000_000), ("million", 1_000_000)] where count >= size {
            let tenths = (count + size / 20) / (size / 10)
            return "\(tenths / 10).\(tenths % 10) \(unit)"
        }
        return String(count)
    }

    private var title: String { "What Swan did" }
    private var footer: String { "Written by swan \(swan) at \(written)." }

    // MARK: Markdown

    /// The report as Markdown with tables.
    public func markdown() -> String {
        func cell(_ text: String) -> String {
            text.printable().split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
        }
        func line(_ cells: [String]) -> String { "| \(cells.map(cell).joined(separator: " | ")) |\n" }
        var text = "# \(title)\n\n\(footer)\n"
        for section in sections {
            text += "\n## \(section.title.printable())\n\n"
            if !section.text.isEmpty { text += section.text.printable(limit: 400) + "\n\n" }
            guard !section.rows.isEmpty else { continue }
            text += line(section.head) + "|\(section.head.map { _ in "---|" }.joined())\n"
            for row in section.rows { text += line(row) }
        }
        return text
    }

    // MARK: HTML

    /// The report as one page that needs nothing else.
    public func html() -> String {
        var body = "<h1>\(title)</h1>\n<p>\(escaped(footer))</p>\n"
        for section in sections {
            body += "<h2>\(escaped(section.title))</h2>\n"
            if !section.text.isEmpty { body += "<p>\(escaped(section.text))</p>\n" }
            if section.title == "Runs" { body += bars }
            guard !section.rows.isEmpty else { continue }
            body += "<table><thead>\(htmlRow(section.head, "th"))</thead><tbody>\n"
            for row in section.rows { body += htmlRow(row, "td") + "\n" }
            body += "</tbody></table>\n"
        }
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(title)</title>
            <style>
            :root { color-scheme: light dark; }
            body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
            table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
            th, td { border-bottom: 1px solid #8885; padding: .3rem .7rem; text-align: left; vertical-align: top; }
            .bar { display: flex; height: 1.1rem; margin: .2rem 0; }
            .bar span { display: block; min-width: 1px; }
            .name { display: inline-block; min-width: 12rem; }
            \(stageColours.map { ".\($0.stage.rawValue) { background: \($0.colour); }" }.joined(separator: "\n"))
            </style>
            </head>
            <body>
            \(body)</body>
            </html>

            """
    }

    private func htmlRow(_ cells: [String], _ tag: String) -> String {
        "<tr>\(cells.map { "<\(tag)>\(escaped($0))</\(tag)>" }.joined())</tr>"
    }

    private var stageColours: [(stage: GenerationEvent.Stage, colour: String)] {
        let colours = ["#8a8f98", "#b8c4d6", "#2f6db5", "#c9d9b4", "#5b9a3c", "#e5cfa8", "#d98a1f", "#a0522d"]
        return Array(zip(GenerationEvent.Stage.allCases, colours))
    }

    /// Each run as a bar of its stages, all to the scale of the longest.
    private var bars: String {
        let longest = finished.map(\.report.seconds).max() ?? 0
        guard longest > 0 else { return "" }
        var text = "<p>"
        for (stage, _) in stageColours {
            text += "<span class=\"\(stage.rawValue)\">&nbsp;&nbsp;&nbsp;</span> \(escaped(stage.title)) &nbsp; "
        }
        text += "</p>\n"
        for (run, report) in finished {
            text += "<div>run \(run.id), \(formatted(seconds: report.seconds))</div><div class=\"bar\">"
            for time in report.stages {
                let share = Int((time.seconds / longest * 10_000).rounded())
                text +=
                    "<span class=\"\(time.stage.rawValue)\" style=\"width:\(share / 100).\(share % 100 < 10 ? "0" : "")\(share % 100)%\" title=\"\(escaped(time.stage.title)), \(formatted(seconds: time.seconds))\"></span>"
            }
            text += "</div>\n"
        }
        return text
    }

    private func escaped(_ text: String) -> String {
        var escaped = ""
        for character in text.printable(limit: 400) {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.append(character)
            }
        }
        return escaped
    }
}
