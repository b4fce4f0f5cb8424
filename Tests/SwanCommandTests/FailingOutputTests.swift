import Foundation
import Glibc
import SwanTestSupport
import Testing

extension CommandTests {
    /// Disks, encoders and readers that give up after work has begun.
    @Suite struct FailingOutputTests {
        private static let request = ["generate", "A cat", "--seed", "1"] + Program.small

        /// A limit on the size of files stands for a full disk: y4m takes 83 kB, the latents 9 kB.
        @Test(arguments: [
            ["--output", "a.y4m"], ["--output", "a.gif"], ["--output", "f/%04d.png"],
            ["--output", "a.y4m", "--save-latents", "l"],
        ])
        func aFullDiskIsAnError(output: [String]) throws {
            let program = try Program()
            program.wrapper = ["/bin/sh", "-c", "ulimit -f 4; exec \"$@\"", "sh"]
            let result = try program.run(Self.request + output)
            #expect(result.status == 74, "\(result.errors)")
            #expect(result.errors.contains("error: "))
            #expect(program.folder.names.isEmpty)
        }

        @Test(arguments: ["head -c 10000 > /dev/null; kill -9 $$", "head -c 10000 > /dev/null; echo woe >&2; exit 3"])
        func anEncoderThatDiesIsAnError(script: String) throws {
            let program = try Program()
            let tools = try program.replaceFFmpeg(script)
            let result = try program.run(Self.request + ["--json", "--output", "a.mp4"])
            withExtendedLifetime(tools) {}
            #expect(result.status == 74)
            #expect(try result.failure?["code"] as? String == "media.encoder-failed")
            #expect(result.errors.contains("y4m"))
            #expect(script.contains("woe") ? result.errors.contains("woe") : result.errors.contains("signal 9"))
            #expect(program.folder.names.isEmpty)
        }

        /// Whoever reads the events goes after the first: the run stops, as nobody waits for it.
        @Test func aClosedPipeStopsTheRun() throws {
            let program = try Program()
            let script = "{ \"$@\"; echo \"status $?\" >&2; } | head -n 1"
            program.wrapper = ["/bin/sh", "-c", script, "sh"]
            let result = try program.run(Self.request + ["--json", "--steps", "1000", "--output", "a.y4m"])
            #expect(try result.events.count == 1)
            #expect(result.errors.contains("status 74"), "\(result.errors)")
            #expect(result.errors.contains("Standard output cannot be written to (Broken pipe)"), "\(result.errors)")
            #expect(program.folder.names.isEmpty)
        }

        /// A stream that is closed is one that nobody wants: what would be printed goes into no other file.
        @Test(arguments: ["\"$@\" >&-", "\"$@\" 2>&-", "\"$@\" <&- >&- 2>&-"])
        func closedStreamsAreNoFiles(script: String) throws {
            let program = try Program()
            #expect(try program.run(Self.request + ["--output", "right.y4m"]).status == 0)
            program.wrapper = ["/bin/sh", "-c", script, "sh"]
            #expect(try program.run(Self.request + ["--json", "--output", "a.y4m"]).status == 0)
            #expect(try program.bytes("a.y4m") == program.bytes("right.y4m"))
            #expect(program.folder.names == ["a.y4m", "right.y4m"])
        }

        @Test func aFullDiskUnderTheEventsStopsTheRun() throws {
            let program = try Program()
            program.standardOutput = "/dev/full"
            let result = try program.run(Self.request + ["--json", "--output", "a.y4m"])
            #expect(result.status == 74)
            #expect(result.errors.contains("No space left on device"), "\(result.errors)")
            #expect(program.folder.names.isEmpty)
        }

        /// Lists are filters like any other: they end without a word when nobody reads on.
        @Test(arguments: [["models"], ["models", "--json"], ["inspect", Program.model, "--tensors"]])
        func listsEndQuietly(arguments: [String]) throws {
            let program = try Program()
            program.wrapper = ["/bin/sh", "-c", "\"$@\" | head -n 1", "sh"]
            let result = try program.run(arguments)
            #expect(result.status == 0)
            #expect(result.errors.isEmpty)
            #expect(result.output.split(separator: "\n").count == 1)
        }
    }
}
