import Foundation
import SwanTestSupport
import Testing

extension CommandTests {
    /// Help, version, catalogue, inspection.
    @Suite struct ListTests {
        private func run(_ arguments: String...) throws -> String {
            let program = try Program()
            let result = try program.run(arguments)
            #expect(result.status == 0, "\(result.errors)")
            #expect(result.errors.isEmpty)
            #expect(program.folder.names.isEmpty)
            return result.output
        }

        private func object<Value>(_ text: String, as type: Value.Type) throws -> Value {
            try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? Value, "\(text)")
        }

        @Test func helpListsCommandsAndOptions() throws {
            let help = try run("--help")
            for command in ["generate", "plan", "inspect", "models", "bench"] {
                #expect(help.contains("  \(command) "))
            }
            #expect(try run() == help)
            let generate = try run("generate", "--help")
            for option in [
                "model", "size", "frames", "fps", "steps", "solver", "shift", "boundary", "guidance", "negative",
                "seed",
                "lora", "lora-high", "lora-low", "preset", "precision", "attention", "device", "memory-limit", "output",
                "prompts", "count", "noise", "save-latents", "latents", "dry-run", "json", "from",
            ] { #expect(generate.contains("--\(option) "), "--\(option)") }
            #expect(generate.split(separator: "\n").allSatisfy { $0.count <= 80 })
            #expect(generate.contains("130 interrupted"))
            #expect(try run("help", "inspect").contains("--tensors"))
        }

        @Test func versionIsANumber() throws {
            #expect(try run("--version").wholeMatch(of: /\d+\.\d+\.\d+\n/) != nil)
        }

        @Test func modelsAreListed() throws {
            let table = try run("models")
            #expect(table.contains("wan2.2-t2v-a14b") && table.contains("Apache-2.0"))
            let models = try object(try run("models", "--json"), as: [[String: Any]].self)
            #expect(models.count > 3 && models.allSatisfy { $0["runs"] is Bool })
            #expect(try run("models", "wan2.2-t2v-a14b").contains("Wan-AI/Wan2.2-T2V-A14B"))
            #expect(try object(try run("models", "wan2.2-t2v-a14b", "--json"), as: [[String: Any]].self).count == 1)
        }

        @Test func inspectionShowsFilesFoldersAndModels() throws {
            let file = try run("inspect", Program.model + "/Wan2.1_VAE.pth")
            #expect(file.contains("Wan2.1 autoencoder") && file.contains("complete"))
            let shards = try run("inspect", Program.model + "/high_noise_model", "--tensors")
            #expect(shards.contains("Wan transformer: width 32") && shards.contains("blocks.0.self_attn.q.weight"))
            let model = try run("inspect", Program.model)
            for part in ["official layout", "high-noise expert", "low-noise expert", "text encoder", "tokenizer"] {
                #expect(model.contains(part))
            }
            let json = try object(try run("inspect", Program.model, "--json"), as: [String: Any].self)
            #expect((json["parts"] as? [Any])?.count == 4 && json["problem"] == nil)
        }

        @Test func aSyntheticBenchPrintsOneObject() throws {
            let call = ["bench", "cpu", "--synthetic", "swan-tiny", "--size", "32x48", "--frames", "5", "--runs", "1"]
            let program = try Program()
            let table = try program.run(call)
            #expect(table.status == 0 && table.errors.isEmpty, "\(table.errors)")
            for word in ["forward ", "decode ", "text ", "swan-tiny with random weights, 32x48", "median of 1 on cpu"] {
                #expect(table.output.contains(word), "\(word): \(table.output)")
            }
            let result = try program.run(call + ["--stages", "forward,pipeline", "--steps", "2", "--json"])
            #expect(result.status == 0 && result.errors.isEmpty, "\(result.errors)")
            let object = try object(result.output, as: [String: Any].self)
            #expect(object["model"] as? String == "swan-tiny" && object["tokens"] as? Int == 2 * 2 * 3)
            #expect((object["start_seconds"] as? Double ?? 0) > 0)
            let stages = try #require(object["stages"] as? [[String: Any]])
            #expect(stages.map { $0["stage"] as? String } == ["forward", "pipeline"])
            #expect((stages[0]["seconds"] as? Double ?? 0) > 0 && stages[0]["peak_bytes"] is Int)
            #expect(stages[1]["forwards"] as? Int == 4 && (stages[1]["parts"] as? [Any])?.isEmpty == false)
            #expect(program.folder.names.isEmpty)
        }

        @Test func aMissingFileIsAnEventInJSON() throws {
            let program = try Program()
            let result = try program.run(["inspect", "nothing", "--json"])
            #expect(result.status == 66)
            #expect(try result.failure?["status"] as? Int == 66)
        }
    }
}
