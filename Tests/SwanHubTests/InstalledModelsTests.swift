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
        let snapshot = try write("abc", in: relative)
        #expect(try installed(environment).path(of: "wan2.2-t2v-a14b") == snapshot)
    }

    @Test func takesTheSnapshotThatTheBranchNames() throws {
        try write("aaa")
        let current = try write("bbb")
        try write("ccc")
        try folder.write("hub/\(repository)/refs/main", "bbb\n")
        #expect(try installed(cache).path(of: "wan2.2-t2v-a14b") == current)
    }

    @Test(arguments: ["", "ddd", "../../../..", "/etc", "."])
    func aBranchThatNamesNoSnapshotDecidesNothing(reference: String) throws {
        try write("aaa")
        try write("bbb")
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

    /// A snapshot with the files that tell it from a part of one; its path.
    @discardableResult
    private func write(_ commit: String, in hub: String = "hub") throws -> String {
        let snapshot = "\(hub)/\(repository)/snapshots/\(commit)"
        try folder.write("\(snapshot)/models_t5_umt5-xxl-enc-bf16.pth")
        return try folder.write("\(snapshot)/Wan2.1_VAE.pth")
    }

    private var cache: [String: String] { ["HF_HUB_CACHE": folder.path + "/hub"] }

    /// Other variants fetch the tokenizer from the publisher's repository, and nothing else.
    @Test func aTokenizerAloneIsNoModel() throws {
        let model = try Catalogue.standard.model(named: "wan2.2-t2v-a14b")
        try folder.write("hub/\(repository)/snapshots/aaa/google/umt5-xxl/tokenizer.json")
        try folder.write("hub/\(repository)/refs/main", "aaa\n")
        #expect(!installed(cache).isInstalled(model))
        let error = try #require(throws: SwanError.self) { try installed(cache).path(of: "wan2.2-t2v-a14b") }
        #expect(error.code == .modelNotInstalled)
        // A snapshot that is whole counts, though the branch has gone on.
        let whole = try write("bbb")
        #expect(try installed(cache).path(of: "wan2.2-t2v-a14b") == whole)
        let current = try write("aaa")
        #expect(try installed(cache).path(of: "wan2.2-t2v-a14b") == current)
    }

    @Test func aFolderOfModelScopesToolsHasToBeWholeToo() throws {
        let place = "ms/models/Wan-AI/Wan2___2-T2V-A14B"
        let environment = ["MODELSCOPE_CACHE": folder.path + "/ms"]
        let model = try Catalogue.standard.model(named: "wan2.2-t2v-a14b")
        try folder.write("\(place)/Wan2.1_VAE.pth")
        #expect(!installed(environment).isInstalled(model))
        let path = try folder.write("\(place)/models_t5_umt5-xxl-enc-bf16.pth")
        #expect(installed(environment).find(model) == path)
    }

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
