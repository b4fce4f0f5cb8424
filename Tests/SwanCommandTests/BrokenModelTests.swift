import Foundation
import SwanTestSupport
import Testing

extension CommandTests {
    /// Models that are not whole: found before any weight is read.
    @Suite struct BrokenModelTests {
        /// Something that happens to a copy of a model.
        enum Damage: String, CaseIterable, Sendable {
            case missingPart, missingShard, missingTokenizer, truncatedShard, pointer, emptyFile, swappedExperts
            case twoTextEncoders

            /// The exit status that tells it.
            var status: Int32 {
                switch self {
                case .missingPart, .missingShard, .missingTokenizer, .swappedExperts: 66
                case .truncatedShard, .pointer, .emptyFile: 65
                case .twoTextEncoders: 64
                }
            }

            /// What the message names.
            var says: String {
                switch self {
                case .missingPart: "'low_noise_model' is missing"
                case .missingShard: "00002-of-00002"
                case .missingTokenizer: "tokenizer"
                case .truncatedShard: "00001-of-00002"
                case .pointer: "507"
                case .emptyFile: "is empty"
                case .swappedExperts: "The experts are swapped"
                case .twoTextEncoders: "2 files that are a text encoder"
                }
            }

            func happen(to model: String) throws {
                let files = FileManager.default
                let shard = model + "/low_noise_model/diffusion_pytorch_model-0000"
                let vae = model + "/Wan2.1_VAE.pth"
                switch self {
                case .missingPart: try files.removeItem(atPath: model + "/low_noise_model")
                case .missingShard: try files.removeItem(atPath: shard + "2-of-00002.safetensors")
                case .missingTokenizer: try files.removeItem(atPath: model + "/google")
                case .truncatedShard:
                    let url = URL(filePath: shard + "1-of-00002.safetensors")
                    try Data(contentsOf: url).dropLast(64).write(to: url)
                case .pointer:
                    let id = String(repeating: "a", count: 64)
                    let text = "version https://git-lfs.github.com/spec/v1\noid sha256:\(id)\nsize 507609880\n"
                    try Data(text.utf8).write(to: URL(filePath: vae))
                case .emptyFile: try Data().write(to: URL(filePath: vae))
                case .swappedExperts:
                    try files.removeItem(atPath: model)
                    try files.copyItem(atPath: Fixture.path("pipeline/layouts/lightx2v"), toPath: model)
                    for part in ["models_t5_umt5-xxl-enc-bf16.pth", "Wan2.1_VAE.pth", "google"] {
                        try files.copyItem(atPath: Program.model + "/" + part, toPath: model + "/" + part)
                    }
                    try files.moveItem(atPath: model + "/high_noise_model", toPath: model + "/x")
                    try files.moveItem(atPath: model + "/low_noise_model", toPath: model + "/high_noise_model")
                    try files.moveItem(atPath: model + "/x", toPath: model + "/low_noise_model")
                case .twoTextEncoders:
                    try files.removeItem(atPath: vae)
                    try files.copyItem(atPath: model + "/models_t5_umt5-xxl-enc-bf16.pth", toPath: vae)
                }
            }
        }

        @Test(arguments: Damage.allCases)
        func isRefusedAndInspected(damage: Damage) throws {
            let program = try Program()
            let home = try TemporaryFolder()
            let model = home.path + "/model"
            try home.copy("pipeline/layouts/official", as: "model")
            try damage.happen(to: model)

            let request = ["--model", model, "--size", "64x48", "--frames", "9"]
            let result = try program.run(["generate", "x"] + request)
            #expect(result.status == damage.status, "\(result.errors)")
            #expect(result.errors.contains(damage.says), "\(result.errors)")
            #expect(program.folder.names.isEmpty)

            let inspection = try program.run(["inspect", model, "--json"])
            #expect(inspection.status == damage.status, "\(inspection.errors)")
            let object = try #require(
                try JSONSerialization.jsonObject(with: Data(inspection.output.utf8)) as? [String: Any])
            let problem = try #require(object["problem"] as? [String: Any], "\(inspection.output)")
            #expect((problem["message"] as? String)?.contains(damage.says) == true, "\(problem)")
            #expect(problem["status"] as? Int == Int(damage.status))
            #expect(inspection.errors.contains("error: "))
        }

        @Test func damagedNoiseIsRefused() throws {
            let program = try Program()
            let path = program.folder.path + "/noise"
            let whole = try Data(contentsOf: URL(filePath: Fixture.path("pipeline/golden.safetensors")))
            for damaged in [whole.prefix(5), whole.prefix(200), whole.dropLast(1)] {
                try Data(damaged).write(to: URL(filePath: path))
                let result = try program.run(["generate", "x", "--noise", "noise"] + Program.small)
                #expect(result.status == 65, "\(result.errors)")
                #expect(result.errors.contains("noise"))
            }
            #expect(program.folder.names == ["noise"])
        }
    }
}
