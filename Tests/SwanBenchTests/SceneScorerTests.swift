import Foundation
import SwanBench
import SwanCPU
import SwanCheckpoint
import SwanDiagnostics
import SwanPipeline
import SwanTensor
import SwanTestSupport
import Testing

/// Guards scores: the classifier's arithmetic, what counts as right, and what cannot be scored.
@Suite struct SceneScorerTests {
    static let model = Fixture.root + "/../../Models/swan-tiny"
    private static let weights = model + "/eval/scorer.safetensors"

    /// The clips of `Tests/Fixtures/scores/make_scores.py`.
    enum Kind: String, CaseIterable {
        case disc, waves, black

        var clip: [UInt8] {
            var clip: [UInt8] = []
            clip.reserveCapacity(25 * 128 * 128 * 3)
            for t in 0 ..< 25 {
                for y in 0 ..< 128 {
                    for x in 0 ..< 128 {
                        for channel in 0 ..< 3 { clip.append(UInt8(value(t, y, x, channel))) }
                    }
                }
            }
            return clip
        }

        private func value(_ t: Int, _ y: Int, _ x: Int, _ channel: Int) -> Int {
            switch self {
            case .disc:
                let (across, down) = (x - 30 - 3 * t, y - 64)
                let square = across * across + down * down
                if square < 700 { return [230, 30, 40][channel] }
                return square < 900 ? [90, 20, 20][channel] : [90, 160, 70][channel] + y / 4
            case .waves: return (x * (3 + channel) + y * 5 + t * 7 * (channel + 1) + x * y / 16) % 256
            case .black: return 0
            }
        }
    }

