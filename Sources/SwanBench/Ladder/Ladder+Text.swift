import SwanDiagnostics
import SwanPipeline

extension Ladder.Rung {
    /// The reason of a baseline of which nothing has to be said.
    static let baselineReason = "What the others are measured against."

    /// The columns' names.
    public static let head =
        padded("step", 20) + padded("way", 12) + aligned("time", 11) + aligned("frames/min", 12) + aligned("gain", 8)
        + aligned("speed-up", 10) + aligned("memory", 11) + aligned("PSNR", 11) + aligned("SSIM", 9)
        + aligned("perceptual", 12) + aligned("velocity", 10) + "  verdict"

    /// The row as people read it, and why.
    public var text: String {
        let row = cells
        var line = padded(row[0], 20) + padded(row[1], 12)
        for (cell, width) in zip(row[2...], [11, 12, 8, 10, 11, 11, 9, 12, 10]) { line += aligned(cell, width) }
        line += "  " + verdict.rawValue
        if let scores = result?.scores {
            line += "\n" + padded("", 20) + "Right of \(scores.clips) clips: \(scores.text)."
        }
        return line + (reason == Self.baselineReason ? "" : "\n" + padded("", 20) + reason)
    }

    /// The cells but for verdict and reason.
    fileprivate var cells: [String] {
        var cells = [step, name]
        guard let result else { return cells + Array(repeating: "", count: 9) }
        cells += [formatted(seconds: result.seconds), decimal(result.framesPerMinute, 1)]
        cells += verdict == .baseline ? ["", ""] : [decimal(result.gain, 2) + "×", decimal(result.speedUp, 2) + "×"]
        cells += [formatted(bytes: result.peakBytes), result.quality?.psnrText ?? "", result.quality?.ssimText ?? ""]
        cells.append(result.quality?.perceptualText ?? "")
        return cells + [result.velocityError.map(percent) ?? ""]
    }
}

extension Ladder {
    /// What was measured, and how.
    public var footer: String {
        "\(settings.summary), \(prompts.count) \(prompts.count == 1 ? "prompt" : "prompts"), seed \(seed), on \(device)\(isSynthetic ? ", random weights" : ""); \(runs == 1 ? "one run of each" : "median of \(runs) runs, of more where they are short"), in turns with the best before."
    }

    /// What is worth doing.
    public var conclusion: String {
        guard hasVerdicts else { return "Nothing was measured beside the baseline." }
        guard let best, let result = best.result, best.verdict == .kept else {
            return "Nothing won: the plain way is the fastest that keeps the picture."
        }
        return
            "Best: \(best.method.text): \(formatted(seconds: result.seconds)), \(decimal(result.speedUp, 2)) times as fast as the baseline."
    }

    private func document() -> ReportDocument {
        var sections = [
            ReportDocument.Section(
                title: "The ladder", text: footer,
                head: [
                    "step", "way", "time", "frames/min", "gain", "speed-up", "memory", "PSNR", "SSIM",
                    "perceptual", "velocity error", "verdict", "why",
                ], rows: rungs.map { $0.cells + [$0.verdict.rawValue, $0.reason] }, figure: bars),
            ReportDocument.Section(
                title: "Where the time goes",
                text: "Parts of the time of all operations, by what they do.",
                head: ["step", "way"] + LadderPart.allCases.map(\.rawValue),
                rows: rungs.compactMap { rung in
                    rung.result.map { result in
                        [rung.step, rung.name]
                            + LadderPart.allCases.map { part in
                                result.shares.first { $0.part == part.rawValue }.map { percent($0.share) } ?? ""
                            }
                    }
                }),
        ]
        if rungs.contains(where: { $0.result?.scores != nil }) {
            sections.append(
                ReportDocument.Section(
                    title: "Scores",
                    text:
                        "Clips of the model's own prompts, once in each way, that show what was asked for, as its classifier sees them.",
                    head: ["step", "way", "clips"] + SceneQuestion.allCases.map(\.rawValue),
                    rows: rungs.compactMap { rung in
                        rung.result?.scores.map { scores in
                            [rung.step, rung.name, String(scores.clips)]
                                + SceneQuestion.allCases.map { scores[$0].text }
                        }
                    }))
        }
        if rungs.contains(where: { $0.result?.videos.isEmpty == false }) {
            sections.append(
                ReportDocument.Section(
                    title: "Videos", text: prompts.joined(separator: "; ") + ". All with the same noise.",
                    figure: videos))
        }
        sections.append(ReportDocument.Section(title: "Conclusion", text: conclusion))
        let colours = zip(LadderPart.allCases, ["#2f6db5", "#d98a1f", "#8a8f98", "#5b9a3c", "#a0522d"])
        return ReportDocument(
            title: "Swan's ladder: \(model)", note: "Measured by swan \(swan) at \(measured).", sections: sections,
            style: colours.map { ".\($0.style) { background: \($1); }" }.joined(separator: "\n")
                + "\n.videos { display: flex; flex-wrap: wrap; gap: 1rem; }\nfigure { margin: 0; }\nvideo { max-width: 20rem; }"
        )
    }

    /// Each way as a bar of what its time goes to, all to the scale of the longest.
    private var bars: String {
        let measured = rungs.compactMap { rung in rung.result.map { (rung, $0) } }
        let longest = measured.map(\.1.seconds).max() ?? 0
        guard longest > 0 else { return "" }
        return ReportDocument.legend(LadderPart.allCases.map { ($0.style, $0.rawValue) })
            + measured.map { rung, result in
                ReportDocument.bar(
                    "\(rung.step) \(rung.name), \(formatted(seconds: result.seconds)), \(rung.verdict.rawValue)",
                    result.shares.map { share in
                        .init(
                            style: LadderPart(rawValue: share.part)?.style ?? "",
                            title: "\(share.part), \(percent(share.share))",
                            share: share.share * result.seconds / longest)
                    })
            }.joined()
    }

    private var videos: String {
        var html = "<div class=\"videos\">\n"
        for rung in rungs {
            for name in rung.result?.videos ?? [] {
                let title = ReportDocument.escaped("\(rung.step) \(rung.name), \(rung.verdict.rawValue)")
                html +=
                    "<figure><video src=\"\(ReportDocument.escaped(name))\" autoplay loop muted playsinline controls></video><figcaption>\(title)</figcaption></figure>\n"
            }
        }
        return html + "</div>\n"
    }

    /// The report as Markdown with tables.
    public func markdown() -> String { document().markdown() }

    /// The report as one page; the videos are beside it.
    public func html() -> String { document().html() }
}

extension LadderPart {
    /// The class that colours it on a page.
    fileprivate var style: String { self == .memoryBound ? "memory" : rawValue }
}
