import Foundation
import SwanTestSupport
import Testing

extension CommandTests {
    /// What a video takes, of models that are not installed and on GPUs that are not there.
    @Suite struct PlanTests {
        private func run(_ arguments: String...) throws -> String {
            let program = try Program()
            let result = try program.run(["plan"] + arguments)
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.errors.isEmpty && program.folder.names.isEmpty)
            return result.output
        }

        private func object(_ text: String) throws -> [String: Any] {
            try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any], "\(text)")
        }

        @Test func oneGPUIsPlannedAsADryRunIs() throws {
            let text = try run("--gpu-memory", "24GiB", "--host-memory", "64GiB")
            for words in [
                "Wan2.2-T2V-A14B: 832x480, 81 frames", "latent [16, 21, 60, 104], 32760 tokens, 80 forwards",
                "high-noise steps: ", " TFLOP", "GB of GPU memory", "streamed from pinned memory but for ",
                "GB of pinned host memory", "feed-forward by 8192 rows", "512 tokens each, the longest",
                "planned for a GPU of 24 GiB (25.8 GB), with 64 GiB (68.7 GB) of host memory",
            ] { #expect(text.contains(words), "\(words): \(text)") }
            #expect(!text.contains("about "), "no times where no rates are known")
            #expect(try run("wan2.2", "--gpu-memory", "24GiB", "--host-memory", "64GiB") == text)
        }

        @Test func severalGPUsAreATable() throws {
            let text = try run("--gpu-memory", "4GiB,12GiB", "--gpu-memory", "80GiB", "--host-memory", "64GiB")
            let rows = text.split(separator: "\n").drop { !$0.hasPrefix("GPU memory") }
            #expect(rows.count == 6)
            for (row, words) in zip(
                rows.dropFirst(), ["4 GiB (4.3 GB) no needs 5.6 GB", "12 GiB (12.9 GB) yes", "80 GiB (85.9 GB) yes"])
            {
                #expect(row.split(separator: " ").joined(separator: " ").hasPrefix(words), "\(row)")
            }
            #expect(text.contains("at once") && text.contains("in GPU memory"))
        }

        /// Weights of the blocks' linear layers have one byte instead of two, on the device as on their way to it.
        @Test(arguments: ["fp8", "int8"]) func eightBitsHalveTheWeights(precision: String) throws {
            func devices(_ more: String...) throws -> [[String: Any]] {
                let program = try Program()
                let asked = ["plan", "--gpu-memory", "12GiB,80GiB", "--host-memory", "64GiB", "--json"]
                let plan = try object(try program.run(asked + more).output)
                #expect(plan["precision"] as? String == more.last)
                return try #require(plan["devices"] as? [[String: Any]])
            }
            let (wide, narrow) = (try devices(), try devices("--precision", precision))
            func bytes(_ device: [String: Any]) -> Int { device["peak_bytes"] as? Int ?? 0 }
            func resident(_ device: [String: Any]) -> Int { device["transformer_resident_layers"] as? Int ?? 0 }
            // 14.05 billion weights of linear layers, of 14.29 in all.
            let saved = bytes(wide[1]) - bytes(narrow[1])
            #expect(saved > 13_800_000_000 && saved < 14_600_000_000, "\(saved)")
            #expect(resident(narrow[0]) >= 2 * resident(wide[0]))
            #expect(narrow[0]["pinned_bytes"] as? Int ?? 0 < 8_000_000_000)
        }

        @Test func theJSONHoldsNumbers() throws {
            let plan = try object(
                try run(
                    "--gpu-memory", "4GiB,12GiB,80GiB", "--host-memory", "64GiB", "--guidance", "1", "--steps", "8",
                    "--json"))
            #expect(plan["model"] as? String == "Wan2.2-T2V-A14B" && plan["prompt_tokens"] as? Int == 512)
            #expect(plan["latent"] as? [Int] == [16, 21, 60, 104] && plan["forwards"] as? Int == 8)
            #expect(plan["host_memory_bytes"] as? Int == 64 << 30 && plan["memory_limit_bytes"] == nil)
            let stages = try #require(plan["stages"] as? [[String: Any]])
            #expect(stages.map { $0["stage"] as? String } == ["text", "high", "low", "decode"])
            // One prompt of 512 tokens: two operations for each of 4.6 billion weights.
            #expect(stages[0]["operations"] as? Double == 4_741_899_747_328)
            let devices = try #require(plan["devices"] as? [[String: Any]])
            #expect(devices.map { $0["memory_bytes"] as? Int } == [4 << 30, 12 << 30, 80 << 30])
            #expect(devices.map { $0["fits"] as? Bool } == [false, true, true] && plan["fits"] as? Bool == true)
            #expect(devices[0]["needed_bytes"] as? Int ?? 0 > 4 << 30 && devices[0]["peak_bytes"] == nil)
            #expect(devices.map { $0["transformer"] as? String } == [nil, "pinned", "device"])
            #expect(devices[1]["transformer_resident_layers"] as? Int ?? 0 > 0)
            let peaks = devices.compactMap { $0["peak_bytes"] as? Int }
            #expect(peaks.count == 2 && peaks[0] <= 12 << 30 && peaks[1] > 28_576_983_168)
            // What waits in host memory, and what everything passes through on its way.
            let pinned = devices.compactMap { $0["pinned_bytes"] as? Int }
            #expect(pinned.count == 2 && pinned[0] > 10_000_000_000 && pinned[1] < 200_000_000)
        }

        /// What is needed is enough, and a byte less is not.
        @Test func whatIsNeededIsEnough() throws {
            let asked = ["plan", "swan-tiny", "--host-memory", "8GiB", "--json", "--gpu-memory"]
            let program = try Program()
            let none = try program.run(asked + ["1MiB,2MiB"])
            #expect(none.status == 75 && none.errors.isEmpty)
            let devices = try #require(try object(none.output)["devices"] as? [[String: Any]])
            let needed = try #require(devices[0]["needed_bytes"] as? Int)
            #expect(devices[1]["needed_bytes"] as? Int == needed)
            #expect(try program.run(asked + ["\(needed)"]).status == 0)
            #expect(try program.run(asked + ["\(needed - 1)"]).status == 75)
        }

        @Test func theCPUIsPlannedInHostMemory() throws {
            let text = try run("t2v-1.3b", "--device", "cpu", "--host-memory", "64GiB")
            for words in ["GB weights", "peak ", "of mapped files", "for the CPU, with 64 GiB (68.7 GB)"] {
                #expect(text.contains(words), "\(words): \(text)")
            }
            let plan = try object(try run("t2v-1.3b", "--device", "cpu", "--host-memory", "64GiB", "--json"))
            let device = try #require((plan["devices"] as? [[String: Any]])?.first)
            #expect(device["device"] as? String == "cpu" && device["peak_bytes"] as? Int ?? 0 > 5_600_000_000)
            #expect(device["memory_bytes"] == nil)
        }

        /// A model that the catalogue calls runnable has sizes to plan with, and its facts say so.
        @Test func everyModelThatRunsCanBePlanned() throws {
            let program = try Program()
            let models = try program.run(["models", "--json"]).output
            let statuses = try #require(
                try JSONSerialization.jsonObject(with: Data(models.utf8)) as? [[String: Any]])
            let names = statuses.filter { $0["runs"] as? Bool == true }
                .compactMap { ($0["model"] as? [String: Any])?["name"] as? String }
            #expect(names.count > 3)
            for name in names {
                #expect(try run(name, "--gpu-memory", "80GiB", "--frames", "5").contains("in GPU memory"))
                #expect(try program.run(["models", name]).output.contains("`swan plan \(name)`"))
            }
        }
    }
}
