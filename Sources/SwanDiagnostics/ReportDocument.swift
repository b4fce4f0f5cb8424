/// A report of tables under headings, as Markdown or as one page of HTML that needs nothing else.
public struct ReportDocument {
    /// A table under a heading.
    public struct Section {
        /// The heading.
        public var title: String
        /// What stands above the table.
        public var text: String
        /// The columns' names.
        public var head: [String]
        /// Cells.
        public var rows: [[String]]
        /// HTML that stands between text and table, where that is what is written.
        public var figure: String

        /// Puts a section together.
        public init(title: String, text: String = "", head: [String] = [], rows: [[String]] = [], figure: String = "") {
            (self.title, self.text, self.head, self.rows, self.figure) = (title, text, head, rows, figure)
        }
    }

    /// The heading of all.
    public var title: String
    /// Who wrote it, and when.
    public var note: String
    /// In their order.
    public var sections: [Section]
    /// Rules of the page's style sheet, beside those that all pages have.
    public var style: String

    /// Puts a report together.
    public init(title: String, note: String, sections: [Section], style: String = "") {
        (self.title, self.note, self.sections, self.style) = (title, note, sections, style)
    }

    /// As Markdown with tables.
    public func markdown() -> String {
        func cell(_ text: String) -> String {
            text.printable().split(separator: "|", omittingEmptySubsequences: false).joined(separator: "\\|")
        }
        func line(_ cells: [String]) -> String { "| \(cells.map(cell).joined(separator: " | ")) |\n" }
        var text = "# \(title.printable())\n\n\(note.printable(limit: 400))\n"
        for section in sections {
            text += "\n## \(section.title.printable())\n\n"
            if !section.text.isEmpty { text += section.text.printable(limit: 400) + "\n\n" }
            guard !section.rows.isEmpty else { continue }
            text += line(section.head) + "|\(section.head.map { _ in "---|" }.joined())\n"
            for row in section.rows { text += line(row) }
        }
        return text
    }

    /// As a page.
    public func html() -> String {
        var body = "<h1>\(Self.escaped(title))</h1>\n<p>\(Self.escaped(note))</p>\n"
        for section in sections {
            body += "<h2>\(Self.escaped(section.title))</h2>\n"
            if !section.text.isEmpty { body += "<p>\(Self.escaped(section.text))</p>\n" }
            body += section.figure
            guard !section.rows.isEmpty else { continue }
            body += "<table><thead>\(row(section.head, "th"))</thead><tbody>\n"
            for cells in section.rows { body += row(cells, "td") + "\n" }
            body += "</tbody></table>\n"
        }
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>\(Self.escaped(title))</title>
            <style>
            :root { color-scheme: light dark; }
            body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
            table { border-collapse: collapse; display: block; overflow-x: auto; font-variant-numeric: tabular-nums; }
            th, td { border-bottom: 1px solid #8885; padding: .3rem .7rem; text-align: left; vertical-align: top; }
            .bar { display: flex; height: 1.1rem; margin: .2rem 0; }
            .bar span { display: block; min-width: 1px; }
            \(style)
            </style>
            </head>
            <body>
            \(body)</body>
            </html>

            """
    }

    private func row(_ cells: [String], _ tag: String) -> String {
        "<tr>\(cells.map { "<\(tag)>\(Self.escaped($0))</\(tag)>" }.joined())</tr>"
    }

    /// A part of a bar.
    public struct BarPart {
        /// The class that colours it.
        public var style: String
        /// What it says when it is pointed at.
        public var title: String
        /// 0 to 1 of the page's width.
        public var share: Double

        /// Describes a part.
        public init(style: String, title: String, share: Double) {
            (self.style, self.title, self.share) = (style, title, share)
        }
    }

    /// A line of text and a bar below it.
    public static func bar(_ text: String, _ parts: [BarPart]) -> String {
        var html = "<div>\(escaped(text))</div><div class=\"bar\">"
        for part in parts {
            let share = Int((part.share * 10_000).rounded())
            html +=
                "<span class=\"\(part.style)\" style=\"width:\(share / 100).\(share % 100 < 10 ? "0" : "")\(share % 100)%\" title=\"\(escaped(part.title))\"></span>"
        }
        return html + "</div>\n"
    }

    /// What the colours of bars mean.
    public static func legend(_ entries: [(style: String, title: String)]) -> String {
        "<p>"
            + entries.map { "<span class=\"\($0.style)\">&nbsp;&nbsp;&nbsp;</span> \(escaped($0.title)) &nbsp; " }
            .joined() + "</p>\n"
    }

    /// Text as HTML holds it.
    public static func escaped(_ text: String) -> String {
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
