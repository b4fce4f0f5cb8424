import Foundation
import Glibc
import SwanTestSupport
import Testing

extension CommandTests {
    /// Jobs: the same video as in the foreground, through kills, failures and cancelling; and what is noted of runs.
    @Suite struct JobTests {
        private static let small = Program.small + ["--seed", "7"]
        private static let long = ["--model", Program.model, "--size", "64x48", "--frames", "9", "--seed", "3"]

        private func queue(_ program: Program, _ arguments: [String]) throws -> Int {
            let result = try program.run(["generate"] + arguments + ["--detach"])
            #expect(result.status == 0, "\(result.errors)")
            return try #require(Int(result.output.dropLast()), "\(result.output)")
        }

        private func jobs(_ program: Program, _ arguments: String...) throws -> [Int: [String: Any]] {
            let result = try program.run(["jobs", "--json"] + arguments)
            let all = try #require(
                try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]], "\(result.errors)"
            )
            return Dictionary(uniqueKeysWithValues: all.map { ($0["id"] as? Int ?? 0, $0) })
        }

        /// The numbers of a store's processes whose command line holds a word.
        private func processes(_ program: Program, _ word: String) -> [pid_t] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
            return names.compactMap { pid_t($0) }.filter { number in
                func text(_ name: String) -> String {
                    String(
                        decoding: FileManager.default.contents(atPath: "/proc/\(number)/\(name)") ?? Data(),
                        as: UTF8.self)
                }
                return text("environ").contains("XDG_STATE_HOME=\(program.state.path)")
                    && text("cmdline").split(separator: "\0").contains(Substring(word))
            }
        }

        /// Waits for a step of a job.
        private func wait(_ program: Program, _ job: Int, step: Int) throws {
            for _ in 0 ..< 3000 {
                let path = program.state.path + "/swan/jobs/\(job)/events.jsonl"
                let text = String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
                if text.contains("\"step\":\(step),") { return }
                usleep(10_000)
            }
            Issue.record("job \(job) never came to step \(step)")
        }

        @Test func aJobMakesWhatARunMakes() throws {
            let program = try Program()
            #expect(try program.run(["generate", "A cat", "--output", "run.y4m"] + Self.small).status == 0)
            let id = try queue(program, ["A cat", "--output", "job.y4m"] + Self.small)
            let planned = try program.run(["generate", "A cat", "--output", "./job.y4m"] + Self.small)
            // Unless it is there by now.
            #expect(planned.status == 64, "\(planned.errors)")

            let attached = try program.run(["attach", String(id)])
            #expect(attached.status == 0 && attached.output == "job.y4m\n", "\(attached.errors)")
            for text in ["step 2 of 2", "frame 9 of 9", "total", "seed"] {
                #expect(attached.errors.contains(text), "\(attached.errors)")
            }
            #expect(try program.bytes("job.y4m") == program.bytes("run.y4m"))
            #expect(program.folder.names == ["job.y4m", "run.y4m"])
            // Once more, when it is over; and without a terminal the log says the same.
            let again = try program.run(["attach", String(id)])
            #expect(
                again.errors
                    == attached.errors.split(separator: "\n").filter { !$0.contains(" waits") }.map { $0 + "\n" }
                    .joined())
            let logs = try program.run(["logs", String(id)])
            #expect(logs.output.contains("step 2 of 2") && logs.output.contains("job.y4m"))
            let events = try program.run(["attach", String(id), "--json"]).events
            #expect(events.last?.name == "done")

            let list = try jobs(program, "--all")
            #expect(list[1]?["detached"] as? Bool == false && list[1]?["state"] as? String == "done")
            #expect(list[id]?["detached"] as? Bool == true && list[id]?["state"] as? String == "done")
            #expect(list[id]?["device"] as? String == "cpu")
            #expect(try program.run(["jobs"]).output.contains("job.y4m"))
        }

        /// Killed with its supervisor, as when the machine goes down; then again without it.
        @Test func aKilledJobGoesOn() throws {
            let program = try Program()
            program.environment["SWAN_KEEP_SECONDS"] = "0"
            let arguments = ["A cat", "--steps", "120"] + Self.long
            #expect(try program.run(["generate", "--output", "whole.y4m"] + arguments).status == 0)
            let id = try queue(program, ["--output", "killed.y4m"] + arguments)
            let behind = try queue(program, ["A cat", "--output", "behind.y4m"] + Self.small)
            try wait(program, id, step: 3)
            for word in ["supervise", "work"] { for number in processes(program, word) { kill(number, SIGKILL) } }
            #expect(try jobs(program)[id]?["state"] as? String != "done")
            try wait(program, id, step: 12)
            for number in processes(program, "work") { kill(number, SIGKILL) }

            #expect(try program.run(["attach", String(behind)]).status == 0)
            let list = try jobs(program)
            #expect(list[id]?["state"] as? String == "done")
            #expect((list[id]?["attempts"] as? Int ?? 0) >= 2)
            #expect(try program.bytes("killed.y4m") == program.bytes("whole.y4m"))
            #expect(program.folder.names == ["behind.y4m", "killed.y4m", "whole.y4m"])
            let (first, second) = (list[id]?["ended"] as? Double ?? 0, list[behind]?["ended"] as? Double ?? 0)
            #expect(first > 0 && first <= second, "the order is kept")
            // A step that was done and kept is not done again; the one that was killed may be.
            let log = try program.run(["logs", String(id), "--json"]).events
            #expect(log.count { $0.name == "step" } <= 120 + 4)
            #expect(log.contains { ($0.data as? String)?.contains("goes on behind step") == true })
            #expect(log.count { $0.name == "video" } == 1)
        }

        @Test func aCancelledJobLeavesNothing() throws {
            let program = try Program()
            let id = try queue(program, ["A cat", "--steps", "999", "--output", "a.y4m"] + Self.long)
            let waiting = try queue(program, ["A cat", "--output", "b.y4m"] + Self.small)
            try wait(program, id, step: 2)
            let result = try program.run(["cancel", String(waiting), String(id)])
            #expect(result.status == 0 && result.errors.contains("Job \(id) is cancelled"), "\(result.errors)")
            let list = try jobs(program)
            #expect(list.values.allSatisfy { $0["state"] as? String == "cancelled" })
            #expect(program.folder.names.isEmpty)
            #expect(try program.run(["attach", String(id)]).status == 130)
            #expect(try program.run(["cancel", String(id)]).status == 64)
            #expect(try program.run(["cancel", "99"]).status == 66)
        }

        /// Ctrl-C ends the watching and not the job.
        @Test func detachingLeavesTheJobAlone() throws {
            let program = try Program()
            let id = try queue(program, ["A cat", "--steps", "300", "--output", "a.y4m"] + Self.long)
            var isSent = false
            let result = try program.run(["attach", String(id), "--json"]) { line, process in
                guard !isSent, line.contains("\"step\"") else { return }
                isSent = true
                kill(process, SIGINT)
            }
            #expect(result.status == 130)
            #expect(result.errors.contains("job \(id) goes on"), "\(result.errors)")
            #expect(try program.run(["attach", String(id)]).status == 0)
            #expect(program.folder.names == ["a.y4m"])
        }

        /// One job's failure is its own; with its cause gone it can be tried again.
        @Test func aFailureIsItsJobsOwn() throws {
            let program = try Program()
            let blocker = try queue(program, ["A cat", "--steps", "12", "--output", "first.y4m"] + Self.long)
            try FileManager.default.createDirectory(
                atPath: program.folder.path + "/gone", withIntermediateDirectories: false)
            let failing = try queue(program, ["A cat", "--output", "gone/a.y4m"] + Self.small)
            let behind = try queue(program, ["A cat", "--output", "behind.y4m"] + Self.small)
            try FileManager.default.removeItem(atPath: program.folder.path + "/gone")
            #expect(try program.run(["attach", String(behind)]).status == 0)
            let attached = try program.run(["attach", String(failing), "--json"])
            #expect(attached.status == 66, "\(attached.errors)")
            #expect(try attached.failure?["code"] as? String == "media.folder-missing")
            #expect(try program.run(["logs", String(failing)]).output.contains("error: The folder 'gone'"))

            try FileManager.default.createDirectory(
                atPath: program.folder.path + "/gone", withIntermediateDirectories: false)
            #expect(try program.run(["jobs", "retry", String(failing)]).status == 0)
            #expect(try program.run(["attach", String(failing)]).status == 0)
            #expect(program.folder.names == ["behind.y4m", "first.y4m", "gone"])
            #expect(try program.run(["jobs", "remove", String(blocker)]).status == 0)
            #expect(Set(try jobs(program).keys) == [failing, behind])
        }

        /// What a job needs is decided when it is queued: seeds, prompts, names.
        @Test func aJobIsWhatItWasWhenItWasQueued() throws {
            let program = try Program()
            let prompts = program.folder.path + "/prompts.txt"
            try Data("A cat\nA dog\n".utf8).write(to: URL(filePath: prompts))
            _ = try queue(program, ["A cat", "--steps", "12", "--output", "first.y4m"] + Self.long)
            let id = try queue(program, ["--prompts", "prompts.txt"] + Program.small)
            try Data("A cow\n".utf8).write(to: URL(filePath: prompts))
            #expect(try program.run(["attach", String(id)]).status == 0)
            let names = program.folder.names.filter { $0.hasSuffix(".mp4") }
            #expect(names.count == 2 && names[0].hasPrefix("a-cat-") && names[1].hasPrefix("a-dog-"), "\(names)")
        }

        @Test func wrongCallsQueueNothing() throws {
            let program = try Program()
            for arguments in [
                ["--size", "65x48"], ["--output", "gone/a.mp4"], ["--dry-run"], ["--device", "cuda:9"],
            ] {
                let result = try program.run(["generate", "A cat", "--model", Program.model, "--detach"] + arguments)
                #expect(result.status != 0 && result.output.isEmpty, "\(arguments)")
            }
            #expect(try jobs(program, "--all").isEmpty)
            #expect(try program.run(["jobs", "work", "1"]).status == 64)
        }

        /// A run is made even where it cannot be noted, and that is said; a job is not.
        @Test func aRunNeedsNoStore() throws {
            let program = try Program()
            program.environment["XDG_STATE_HOME"] = "/proc/nowhere"
            let result = try program.run(["generate", "A cat", "--output", "a.y4m"] + Self.small)
            #expect(result.status == 0)
            #expect(result.errors.contains("warning: this run is not noted"), "\(result.errors)")
            #expect(try program.run(["generate", "A cat", "--output", "b.y4m", "--detach"] + Self.small).status == 74)
        }

        /// The report's numbers are those that the runs printed.
        @Test func theReportSaysWhatTheRunsSaid() throws {
            let program = try Program()
            var printed: [[String: Any]] = []
            for steps in ["2", "4"] {
                let result = try program.run(
                    ["generate", "A cat", "--json", "--output", "\(steps).y4m"] + Self.small + ["--steps", steps])
                printed.append(try #require(try result.events.last?.data as? [String: Any]))
            }
            let id = try queue(program, ["A cat", "--output", "job.y4m", "--guidance", "1"] + Self.small)
            let job = try program.run(["attach", String(id), "--json"])
            printed.append(try #require(try job.events.last?.data as? [String: Any]))

            let result = try program.run(["report", "--json"])
            let report = try #require(
                try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any], "\(result.errors)")
            let runs = try #require(report["runs"] as? [[String: Any]])
            #expect(runs.count == 3)
            for (run, said) in zip(runs, printed) {
                #expect(try #require(run["report"] as? NSDictionary) == said as NSDictionary)
            }
            let seconds = printed.map { $0["seconds"] as? Double ?? 0 }
            let ladders = try #require(report["ladders"] as? [[String: Any]])
            #expect(ladders.count == 1)
            let rungs = try #require(ladders[0]["rungs"] as? [[String: Any]])
            for rung in rungs {
                let id = try #require((rung["runs"] as? [Int])?.first)
                #expect(rung["seconds"] as? Double == seconds[id - 1])
                // Read from text, numbers may differ in their last bit.
                let speedUp = seconds[1] / seconds[id - 1]
                #expect(abs((rung["speedUp"] as? Double ?? 0) / speedUp - 1) < 1e-12)
                #expect(rung["isBaseline"] as? Bool == (id == 2))
            }
            // As text: the same numbers as in the table at a run's end.
            let text = try program.run(["report"]).output
            let logs = try program.run(["logs", String(id)]).output
            let total = try #require(logs.split(separator: "\n").first { $0.contains("  total ") })
            let number = total.split(separator: "  ").last?.trimmingCharacters(in: .whitespaces) ?? "?"
            #expect(text.contains("| \(number) |"), "\(number) is not in \(text)")
            #expect(try program.run(["report", "--output", "r.html"]).status == 0)
            #expect(String(decoding: try program.bytes("r.html"), as: UTF8.self).contains("<td>\(number)</td>"))
            #expect(try program.run(["report", "--output", "r.html"]).status == 74)
            #expect(try program.run(["report", "--baseline", "9"]).status == 66)
        }
    }
}
