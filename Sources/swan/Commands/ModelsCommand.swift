import ArgumentParser
import FoundationEssentials
import SwanBench
import SwanDiagnostics
import SwanHub
import SwanPipeline
import SwanRuntime
import SwanTensor

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
        let models = try name.map { [try catalogue.model(named: $0)] } ?? catalogue.models
        let backend = try Runtime.open("auto")
        let host = SystemMemory.available
        let free = try backend.deviceMemory()?.free ?? host
        let place = ModelStatus.Place(device: backend.name, freeBytes: free)
        let statuses = models.map {
            ModelStatus($0, installed, on: place, memory: predict($0, backend, hostBytes: host))
        }
        if json {
            print(try ModelStatus.json(statuses))
        } else {
            print(name == nil ? ModelStatus.table(statuses) : statuses.map { $0.facts() }.joined())
        }
    }

    /// What the planner says of a video of the model's own size; nil for models that it does not know.
    private func predict(_ model: CatalogueModel, _ backend: any Backend, hostBytes: Int) -> MemoryFit? {
        guard model.runs, let sizes = try? SyntheticModel.named(model.name),
            let plan = try? ModelPlan(
                sizes, GenerationRequest(), on: [backend], memoryLimit: nil, hostBytes: hostBytes),
            let place = plan.places.first
        else { return nil }
        guard let onDevice = place.plan else {
            return place.fits ? .runs(bytes: plan.work.peakBytes) : .needs(bytes: plan.work.peakBytes)
        }
        guard place.fits else { return .needs(bytes: onDevice.peakBytes) }
        return place.isStreamed ? .streams(bytes: onDevice.peakBytes) : .runs(bytes: onDevice.peakBytes)
    }
}
