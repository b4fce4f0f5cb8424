import Foundation
import Glibc
import SwanTestSupport
import Testing

extension CommandTests {
    /// Ctrl-C and its relatives: the status is 130, nothing half-written stays, and the message says how to
    /// go on.
    @Suite struct InterruptTests {
        /// Where a run is when it is interrupted.
        enum Moment: String, CaseIterable, Sendable {
            case text, high, low, decode, encode

            /// Whether an event is that moment: stages are told by their beginning, steps by one that is done.
            func isNow(_ event: Program.Event, in stage: String) -> Bool {
                switch self {
                case .text: event.name == "stage" && stage == "text"
                case .high: event.name == "step" && stage == "high" && event["step"] as? Int ?? 0 >= 2
                case .low: event.name == "step" && stage == "low"
                case .decode: event.name == "frames"
                case .encode: event.name == "stage" && stage == "encode"
                }
            }
        }

        private static let long = ["--model", Program.model, "--size", "64x48", "--frames", "33", "--steps", "120"]

        /// Runs until a moment and sends a signal then.
        private func interrupt(
            _ program: Program, _ arguments: [String], at moment: Moment, _ signal: Int32 = SIGINT
        ) throws -> Program.Result {
            var stage = ""
            var isSent = false
            let result = try program.run(["generate", "A cat", "--json"] + arguments) { line, process in
                guard !isSent, let event = try? Program.Event(line) else { return }
                if event.name == "stage" { stage = event.data as? String ?? "" }
                guard moment.isNow(event, in: stage) else { return }
                isSent = true
                // The encoder has its last frames by then.
                if moment == .encode { usleep(300_000) }
                kill(process, signal)
            }
            #expect(isSent, "the run never came to \(moment): \(result.output)")
            return result
        }

        @Test(arguments: Moment.allCases)
        func stopsAndLeavesNothing(moment: Moment) throws {
            let program = try Program()
            // The encoder sits on the last frames, as it does with many large ones.
            let tools = try program.replaceFFmpeg("cat > /dev/null; sleep 60")
            let output = ["--output", moment == .encode ? "a.mp4" : "a.y4m"]
            let steps = moment == .encode || moment == .decode ? ["--steps", "2"] : []
            let result = try interrupt(program, Self.long + steps + output, at: moment)
            withExtendedLifetime(tools) {}
            #expect(result.status == 130, "\(result.errors)")
            #expect(program.folder.names.isEmpty)
            let failure = try #require(try result.failure)
            #expect(failure["code"] as? String == "cancelled")

            // What to type is the same call, with the seed that was drawn.
            let plan = try #require(try result.events.first { $0.name == "plan" })
            let videos = try #require(plan["videos"] as? [[String: Any]])
            let seed = try #require(videos.first?["seed"] as? UInt64)
            #expect(result.errors.contains("swan generate 'A cat' --json"), "\(result.errors)")
            #expect(result.errors.contains("--seed \(seed)"), "\(result.errors)")
        }

        @Test(arguments: [SIGTERM, SIGHUP])
        func politeKillsStopToo(signal: Int32) throws {
            let program = try Program()
            let result = try interrupt(program, Self.long, at: .high, signal)
            #expect(result.status == 130)
            #expect(result.errors.contains("Stopped on request"))
            #expect(program.folder.names.isEmpty)
        }

        /// A run under `nohup` outlives its terminal.
        @Test func anIgnoredHangupStaysIgnored() throws {
            let program = try Program()
            program.wrapper = ["/bin/sh", "-c", "trap '' HUP; exec \"$@\"", "sh"]
            let result = try interrupt(
                program, Self.long + ["--steps", "20", "--output", "a.y4m"], at: .high, SIGHUP)
            #expect(result.status == 0, "\(result.errors)")
            #expect(program.folder.names == ["a.y4m"])
        }

        /// The second Ctrl-C does not wait for the piece of work that the first one waits for: here an
        /// encoder that takes nothing more.
        @Test func theSecondEndsAtOnce() throws {
            let program = try Program()
            let tools = try program.replaceFFmpeg("exec sleep 60")
            let request = ["--model", Program.model, "--size", "256x192", "--frames", "81", "--steps", "1"]
            var isBlocked = false
            let clock = ContinuousClock()
            var sent = clock.now
            let result = try program.run(["generate", "A cat", "--json", "--output", "a.mp4"] + request) {
                line, process in
                // Frames of 147 kB: 8 wait, two or three are in the socket.
                guard !isBlocked, line.contains(#""frames""#), line.contains(#""done":9"#) else { return }
                isBlocked = true
                usleep(2_000_000)
                kill(process, SIGINT)
                usleep(300_000)
                #expect(kill(process, 0) == 0)
                kill(process, SIGINT)
                sent = clock.now
            }
            withExtendedLifetime(tools) {}
            #expect(isBlocked)
            #expect(result.status == 130)
            #expect(clock.now - sent < .seconds(5))
            #expect(!result.errors.contains("Stopped on request"))
            #expect(program.folder.names.isEmpty)
        }

        /// Finished videos of several stay, and the message counts them.
        @Test func finishedVideosAreKept() throws {
            let program = try Program()
            var isSent = false
            let result = try program.run(
                ["generate", "A cat", "--count", "3", "--output", "%d.y4m"] + Program.small
            ) { line, process in
                guard !isSent, line == "0.y4m" else { return }
                isSent = true
                kill(process, SIGINT)
            }
            #expect(result.status == 130)
            let kept = result.output.split(separator: "\n").map(String.init)
            #expect(program.folder.names == kept && (1 ... 2).contains(kept.count))
            #expect(result.errors.contains("\(kept.count) of 3 videos are finished"), "\(result.errors)")
        }

        /// Latents that were saved are where decoding goes on, with the command that the message gives.
        @Test func savedLatentsAreWhereItGoesOn() throws {
            let program = try Program()
            let request = Self.long + ["--steps", "2", "--seed", "5", "--save-latents", "l"]
            let whole = try program.run(["generate", "A cat", "--output", "whole.y4m"] + request)
            #expect(whole.status == 0)
            try FileManager.default.removeItem(atPath: program.folder.path + "/l")

            let result = try interrupt(program, request + ["--output", "a.y4m"], at: .decode)
            #expect(result.status == 130)
            #expect(program.folder.names == ["l", "whole.y4m"])
            let advice = try #require(try result.failure?["advice"] as? String)
            let command = try #require(advice.split(separator: ": swan ", maxSplits: 1).last)
            let words = command.split(separator: " ").map(String.init)
            #expect(
                words.starts(with: ["generate", "--latents", "l", "--size", "64x48", "--frames", "33"]), "\(advice)")
            #expect(try program.run(words).status == 0)
            #expect(try program.bytes("a.y4m") == program.bytes("whole.y4m"))
        }
    }
}
