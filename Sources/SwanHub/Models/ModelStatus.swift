import FoundationEssentials
public import SwanDiagnostics

/// A model of the catalogue as this machine sees it: what `swan models` shows.
public struct ModelStatus: Sendable, Encodable {
    /// The model.
    public var model: CatalogueModel
    /// Whether this version runs it.
    public var runs: Bool
    /// Its folder; nil when it is not installed.
    public var path: String?
    /// Bytes that its folder takes on the disk; nil when it is not installed.
    public var installedBytes: Int?
    /// The variants that are installed.
    public var installedVariants: [String]
    /// Whether its own video has room here; nil when this version does not run it.
    public var memory: MemoryFit?
    /// The device that it was planned for, and what is free there.
    private let place: Place

    /// A device with the memory that is free on it.
    public struct Place: Sendable {
        /// `cpu`, `cuda:0`.
        public var device: String
        /// Bytes.
        public var freeBytes: Int

        /// Names a device.
        public init(device: String, freeBytes: Int) { (self.device, self.freeBytes) = (device, freeBytes) }
    }

    private enum CodingKeys: String, CodingKey {
        case model, runs, path, installedBytes = "installed_bytes", installedVariants = "installed_variants", memory
    }

    /// Looks at one model.
    ///
    /// - Parameters:
    ///   - model: a model of the catalogue.
    ///   - installed: where installed models are looked for.
    ///   - place: the device that the work is planned for.
    ///   - memory: what the planner predicts; nil for a model that does not run.
    public init(_ model: CatalogueModel, _ installed: InstalledModels, on place: Place, memory: MemoryFit?) {
        self.model = model
        runs = model.runs
        path = installed.find(model)
        installedBytes = path.map(FileSystem.bytesBelow)
        installedVariants = installed.variants(of: model)
        self.memory = model.runs ? memory : nil
        self.place = place
    }

    /// One word or two: `runs`, `needs 57.2 GB`, `not yet`, `closed`.
    public var summary: String { memory?.summary ?? (runs ? "" : model.isOpen ? "not yet" : "closed") }

    /// Every fact about the model, a line or more each, at most 100 characters wide.
    public func facts() -> String {
        var facts: [(String, String)] = [
            ("name", model.name), ("title", "\(model.title), by \(model.publisher)"), ("does", model.task),
        ]
        if !model.aliases.isEmpty { facts.insert(("also", model.aliases.joined(separator: ", ")), at: 1) }
        let counts = model.parameterCounts
        if !counts.isEmpty {
            let text = counts.joined(separator: ", ") + (counts.count > 1 ? " of them in each step" : "")
            facts.append(("parameters", text))
        }
        facts.append(("video", model.videoText))
        facts.append(("licence", model.licence))
        if let limits = model.licenceLimits { facts.append(("limits", limits)) }
        if let bytes = model.downloadBytes { facts.append(("download", "about \(formatted(bytes: bytes))")) }
        for hub in [CatalogueModel.Repository.Hub.huggingFace, .modelScope] {
            let ids = model.repositories.filter { $0.hub == hub }.map(\.id)
            if !ids.isEmpty { facts.append((hub.rawValue, ids.joined(separator: ", "))) }
        }
        if let whyNot = model.whyNot { facts.append(("runs", "no: \(whyNot)")) } else { facts.append(("runs", "yes")) }
        if let memory {
            facts.append(("here", memory.summary))
            facts.append(
                (
                    "memory",
                    "\(formatted(bytes: memory.bytes)) at the peak of its own video on \(place.device), as planned;"
                        + " \(formatted(bytes: place.freeBytes)) are free there"
                ))
        }
        if let nearest = model.nearestOpen { facts.append(("nearest", "\(nearest), whose weights are open")) }
        if model.runs {
            let size = installedBytes.map { ", \(formatted(bytes: $0))" } ?? ""
            facts.append(("installed", path.map { $0 + size } ?? "no"))
            for (index, variant) in model.variants.enumerated() {
                var text = "\(variant.name): \(variant.title)"
                if let bytes = variant.bytes { text += ", \(formatted(bytes: bytes))" }
                if index > 0, installedVariants.contains(variant.name) { text += "; installed" }
                facts.append((index == 0 ? "variants" : "", text))
            }
            facts.append(("plan", "`swan plan \(model.name)` says what a video takes, on any GPU"))
        }

        let width = facts.map(\.0.count).max() ?? 0
        return facts.map { name, value in
            let indent = String(repeating: " ", count: width + 2)
            let lines = wrapped(value, width: 100 - indent.count)
            return padded(name, width + 2) + lines.joined(separator: "\n" + indent)
        }.joined(separator: "\n")
    }

    /// A table of models, a line each, at most 100 characters wide.
    ///
    /// - Parameter statuses: the models, all looked at with the same memory.
    public static func table(_ statuses: [ModelStatus]) -> String {
        var rows = [["", "NAME", "PARAMETERS", "VIDEO", "LICENCE", "DOWNLOAD", "HERE"]]
        for status in statuses {
            let model = status.model
            rows.append([
                status.path == nil ? "" : "*", model.name, model.parameterCounts.joined(separator: ", "),
                model.videoText, model.shortLicence,
                model.downloadBytes.map { formatted(bytes: $0) } ?? "", status.summary,
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines = rows.map { row in
            var line = zip(row, widths).map { padded($0, $1) }.joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }
        lines.append("")
        lines.append("* installed   + licence with limits   PARAMETERS: all, and those that work in each step")
        if let place = statuses.first?.place {
            lines.append(
                "HERE: planned for \(place.device) with \(formatted(bytes: place.freeBytes)) free."
                    + " `swan models NAME` says more.")
        }
        return lines.joined(separator: "\n")
    }

    /// Models as JSON: an array of objects with the keys `model`, `runs`, `path` and `memory`.
    public static func json(_ statuses: [ModelStatus]) throws(SwanError) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(statuses), as: UTF8.self)
        } catch {
            throw SwanError(.fault, "The list of models cannot be written as JSON.", cause: error)
        }
    }
}

extension CatalogueModel {
    /// All parameters, and those at work in a step where they are fewer.
    fileprivate var parameterCounts: [String] {
        let active = activeParameters == parameters ? nil : activeParameters
        return [parameters, active].compactMap { $0.map(formatted(parameters:)) }
    }

    /// The licence with a mark where it has limits; what most names end with is left out.
    fileprivate var shortLicence: String {
        let name = licence.hasSuffix(" Community") ? String(licence.dropLast(" Community".count)) : licence
        return name + (licenceLimits == nil ? "" : "+")
    }

    fileprivate var videoText: String { resolution + (fps.map { ", \($0) fps" } ?? "") }
}

private func padded(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
}

/// A text in lines of at most `width` characters, cut at spaces; a longer word has a line of its own.
private func wrapped(_ text: String, width: Int) -> [String] {
    var lines = [""]
    for word in text.split(separator: " ") {
        let line = lines[lines.count - 1]
        if line.isEmpty {
            lines[lines.count - 1] = String(word)
        } else if line.count + 1 + word.count <= width {
            lines[lines.count - 1] += " " + word
        } else {
            lines.append(String(word))
        }
    }
    return lines
}
