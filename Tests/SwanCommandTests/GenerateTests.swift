import Foundation
import SwanTestSupport
import Testing

extension CommandTests {
    /// Runs that succeed: what is made, what is said, and that it is the same each time.
    @Suite struct GenerateTests {
        private func generate(_ program: Program, _ arguments: String...) throws -> Program.Result {
            let result = try program.run(["generate"] + arguments + Program.small)
            #expect(result.status == 0, "\(result.errors)")
            return result
        }

        @Test func theSameSeedGivesTheSameBytes() throws {
            let program = try Program()
            for name in ["a", "b"] {
                _ = try generate(program, "A cat", "--seed", "7", "--output", name + ".y4m", "--save-latents", name)
            }
            _ = try generate(program, "A cat", "--seed", "8", "--output", "c.y4m", "--save-latents", "c")
            #expect(try program.bytes("a") == program.bytes("b"))
            #expect(try program.bytes("a.y4m") == program.bytes("b.y4m"))
            #expect(try program.bytes("a") != program.bytes("c"))
            #expect(try program.bytes("a.y4m") != program.bytes("c.y4m"))

            // Saved latents decode to the same frames.
            _ = try generate(program, "--latents", "a", "--output", "d.y4m")
            #expect(try program.bytes("d.y4m") == program.bytes("a.y4m"))
            #expect(program.folder.names == ["a", "a.y4m", "b", "b.y4m", "c", "c.y4m", "d.y4m"])
        }

        /// Settings that differ from every default come back from the file, wherever one stands.
        @Test(arguments: ["mp4", "webm", "gif"])
        func aVideoCanBeMadeAgain(format: String) throws {
            let program = try Program()
            let request = [
                "generate", "A cat", "--seed", "11", "--guidance", "2.5", "--shift", "3", "--boundary", "0.8",
                "--solver",
                "dpm++", "--negative", "blurry", "--fps", "12", "--lora-high",
                Fixture.path("lora/lightning_high_noise.safetensors") + ":0.5",
            ]
            let first = try program.run(
                request + Program.small + ["--steps", "3", "--output", "a.\(format)", "--save-latents", "a"])
            #expect(first.status == 0, "\(first.errors)")
            let again = ["generate", "--from", "a.\(format)", "--model", Program.model]
            let second = try program.run(again + ["--output", "b.\(format)", "--save-latents", "b"])
            #expect(second.status == 0, "\(second.errors)")
            #expect(try program.bytes("a") == program.bytes("b"))
            // An option that is given counts more than the file.
            let third = try program.run(again + ["--seed", "12", "--output", "c.\(format)", "--save-latents", "c"])
            #expect(third.status == 0)
            #expect(try program.bytes("a") != program.bytes("c"))
        }

        @Test func aPresetWithAnotherPairCanBeMadeAgain() throws {
            let program = try Program()
            let pair = ["high", "low"].flatMap {
                ["--lora-\($0)", Fixture.path("lora/lightning_\($0)_noise.safetensors")]
            }
            let request =
                ["--model", Program.model, "--size", "64x48", "--frames", "9", "--preset", "lightning"] + pair
            let first = try program.run(["generate", "A cat", "--output", "a.mp4", "--save-latents", "a"] + request)
            #expect(first.status == 0, "\(first.errors)")
            let second = try program.run([
                "generate", "--from", "a.mp4", "--model", Program.model, "--output", "b.mp4", "--save-latents", "b",
            ])
            #expect(second.status == 0, "\(second.errors)")
            #expect(try program.bytes("a") == program.bytes("b"))
        }

