import FoundationEssentials
import SwanDiagnostics
import SwanHub
import Testing

/// A folder that goes when the test ends.
private final class TemporaryFolder {
    let path = FileManager.default.temporaryDirectory.appending(path: "swan-hub-\(UUID().uuidString)").path

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Writes a file with the folders above it, and returns the path of its folder.
    @discardableResult
    func write(_ relative: String, _ text: String = "{}") throws -> String {
        let file = path + "/" + relative
        let folder = String(file[..<(file.lastIndex(of: "/") ?? file.endIndex)])
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try text.write(toFile: file, atomically: false, encoding: .utf8)
        return folder
    }
}

@Suite struct InstalledModelsTests {
    private let folder = TemporaryFolder()
    private let repository = "models--Wan-AI--Wan2.2-T2V-A14B"

    private func installed(_ environment: [String: String] = [:], executable: String = "bin/swan") -> InstalledModels {
        InstalledModels(executable: folder.path + "/" + executable, environment: environment)
    }

    // MARK: Beside the program

    @Test(arguments: ["swan.json", "model_index.json"])
    func findsTheModelOfTheCheckoutThatTheProgramWasBuiltIn(file: String) throws {
        let model = try folder.write("Models/swan-tiny/\(file)")
        let models = installed(executable: ".build/x86_64-unknown-linux-gnu/release/swan")
        #expect(try models.path(of: "swan-tiny") == model)
    }

    @Test func findsTheModelUnderThePrefixOfAnInstalledProgram() throws {
        let model = try folder.write("share/swan/models/swan-tiny/swan.json")
        #expect(try installed(executable: "bin/swan").path(of: "swan-tiny") == model)
    }

    @Test func aFolderWithoutTheModelsFilesIsNotTheModel() throws {
        try folder.write("Models/swan-tiny/train/vocabulary.py")
        let error = try #require(throws: SwanError.self) { try installed().path(of: "swan-tiny") }
        #expect(error.code == .modelNotInstalled)
    }

    @Test func theNearestFolderWins() throws {
        try folder.write("Models/swan-tiny/swan.json")
        let near = try folder.write("inner/Models/swan-tiny/swan.json")
        #expect(try installed(executable: "inner/.build/release/swan").path(of: "swan-tiny") == near)
    }

    // MARK: In the cache

    /// The environments that lead to `hub` below a folder.
    enum Variable: CaseIterable {
        case hubCache, olderHubCache, home, caches, userHome

        func environment(_ folder: String) -> (hub: String, [String: String]) {
            switch self {
            case .hubCache: ("\(folder)/here", ["HF_HUB_CACHE": "\(folder)/here", "HF_HOME": "/nowhere"])
            case .olderHubCache: ("\(folder)/here", ["HUGGINGFACE_HUB_CACHE": "\(folder)/here", "HF_HOME": "/nowhere"])
            case .home: ("\(folder)/hf/hub", ["HF_HOME": "~/hf", "HOME": folder, "XDG_CACHE_HOME": "/nowhere"])
            case .caches: ("\(folder)/c/huggingface/hub", ["XDG_CACHE_HOME": "\(folder)/c", "HOME": "/nowhere"])
            case .userHome: ("\(folder)/.cache/huggingface/hub", ["HOME": folder, "HF_HOME": "", "XDG_CACHE_HOME": ""])
            }
        }
    }

    @Test(arguments: Variable.allCases)
    func looksWhereTheEnvironmentSays(variable: Variable) throws {
        let (hub, environment) = variable.environment(folder.path)
        let relative = String(hub.dropFirst(folder.path.count + 1))
        let snapshot = try folder.write("\(relative)/\(repository)/snapshots/abc/configuration.json")
        #expect(try installed(environment).path(of: "wan2.2-t2v-a14b") == snapshot)
    }

    @Test func takesTheSnapshotThatTheBranchNames() throws {
        try folder.write("hub/\(repository)/snapshots/aaa/x")
        let current = try folder.write("hub/\(repository)/snapshots/bbb/x")
        try folder.write("hub/\(repository)/snapshots/ccc/x")
        try folder.write("hub/\(repository)/refs/main", "bbb\n")
        #expect(try installed(cache).path(of: "wan2.2-t2v-a14b") == current)
    }

    @Test(arguments: ["", "ddd", "../../../..", "/etc", "."])
    func aBranchThatNamesNoSnapshotDecidesNothing(reference: String) throws {
        try folder.write("hub/\(repository)/snapshots/aaa/x")
        try folder.write("hub/\(repository)/snapshots/bbb/x")
        try folder.write("hub/\(repository)/refs/main", reference)
        let model = try Catalogue.standard.model(named: "wan2.2-t2v-a14b")
        #expect(!installed(cache).isInstalled(model))
    }

    @Test func aSnapshotWithoutFilesIsNoModel() throws {
        try folder.write("hub/\(repository)/snapshots/aaa/.keep")
        let model = try Catalogue.standard.model(named: "wan2.2-t2v-a14b")
        #expect(!installed(cache).isInstalled(model))
    }

    @Test func takesTheOtherLayoutsRepositoryToo() throws {
        let snapshot = try folder.write("hub/\(repository)-Diffusers/snapshots/aaa/model_index.json")
        #expect(try installed(cache).path(of: "wan2.2-t2v-a14b") == snapshot)
    }

    private var cache: [String: String] { ["HF_HUB_CACHE": folder.path + "/hub"] }

    // MARK: What cannot be had

    @Test func saysWhereItLookedAndWhatToFetch() throws {
        let error = try #require(throws: SwanError.self) { try installed(cache).path(of: "Wan2.2-T2V-A14B") }
        #expect(error.code == .modelNotInstalled && error.code.kind.rawValue == 66)
        #expect(error.message.contains(folder.path + "/hub"))
        #expect(error.advice.contains("`swan pull wan2.2-t2v-a14b` fetches it (126.2 GB)"))
    }

    @Test func withoutAnyPlaceToLookItSaysSo() throws {
        let models = InstalledModels(executable: "swan", environment: [:])
        let error = try #require(throws: SwanError.self) { try models.path(of: "wan2.1-t2v-14b") }
        #expect(error.message.contains("no place to look"))
    }

    @Test func aClosedModelNamesTheNearestOpenOne() throws {
        let error = try #require(throws: SwanError.self) { try installed().path(of: "happyhorse") }
        #expect(error.code == .modelClosed && error.code.kind.rawValue == 69)
        #expect(error.advice.contains("davinci-magihuman"))
    }

    @Test func aModelThatDoesNotRunGivesTheReason() throws {
        let error = try #require(throws: SwanError.self) { try installed().path(of: "mochi") }
        #expect(error.code == .modelUnsupported && error.code.kind.rawValue == 69)
        #expect(error.message.contains("joint attention"))
    }
}
