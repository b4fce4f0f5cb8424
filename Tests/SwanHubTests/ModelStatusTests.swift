import FoundationEssentials
import SwanHub
import Testing

@Suite struct ModelStatusTests {
    let statuses: [ModelStatus]

    init() {
        let installed = InstalledModels(executable: "/nowhere/swan", environment: [:])
        statuses = Catalogue.standard.models.map { model in
            let memory: MemoryFit =
                switch model.name {
                case "wan2.2-t2v-a14b": .needs(bytes: 57_153_966_336)
                case "wan2.1-t2v-14b": .streams(bytes: 20_000_000_000)
                default: .runs(bytes: 18_000_000_000)
                }
            return ModelStatus(
                model, installed, on: .init(device: "cpu", freeBytes: 23_000_000_000), memory: memory)
        }
    }

    @Test func theTableFitsAScreen() {
        let lines = ModelStatus.table(statuses).split(separator: "\n", omittingEmptySubsequences: false)
        for line in lines { #expect(line.count <= 100, "\(line)") }
        // A line for each model, the heading, an empty line and two of explanation.
        #expect(lines.count == statuses.count + 4)
    }

    @Test func theTableSaysWhatIsPossibleHere() throws {
        let lines = ModelStatus.table(statuses).split(separator: "\n")
        for (name, word) in [
            ("swan-tiny", "runs"), ("wan2.2-t2v-a14b", "needs 57.2 GB"), ("wan2.1-t2v-1.3b", "runs"),
            ("wan2.1-t2v-14b", "streams"),
            ("mochi-1-preview", "not yet"), ("happyhorse-1.1", "closed"),
        ] {
            let line = try #require(lines.first { $0.contains(" \(name) ") })
            #expect(line.hasSuffix(word), "\(line)")
        }
    }

    @Test func factsFitAScreenAndNameTheLimits() {
        for status in statuses {
            let facts = status.facts()
            for line in facts.split(separator: "\n") { #expect(line.count <= 100, "\(line)") }
            // The limits' words, whatever lines they stand on.
            let words = facts.split(whereSeparator: \.isWhitespace)
            if let limits = status.model.licenceLimits {
                #expect(words.joined(separator: " ").contains(limits.split(separator: " ").joined(separator: " ")))
            }
        }
    }

    @Test func factsListTheVariants() throws {
        let status = try #require(statuses.first { $0.model.name == "wan2.2-t2v-a14b" })
        let facts = status.facts()
        for variant in status.model.variants { #expect(facts.contains("\(variant.name): "), "\(variant.name)") }
        #expect(facts.contains("57.2 GB at the peak of its own video on cpu, as planned"), "\(facts)")
        #expect(facts.contains("23.0 GB are free there"))
    }

    @Test func theJSONHoldsTheSame() throws {
        struct Row: Decodable {
            struct Memory: Decodable {
                var result: String
                var bytes: Int
            }
            var model: CatalogueModel
            var runs: Bool
            var path: String?
            var memory: Memory?
        }
        let rows = try JSONDecoder().decode([Row].self, from: Data(ModelStatus.json(statuses).utf8))
        #expect(rows.map(\.model) == statuses.map(\.model))
        let a14b = try #require(rows.first { $0.model.name == "wan2.2-t2v-a14b" })
        #expect(a14b.runs && a14b.path == nil)
        #expect(a14b.memory?.result == "needs" && a14b.memory?.bytes == 57_153_966_336)
        #expect(rows.filter { !$0.runs }.allSatisfy { $0.memory == nil })
    }
}
