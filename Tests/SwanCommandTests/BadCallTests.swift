import Foundation
import SwanTestSupport
import Testing

extension CommandTests {
    /// Calls that end before any work: the exit status, what is said, and that nothing is left behind.
    @Suite struct BadCallTests {
        /// A wrong call. `MODEL` stands for the model's folder, `FIXTURES` for that of all fixtures.
        struct Call: Sendable, CustomTestStringConvertible {
            let arguments: String
            let status: Int32
            let says: [String]
            var testDescription: String { "swan \(arguments)" }

            init(_ arguments: String, _ status: Int32, _ says: String...) {
                (self.arguments, self.status, self.says) = (arguments, status, says)
            }

            /// The words, cut at spaces; `''` is an empty one.
            var words: [String] {
                arguments.split(separator: " ").map {
                    guard $0 != "''" else { return "" }
                    return String($0).replacing("MODEL", with: Program.model)
                        .replacing("FIXTURES", with: Fixture.root)
                }
            }
        }

        static let generate = "generate x --model MODEL --size 64x48 --frames 9 --steps 2"

        static let calls = [
            Call("frobnicate", 64, "frobnicate"),
            Call("generate", 64, "Say what the video shows"),
            Call("generate ''", 64, "The prompt is empty"),
            Call("generate x --bogus", 64, "--bogus"),
            Call("generate x --steps", 64, "Missing value", "--steps"),
            Call("generate x --steps four", 64, "four", "--steps"),
            Call("generate x --seed -1", 64, "seed"),
            Call("generate x --count 0", 64, "--count is 0"),
            Call("generate x --size 64", 64, "64", "--size"),
            Call("generate x --model MODEL --size 65x48 --frames 9", 64, "width of 65", "64 and 80"),
            Call("generate x --model MODEL --size 64x0 --frames 9", 64, "height of 0", "nearest is 16"),
            Call("generate x --model MODEL --size 64x48 --frames 10", 64, "10 frames", "9 and 13"),
            Call("generate x --model MODEL --size 64x48 --frames 9 --steps 0", 64, "0 steps"),
            Call("generate x --model MODEL --size 64x48 --frames 9 --fps 0", 64, "0 frames per second"),
            Call("generate x --model MODEL --frames=-9223372036854775808", 64, "nearest is 1"),
            Call("generate x --model MODEL --frames=9223372036854775807", 64, "nearest is 4093"),
            Call("generate x --model MODEL --solver heun", 64, "heun", "unipc, dpm++, euler"),
            Call("generate x --model MODEL --preset lightning", 64, "needs a LoRA", "--lora-high"),
            Call("generate x --model MODEL --preset lightning --steps 8", 64, "--steps 8", "4 Euler steps"),
            Call("generate x --model MODEL --cache 2", 64, "--cache", "2"),
            Call("\(generate) --cache 0.05", 64, "2 steps", "8 steps or more"),
            Call("generate x --model MODEL --guidance-interval 0.7:0.2", 64, "--guidance-interval"),
            Call("\(generate) --guidance 1 --guidance-interval 0:0.5", 64, "guidance, which is off"),
            Call("generate x --model MODEL --preset thunder", 64, "thunder", "lightning"),
            Call("generate x --model MODEL --precision fp7", 64, "fp7", "auto, fp32, bf16, fp8, int8"),
            Call("plan --precision fp7", 64, "'fp7'", "'fp8' or 'int8'"),
            Call("selftest --precision bf16", 64, "'bf16'", "'fp8' or 'int8'"),
            Call("bench cpu --precision fp8", 64, "--precision needs --synthetic"),
            Call("generate x --model MODEL --attention guess", 64, "guess", "auto, exact"),
            Call("bench cpu --ladder --formats", 64, "exclude each other"),
            Call("bench cpu --ladder --precision fp8", 64, "--ladder and --precision"),
            Call("bench cpu --rungs cache", 64, "--rungs needs --ladder"),
            Call("bench cpu --ladder --rungs cash", 64, "cash", "--rungs"),
            Call("bench cpu --ladder --least-ssim 2", 64, "--least-ssim is 2"),
            Call("bench cpu --ladder --budget soon", 64, "soon", "--budget"),
            Call("bench cpu --scores 0", 64, "--scores is 0"),
            Call("bench cpu --scores 2 --formats", 64, "--scores and --formats"),
            Call("bench cpu --scores 2 --size 64x48", 64, "--scores and --size"),
            Call("bench cpu --scores 2 --most-lost 3", 64, "--most-lost needs --ladder"),
            Call("bench cpu --ladder --most-lost 3", 64, "--most-lost needs --scores"),
            Call("bench cpu --ladder --scores 2 --most-lost 101", 64, "--most-lost is 101"),
            Call("bench cpu --ladder --scores 2 --synthetic swan-tiny", 64, "--scores and --synthetic"),
            Call("bench cpu --scores 2 --model MODEL", 66, "brings no scores", "eval/scorer.safetensors"),
            Call("bench cpu --ladder --scores 2 --model MODEL", 66, "brings no scores"),
            Call("bench cpu --scores 201 --model FIXTURES/../../Models/swan-tiny", 64, "201", "1 to 200"),
            Call(
                "bench cpu --ladder --scores 2 --size 64x48 --model FIXTURES/../../Models/swan-tiny", 64, "64x48",
                "25 of 128x128"),
            Call("bench cpu --ladder --model MODEL --size 65x64", 64, "width of 65"),
            Call("bench cpu --ladder --model MODEL --output FIXTURES", 74, "exists already"),
            Call("tune --model nowhere", 66, "nowhere"),
            Call("tune --model MODEL --runs 0", 64, "--runs is 0"),
            Call("tune --model MODEL --budget 0s", 64, "--budget"),
            Call("generate x --profile best", 64, "best", "--profile"),
            Call("bench cpu --size 64x64", 64, "--size needs --synthetic"),
            Call("bench cpu --formats --precision fp8", 64, "--precision needs --synthetic"),
            Call("bench cpu --loras --formats", 64, "exclude each other"),
            Call("bench cpu --loras --runs 2", 64, "--loras and --runs"),
            Call("bench cpu --ladder --loras", 64, "exclude each other"),
            Call("bench cpu --scores 2 --save-frames f", 64, "--scores and --save-frames"),
            Call("bench cpu --synthetic swan-tiny --preset lightning", 64, "--preset needs the stage pipeline"),
            Call("bench cpu --synthetic swan-tiny --stages decode --steps 4", 64, "--steps needs the stage pipeline"),
            Call("bench cpu --synthetic swan-tiny --save-frames f --stages text", 64, "needs the stage decode"),
            Call("bench cpu --formats --outliers", 64, "--outliers needs --synthetic"),
            Call("bench cpu --formats --save-velocity v", 64, "--save-velocity needs --synthetic"),
            Call("bench cpu --profile-operations", 64, "--profile-operations needs --synthetic"),
            Call("bench cpu --synthetic swan-tiny --model MODEL", 64, "exclude each other"),
            Call("bench cpu --synthetic swan-huge", 64, "'swan-huge'", "t2v-a14b"),
            Call("bench cpu --synthetic swan-tiny --stages forward,backward", 64, "backward", "--stages"),
            Call("bench cpu --synthetic swan-tiny --size 65x64", 64, "width of 65", "64 and 80"),
            Call("bench cpu --synthetic swan-tiny --frames 6", 64, "6 frames", "5 and 9"),
            Call("bench cpu --synthetic swan-tiny --runs 0", 64, "--runs is 0"),
            Call("bench tpu --synthetic swan-tiny", 64, "'tpu'", "'cpu'"),
            Call("bench cpu --synthetic t2v-a14b --stages forward --memory-limit 1GiB", 75, "The plan needs"),
            Call("plan swan-huge", 64, "'swan-huge'", "t2v-a14b"),
            Call("plan wan2.2-i2v-a14b --gpu-memory 24GiB", 64, "no sizes", "'wan2.2-i2v-a14b'"),
            Call("plan --gpu-memory lots", 64, "lots", "--gpu-memory"),
            Call("plan --gpu-memory 8GiB,,24GiB", 64, "8GiB,,24GiB", "--gpu-memory"),
            Call("plan --gpu-memory 24GiB --device cuda:0", 64, "exclude each other"),
            Call("plan --gpu-memory 24GiB --size 65x64", 64, "width of 65", "64 and 80"),
            Call("plan --gpu-memory 24GiB --frames 6", 64, "6 frames", "5 and 9"),
            Call("plan --gpu-memory 24GiB --steps 0", 64, "0 steps"),
            Call("plan --gpu-memory 24GiB --guidance 101", 64, "guidance of 101"),
            Call("plan --guidance 1 --guidance 2 --guidance 3", 64, "3 times", "each expert"),
            Call("plan t2v-1.3b --guidance 1 --guidance 2 --gpu-memory 8GiB", 64, "one transformer", "--guidance"),
            Call("plan --device tpu", 64, "'tpu'", "'cpu'"),
            Call("plan --gpu-memory 2GiB", 75, "The leanest plan needs 5.6 GB of GPU memory", "there are 2.1 GB"),
            Call("plan --gpu-memory 24GiB --memory-limit 2GiB", 75, "needs 5.6 GB", "there are 2.1 GB"),
            Call("plan --gpu-memory 24GiB --host-memory 20MB", 75, "MB of pinned host memory", "20.0 MB are free"),
            Call("plan --gpu-memory 24GiB --size 16384x16384 --frames 4093", 75, "The latents need 549.8 GB"),
            Call("plan --device cpu --host-memory 64GiB", 75, "The plan needs", "68.7 GB are free"),
            Call("\(generate) --device tpu", 64, "'tpu'", "'cpu'"),
            Call("\(generate) --memory-limit lots", 64, "--memory-limit"),
            Call("generate x --prompts x.txt", 64, "--prompts were both given"),
            Call("generate x --seed 1 --noise x", 64, "exclude each other"),
            Call("generate x --latents a --save-latents b", 64, "leave one out"),
            Call("generate x --count 2 --save-latents a", 64, "--save-latents serve one video"),
            Call("\(generate) --lora-high FIXTURES/lora/lightning_low_noise.safetensors", 64, "low-noise", "Swap"),
            Call("\(generate) --output a.avi", 64, "a.avi", ".mp4, .webm, .gif, .y4m, %04d.png"),
            Call("\(generate) --output a.png", 64, "one PNG", "%04d.png"),
            Call("\(generate) --count 2 --output a.y4m", 64, "2 videos", "%04d.mp4"),
            Call("\(generate) --count 2 --output 100%.y4m", 64, "2 videos", "%04d.mp4"),
            Call("\(generate) --output a.y4m --save-latents a.y4m", 64, "and its latents", "a.y4m"),
            Call("\(generate) --lora-high FIXTURES/lora/too_wide.safetensors", 65, "width 48", "made for this model"),
            Call("\(generate) --lora-low FIXTURES/lora/unmatched.safetensors", 65, "image-to-video", "k_img"),
            Call("\(generate) --noise FIXTURES/pipeline/spiece.model", 65, "no known format"),
            Call("\(generate) --noise FIXTURES/lora/peft.safetensors", 65, "'noise'"),
            Call("generate --from FIXTURES/pipeline/spiece.model", 65, "no video"),
            Call("generate --from /dev/null", 65, "a device or a pipe"),
            Call("inspect FIXTURES/pipeline/spiece.model", 65, "no known format"),
            Call("generate --prompts FIXTURES/pipeline/golden.safetensors --model MODEL", 65, "else than text"),
            Call("generate x --model nonsuch", 66, "nonsuch", "`swan models`"),
            Call("generate x --model MODEL/Wan2.1_VAE.pth", 66, "one file", "folder"),
            Call("generate x --model FIXTURES/lora", 66, "incomplete"),
            Call("generate x --model MODEL --base nowhere", 66, "nowhere"),
            Call("generate --from nothing.mp4", 66, "nothing.mp4"),
            Call("generate --prompts nothing.txt --model MODEL", 66, "nothing.txt"),
            Call("\(generate) --noise nothing", 66, "nothing"),
            Call("\(generate) --lora-low nothing", 66, "nothing"),
            Call("\(generate) --output nowhere/a.y4m", 66, "'nowhere'", "Make it"),
            Call("\(generate) --save-latents nowhere/a --output a.y4m", 66, "'nowhere'", "Make it"),
            Call("inspect nothing", 66, "nothing"),
            Call("models nonsuch", 66, "nonsuch"),
            Call("generate x --model wan2.5", 69, "cannot be had", "nearest open model"),
            Call("\(generate) --device cpu --precision bf16", 69, "--precision bf16: cpu computes in fp32", "--device"),
            Call(
                "\(generate) --device cpu --weights pinned", 69, "--weights pinned: cpu computes in host memory", "GPU"),
            Call("\(generate) --attention sage", 69, "--attention sage is not in this version", "auto, exact"),
            Call(
                "\(generate) --device cpu --attention cudnn", 69, "--attention cudnn: cpu has", "'exact' and 'int8'",
                "GPU"),
            // Even root cannot make files in /proc.
            Call("\(generate) --output /proc/a.y4m", 74, "'/proc'", "cannot be written to"),
            Call("\(generate) --save-latents /proc/a --output a.y4m", 74, "'/proc'", "cannot be written to"),
            Call("\(generate) --memory-limit 1MB", 75, "the limit is 1.0 MB", "--memory-limit"),
            Call("generate x --model MODEL --size 16384x16384 --frames 4093 --output a.y4m", 75, "are free"),
        ]

