public import SwanDiagnostics

/// The models that Swan knows by name.
public struct Catalogue: Sendable {
    /// The models, in the order in which they are shown.
    public let models: [CatalogueModel]

    /// Makes a catalogue; names and aliases must be unique.
    public init(_ models: [CatalogueModel]) {
        self.models = models
    }

    /// Finds a model by its name, an alias, or the id of one of its repositories, in any case.
    ///
    /// - Throws: `hub.model-unknown`, naming the nearest names.
    public func model(named name: String) throws(SwanError) -> CatalogueModel {
        let wanted = name.lowercased()
        if let model = models.first(where: { $0.isNamed(wanted) }) { return model }
        let nearest = nearestNames(to: wanted)
        let suggestion = nearest.isEmpty ? "" : "Did you mean \(nearest.joined(separator: ", "))? "
        throw SwanError(
            .modelUnknown, "There is no model and no folder named '\(name.printable())'.",
            advice: suggestion + "`swan models` lists the models.")
    }

    /// Up to three names that a person may have meant, the nearest first.
    func nearestNames(to wanted: String) -> [String] {
        let ranked = models.compactMap { model -> (name: String, distance: Int)? in
            let spellings = [model.name] + model.aliases
            if !wanted.isEmpty, spellings.contains(where: { $0.hasPrefix(wanted) }) { return (model.name, 0) }
            let distance = spellings.map { editDistance(wanted, $0) }.min() ?? Int.max
            // A third of the letters may be wrong: `wan2-t2v` still means Wan, `foo` means nothing.
            if distance <= wanted.count / 3 { return (model.name, distance) }
            return spellings.contains(where: wanted.hasPrefix) ? (model.name, wanted.count) : nil
        }
        // The catalogue's order decides between equals: `sorted` is stable.
        return ranked.sorted { $0.distance < $1.distance }.prefix(3).map(\.name)
    }
}

extension CatalogueModel {
    fileprivate func isNamed(_ lowercased: String) -> Bool {
        name == lowercased || aliases.contains(lowercased)
            || repositories.contains { $0.id.lowercased() == lowercased }
    }
}

/// The number of characters to insert, drop or replace to turn one text into the other.
private func editDistance(_ a: String, _ b: String) -> Int {
    let b = Array(b)
    var row = Array(0 ... b.count)
    for (i, character) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let replaced = diagonal + (character == b[j] ? 0 : 1)
            diagonal = row[j + 1]
            row[j + 1] = min(replaced, min(row[j], row[j + 1]) + 1)
        }
    }
    return row[b.count]
}