    @Test(arguments: Kind.allCases) func logitsAreThoseOfPyTorch(kind: Kind) throws {
        let golden = try Fixture.open("scores/clips.safetensors")
        let logits = try SceneScorer(Self.weights).logits(kind.clip)
        for question in SceneQuestion.allCases {
            let expected = try golden.tensor("\(kind.rawValue).\(question.rawValue)").floats()
            let deviation = Deviation(try #require(logits[question]), expected)
            #expect(expected.count == question.answers.count)
            #expect(deviation.relative < 1e-4, "\(question): \(deviation)")
        }
    }

    @Test func whatIsAskedForIsRightAndElseIsWrong() throws {
        let scorer = try SceneScorer(Self.weights)
        let logits = try scorer.logits(Kind.disc.clip)
        func marks(
            _ things: [String], _ colours: [String], _ motion: String
        ) throws -> [SceneQuestion: Bool] {
            scorer.marks(logits, for: try ScenePrompt("x", things: things, colours: colours, motion: motion))
        }
        #expect(try marks(["circle"], ["red"], "right") == [.thing: true, .colour: true, .motion: true])
        #expect(try marks(["star"], ["blue"], "left") == [.thing: false, .colour: false, .motion: false])
        // Of one thing and another that is not there, or of several colours, or of nothing in particular.
        #expect(try marks(["circle", "rocket"], ["red", "blue"], "") == [.thing: false])
        let ranked = (logits[.thing] ?? []).enumerated().sorted { $0.element > $1.element }.map(\.offset)
        let names = ranked.prefix(3).map { SceneQuestion.thing.answers[$0] }
        #expect(names.first == "circle")
        #expect(try marks([names[1], names[0]], [""], "") == [.thing: true], "the two of the largest logits")
        #expect(try marks([names[0], names[2]], [""], "") == [.thing: false])
        var scores = SceneScores()
        scores.add(try marks(["circle"], ["red"], "right"))
        scores.add(try marks(["circle"], [], "left"))
        #expect(scores.clips == 2 && scores.thing.percentage == 100 && scores.motion.percentage == 50)
        #expect(scores.colour.asked == 1 && scores.place.percentage == nil)
        #expect(scores.text == "thing 100.0 %, colour 100.0 %, motion 50.0 %")
    }

    @Test func whatIsNoSuchClassifierIsRefused() throws {
        let folder = FileManager.default.temporaryDirectory.path + "/swan-scorer-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let source = try openWeights(at: Self.weights)
        var tensors: [String: HostTensor] = [:]
        for name in source.names { tensors[name] = try source.tensor(name) }
        func code(_ name: String, _ change: (inout [String: HostTensor]) throws -> Void) throws -> SwanError? {
            var changed = tensors
            try change(&changed)
            let path = "\(folder)/\(name).safetensors"
            try SafetensorsWriter.write(changed, metadata: [:], to: path)
            return #expect(throws: SwanError.self) { try SceneScorer(path) }
        }
        let missing = try code("missing") { $0["time.bias"] = nil }
        #expect(missing?.code == .tensorMissing && missing?.message.contains("time.bias") == true)
        let misshapen = try code("misshapen") { $0["thing.bias"] = try $0["thing.bias"]?.slice(0 ..< 49) }
        #expect(misshapen?.code == .tensorMisshapen && misshapen?.message.contains("[49]") == true)
        let more = try code("more") { $0["size.bias"] = $0["time.bias"] }
        #expect(more?.code == .tensorsLeftOver)
        let short = #expect(throws: SwanError.self) { try SceneScorer(Self.weights).logits([1, 2, 3]) }
        #expect(short?.code == .scores)
        let foreign = #expect(throws: SwanError.self) { try ScenePrompt("x", things: ["submarine"]) }
        #expect(foreign?.code == .scores && foreign?.message.contains("submarine") == true)
    }

    @Test func aModelsFolderIsRead() throws {
        let test = try SceneTest(in: Self.model, count: 200)
        #expect(test.prompts.count == 200 && test.prompts[1].text == "a green triangle standing in the city")
        #expect(test.prompts[1].targets == [.thing: [46], .place: [4], .colour: [3], .motion: [6]])
        #expect(test.prompts[0].targets[.colour] == nil)
        let none = #expect(throws: SwanError.self) { try SceneTest(in: Fixture.root, count: 1) }
        #expect(none?.code == .scoresMissing)
        let folder = FileManager.default.temporaryDirectory.path + "/swan-prompts-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder + "/eval", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.copyItem(atPath: Self.weights, toPath: folder + "/eval/scorer.safetensors")
        try "{\"prompt\": \"x\"}\n".write(toFile: folder + "/eval/prompts.jsonl", atomically: true, encoding: .utf8)
        let damaged = #expect(throws: SwanError.self) { try SceneTest(in: folder, count: 1) }
        #expect(damaged?.code == .scoresDamaged && damaged?.message.contains("line 1") == true)
    }

    @Test func aModelsOwnClipsAreScored() throws {
        let (files, test) = (try ModelFiles(in: Self.model), try SceneTest(in: Self.model, count: 2))
        var clips: [SceneTest.Clip] = []
        let bench = try ScoreBench(files, GenerationRequest(), test, seed: 1, swan: "test", on: CPUBackend()) {
            clips.append($0)
        }
        #expect(clips.map(\.prompt) == test.prompts.map(\.text))
        // It makes what it is asked for: places and colours always, as the model's README says.
        #expect(bench.scores.clips == 2 && bench.scores.place.right == 2 && bench.scores.colour.right == 1)
        #expect(bench.scores.motion.asked == 2 && bench.wrong.count == clips.count { !$0.wrong.isEmpty })
        #expect(bench.settings.preset == "lightning" && bench.text.contains("place"))
    }

    @Test func aStopIsObeyed() throws {
        let cancellation = Cancellation()
        var clips = 0
        let error = #expect(throws: SwanError.self) {
            try ScoreBench(
                ModelFiles(in: Self.model), GenerationRequest(), SceneTest(in: Self.model, count: 3), seed: 1,
                swan: "test", on: CPUBackend(), cancellation: cancellation
            ) { _ in
                clips += 1
                cancellation.cancel()
            }
        }
        #expect(error?.code == .cancelled && clips == 1)
    }
}