        @Test(arguments: calls)
        func isRefusedWithTheReason(call: Call) throws {
            let program = try Program()
            let plain = try program.run(call.words)
            #expect(plain.status == call.status)
            #expect(plain.errors.contains("error: "))
            #expect(plain.output.isEmpty)
            for text in call.says { #expect(plain.errors.contains(text), "\(plain.errors)") }
            #expect(program.folder.names.isEmpty)
        }

        /// A program that reads events learns the same from the last of them.
        @Test(arguments: calls.filter { $0.arguments != "frobnicate" })
        func isAnEventToo(call: Call) throws {
            let program = try Program()
            let result = try program.run(call.words + ["--json"])
            #expect(result.status == call.status)
            let failure = try #require(try result.failure, "\(result.output)")
            #expect(failure["status"] as? Int == Int(call.status))
            #expect((failure["code"] as? String)?.contains(".") == true)
            let said = "\(failure["message"] ?? "") \(failure["advice"] ?? "")"
            for text in call.says { #expect(said.contains(text) || result.errors.contains(text), "\(said)") }
            #expect(program.folder.names.isEmpty)
        }

        @Test func anExistingFileIsNotOverwritten() throws {
            let program = try Program()
            try Data([7]).write(to: URL(filePath: program.folder.path + "/a"))
            try Data([8]).write(to: URL(filePath: program.folder.path + "/a.y4m"))
            for arguments in [["--output", "a.y4m"], ["--output", "b.y4m", "--save-latents", "a"]] {
                let result = try program.run(["generate", "x"] + Program.small + arguments)
                #expect(result.status == 64)
                #expect(result.errors.contains("exists already"))
            }
            #expect(program.folder.names == ["a", "a.y4m"])
            #expect(try program.bytes("a") == Data([7]))
            #expect(try program.bytes("a.y4m") == Data([8]))
        }

        @Test func anExistingVelocityIsNotOverwritten() throws {
            let program = try Program()
            try Data([7]).write(to: URL(filePath: program.folder.path + "/v"))
            let result = try program.run([
                "bench", "cpu", "--synthetic", "swan-tiny", "--stages", "forward", "--save-velocity", "v",
            ])
            #expect(result.status == 64 && result.errors.contains("exists already"))
            #expect(program.folder.names == ["v"])
            #expect(try program.bytes("v") == Data([7]))
        }

        @Test func latentsOfAnotherShapeAreRefused() throws {
            let program = try Program()
            let saved = ["--output", "a.y4m", "--save-latents", "l.safetensors"]
            #expect(try program.run(["generate", "x"] + Program.small + saved).status == 0)
            let model = ["--model", Program.model, "--output", "b.y4m"]
            let result = try program.run(["generate", "--latents", "l.safetensors", "--size", "64x64"] + model)
            #expect(result.status == 64)
            #expect(result.errors.contains("[16, 3, 6, 8]"))
            // What the advice says works.
            #expect(result.errors.contains("--size 64x48 --frames 9"))
            let right = ["--size", "64x48", "--frames", "9"]
            #expect(try program.run(["generate", "--latents", "l.safetensors"] + right + model).status == 0)
            #expect(program.folder.names == ["a.y4m", "b.y4m", "l.safetensors"])
        }

        @Test func anEmptyFileOfPromptsIsRefused() throws {
            let program = try Program()
            try Data("\n  \n".utf8).write(to: URL(filePath: program.folder.path + "/p"))
            let result = try program.run(["generate", "--prompts", "p"] + Program.small)
            #expect(result.status == 65)
            #expect(result.errors.contains("holds no prompt"))
            #expect(program.folder.names == ["p"])
        }

        /// Without ffmpeg compressed formats are refused before any work, and y4m still works.
        @Test func ffmpegIsLookedForFirst() throws {
            let program = try Program()
            program.environment["PATH"] = "/nothing"
            for output in [["--output", "a.mp4"], ["--output", "f/%04d.png"], []] {
                let result = try program.run(["generate", "x", "--json"] + Program.small + output)
                #expect(result.status == 69)
                #expect(try result.failure?["message"] as? String == "The program 'ffmpeg' was not found.")
                #expect(try result.events.allSatisfy { $0.name != "stage" })
                #expect(result.errors.contains("apt-get install ffmpeg"))
                #expect(program.folder.names.isEmpty)
            }
            #expect(try program.run(["generate", "x", "--output", "a.y4m"] + Program.small).status == 0)
            #expect(program.folder.names == ["a.y4m"])
        }
    }
}
