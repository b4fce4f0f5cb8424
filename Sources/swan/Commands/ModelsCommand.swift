import ArgumentParser
import FoundationEssentials
import SwanHub
import SwanPipeline

/// `swan models`: which models there are, which of them run, and which have room here.
struct ModelsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "models",
        abstract: "List models: sizes, licences, what runs here.",
        discussion: """
            swan models
            swan models wan2.2-t2v-a14b
            swan models --json | jq '.[] | select(.runs) | .model.name'
            """)

    @Argument(help: "A model, to see everything about it.")
    var name: String?

    @Flag(help: "Print a JSON array instead of a table.")
    var json = false

    func run() throws {
        let installed = InstalledModels.here
        let catalogue = Catalogue.standard
        let memory = SystemMemory.available
        let models = try name.map { [try catalogue.model(named: $0)] } ?? catalogue.models
        // The engine computes on the CPU.
        let statuses = models.map { ModelStatus($0, installed, availableMemory: memory, hasGPU: false) }
        if json {
            print(try ModelStatus.json(statuses))
        } else {
            print(name == nil ? ModelStatus.table(statuses) : statuses.map { $0.facts() }.joined())
        }
    }
}