        /// A video knows its model's folder, however that was named, and not just a name that others have too.
        @Test func aVideoKnowsItsModel() throws {
            let program = try Program()
            try program.folder.copy("pipeline/layouts/official", as: "model")
            try Data(
                #"{"name":"swan-tiny","width":64,"height":48,"frames":9,"fps":12,"steps":2,"shift":5,"boundary":0.875,"guidance_high":4,"guidance_low":3,"negative_prompt":""}"#
                    .utf8
            ).write(to: URL(filePath: program.folder.path + "/model/swan.json"))
            let first = try program.run([
                "generate", "A cat", "--model", "model", "--output", "a.gif", "--save-latents", "a",
            ])
            #expect(first.status == 0, "\(first.errors)")
            let again = ["--output", "b.gif", "--save-latents", "b"]
            #expect(try program.run(["generate", "--from", "a.gif"] + again).status == 0)
            #expect(try program.bytes("a") == program.bytes("b"))
            try FileManager.default.removeItem(atPath: program.folder.path + "/model")
            let gone = try program.run(["generate", "--from", "a.gif"])
            #expect(gone.status == 66)
            #expect(gone.errors.contains("/model"))
        }

        /// A video without a seed cannot be made again by drawing another.
        @Test func aVideoFromNoiseNeedsItAgain() throws {
            let program = try Program()
            _ = try generate(program, "A cat", "--seed", "1", "--output", "a.mp4", "--save-latents", "l")
            _ = try generate(program, "A cat", "--latents", "l", "--output", "b.mp4")
            let result = try program.run(["generate", "--from", "b.mp4", "--model", Program.model])
            #expect(result.status == 64)
            #expect(result.errors.contains("--noise"))
            #expect(program.folder.names == ["a.mp4", "b.mp4", "l"])
        }

        @Test func severalPromptsGiveNumberedVideos() throws {
            let program = try Program()
            try Data("A cat\n\n  \nA dog\n".utf8).write(to: URL(filePath: program.folder.path + "/prompts"))
            try FileManager.default.createDirectory(
                atPath: program.folder.path + "/clips", withIntermediateDirectories: false)
            let result = try generate(
                program, "--prompts", "prompts", "--count", "2", "--seed", "3", "--output", "clips/%04d.mp4", "--json")
            let paths = (0 ... 3).map { "clips/000\($0).mp4" }
            #expect(try result.events.filter { $0.name == "video" }.map { $0["path"] as? String } == paths)
            let clips = try FileManager.default.contentsOfDirectory(atPath: program.folder.path + "/clips")
            #expect(clips.sorted() == ["0000.mp4", "0001.mp4", "0002.mp4", "0003.mp4"])
            let videos = try #require(try result.events.last?["videos"] as? [[String: Any]])
            #expect(videos.map { $0["prompt"] as? String } == ["A cat", "A cat", "A dog", "A dog"])
            #expect(videos.map { $0["seed"] as? Int } == [3, 4, 3, 4])
        }

        /// A number in the name is a number however many videos there are.
        @Test func oneVideoIsNumberedToo() throws {
            let program = try Program()
            _ = try generate(program, "A cat", "--output", "clip-%02d.y4m")
            _ = try generate(program, "A cat", "--output", "%03d.png")
            #expect(program.folder.names == (1 ... 9).map { "00\($0).png" } + ["clip-00.y4m"])
        }

        @Test func theDefaultNameNeverOverwrites() throws {
            let program = try Program()
            for _ in 0 ..< 3 { _ = try generate(program, "A cat, on grass!", "--seed", "5") }
            #expect(
                program.folder.names == ["a-cat-on-grass-5-2.mp4", "a-cat-on-grass-5-3.mp4", "a-cat-on-grass-5.mp4"])
        }

        @Test func aDryRunWritesNothing() throws {
            let program = try Program()
            let plain = try generate(program, "A cat", "--dry-run")
            for text in ["64x48, 9 frames", "36 tokens", "high-noise steps", "decode", "peak"] {
                #expect(plain.output.contains(text), "\(plain.output)")
            }
            let events = try generate(program, "A cat", "--dry-run", "--json").events
            // Where the model is, and that it is no published one.
            #expect(events.map(\.name) == ["note", "note", "plan"])
            #expect((events[2]["seconds"] as? Double ?? 0) > 0)
            #expect(program.folder.names.isEmpty)
        }

