import FoundationEssentials
import SwanDiagnostics
import SwanHub
import Testing

/// Which model a word means. The folders are absolute: a name without a slash is looked for where the tests run.
@Suite struct NamedModelTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "swan-named-\(UUID().uuidString)").path

    private func make(_ name: String) throws -> String {
        let path = folder + "/" + name
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }

    private var installed: InstalledModels { InstalledModels(executable: folder + "/bin/swan", environment: [:]) }

    /// What lies where the user stands is a model only when it is asked for.
    @Test func installedModelsComeFirst() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let model = try make("Models/swan-tiny")
        try Data("{}".utf8).write(to: URL(filePath: model + "/swan.json"))
        let here = FileManager.default.currentDirectoryPath
        let elsewhere = try make("elsewhere")
        _ = try make("elsewhere/swan-tiny")
        _ = try make("elsewhere/my-model")
        _ = try make("elsewhere/Wan2.2-T2V-A14B")
        #expect(FileManager.default.changeCurrentDirectoryPath(elsewhere))
        defer { _ = FileManager.default.changeCurrentDirectoryPath(here) }

        for name in [nil, "swan-tiny"] {
            let found = try NamedModel(name, installed)
            #expect((found.name, found.path, found.source) == ("swan-tiny", model, "swan-tiny"))
        }
        // A slash makes it a path; so does that there is no other model of this name.
        for name in ["./swan-tiny", "my-model", "Wan2.2-T2V-A14B"] {
            let found = try NamedModel(name, installed)
            #expect((found.name, found.path) == (name, name))
            #expect(found.source.hasPrefix("/") && found.source.hasSuffix("/" + name))
        }
        let absolute = elsewhere + "/my-model"
        #expect(try NamedModel(absolute, installed).source == absolute)
        let slashed = try NamedModel("my-model//", installed)
        #expect((slashed.name, slashed.path, slashed.source) == ("my-model", "my-model", absolute))
        #expect(NamedModel.absolute("/") == "/" && NamedModel.absolute("a/") == elsewhere + "/a")

        let nowhere = InstalledModels(executable: "/nothing/swan", environment: [:])
        #expect(throws: SwanError.self) { try NamedModel(nil, nowhere) }
        #expect(throws: SwanError.self) { try NamedModel("./nothing", installed) }
        let unknown = #expect(throws: SwanError.self) { try NamedModel("nothing", installed) }
        #expect(unknown?.code == .modelUnknown)
    }
}