        /// The events, their order and their fields, as the documentation has them.
        @Test func eventsHaveTheDocumentedFields() throws {
            let program = try Program()
            let events = try generate(program, "A cat", "--seed", "1", "--json", "--output", "a.y4m").events
            let fields: [String: Set<String>] = [
                "plan": ["settings", "plan", "device", "videos", "peakBytes"],
                "step": ["video", "step", "of", "seconds", "eta"], "frames": ["video", "done", "of", "eta"],
                "video": ["video", "path"],
                "done": [
                    "settings", "device", "precision", "attention", "weights", "stages", "videos", "forwards",
                    "peakMemory", "plannedMemory", "seconds", "architecture",
                ],
            ]
            for event in events where event.name != "note" && event.name != "stage" {
                let keys = try #require((event.data as? [String: Any])?.keys)
                #expect(Set(keys) == fields[event.name], "\(event)")
            }
            #expect(
                events.map(\.name).reduce(into: []) { if $0.last != $1 { $0.append($1) } }
                    == ["note", "plan", "stage", "step", "stage", "frames", "stage", "video", "done"])
            let stages = events.filter { $0.name == "stage" }.compactMap { $0.data as? String }
            #expect(stages == ["text", "load-high", "high", "load-decoder", "decode", "encode"])
            // Nothing is left after the last step but decoding, and after the last frame nothing.
            let last = events.last { $0.name == "frames" }
            #expect(last?["done"] as? Int == 9 && last?["eta"] as? Double == 0)
            let steps = events.filter { $0.name == "step" }.compactMap { $0["eta"] as? Double }
            #expect(steps.count == 2 && steps.allSatisfy { $0 > 0 })
        }

        /// The table at the end tells what product users compare.
        @Test func theTableTellsWhatWasDone() throws {
            let program = try Program()
            let result = try generate(program, "A cat", "--seed", "6", "--output", "a.y4m")
            #expect(result.output == "a.y4m\n")
            for row in [
                "text ", "load, high noise", "high-noise steps", "load, decoder", "decode ", "finish the file",
                "total ",
                "unipc, 2 steps over two experts, 4 forwards", "4.0 high, 3.0 low", "fp32, attention exact",
                "weights in host memory", "(planned ", "seed              6", "file              a.y4m",
            ] { #expect(result.errors.contains(row), "\(row) in \(result.errors)") }
            #expect(result.errors.contains(" left\n"))
            #expect(!result.errors.contains("\u{1B}"))
        }

        /// The plan's memory is a bound near what is used, mapped files counted in both.
        @Test(arguments: [("64x48", "9"), ("256x192", "9"), ("480x320", "5")])
        func thePlanBoundsMemory(size: String, frames: String) throws {
            let program = try Program()
            let request = ["--model", Program.model, "--size", size, "--frames", frames, "--steps", "2"]
            let result = try program.run(["generate", "A cat", "--json", "--output", "a.y4m"] + request)
            let report = try #require(try result.events.last)
            let planned = try #require(report["plannedMemory"] as? Int)
            let used = try #require(report["peakMemory"] as? Int)
            #expect(used <= planned, "\(used) bytes used, \(planned) planned")
            // Beside 40 MB for the program, whatever of it a machine's libraries take.
            #expect(planned <= max(2 * used, used + 40_000_000), "\(used) bytes used, \(planned) planned")
        }

        /// On a terminal one line is rewritten, no longer than the terminal is wide; what comes after it
        /// begins a line of its own.
        @Test func aTerminalShowsOneLine() throws {
            let program = try Program()
            program.isTerminal = true
            let result = try program.run(["generate", "A cat", "--seed", "6"] + Program.small + ["--output", "a.y4m"])
            #expect(result.status == 0)
            let rewrites = result.errors.split(separator: "\r\u{1B}[K")
            #expect(rewrites.contains { $0.hasPrefix("high-noise steps: step 2 of 2") && $0.hasSuffix(" left") })
            #expect(rewrites.dropFirst().dropLast().allSatisfy { $0.count < 60 })
            #expect(result.errors.contains("\r\u{1B}[K  text"))

            program.wrapper = ["/bin/sh", "-c", "ulimit -f 4; exec \"$@\"", "sh"]
            let failed = try program.run(["generate", "A cat"] + Program.small + ["--output", "b.y4m"])
            #expect(failed.status == 74)
            #expect(failed.errors.contains("\r\u{1B}[Kerror: "))
        }
    }
}
