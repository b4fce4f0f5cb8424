import SwanCheckpoint
import SwanDiagnostics
import SwanModels
import SwanNN
import SwanTensor
import SwanTestSupport
import Testing

/// Guards every operation and index map of the transformer against the official code at a small width,
/// and one block at the published head width.
@Suite struct WanTransformerTests {
    static var tiny: WanConfiguration {
        var config = WanConfiguration(width: 96, feedForward: 192, heads: 3, layers: 2, textWidth: 64)
        config.textTokens = 8
        return config
    }

    @Test(arguments: TestDevice.requested)
    func agreesWithTheOfficialCode(device: TestDevice) throws {
        let backend = try device.open()
        let golden = try Fixture.open("transformer/tiny.safetensors")
        let model = try WanTransformer(Self.tiny, WeightScope(FilledWeights.transformer(Self.tiny)), on: backend)
        let latent = try backend.upload(filledInput("input.x", [16, 3, 4, 6]), as: .float32)
        let text = try model.encode(filledInput("input.context", [5, 64]), on: backend)
        let rope = try model.rotaryTable(for: latent.shape, on: backend)

        let whole = try backend.download(model(latent, timesteps: [937.5], text: text, rope: rope, on: backend))
        let error = Deviation(whole, try golden.tensor("final").floats())
        #expect(error.relative <= 1e-5, "\(error)")

        // A given first frame is clean: its tokens have timestep 0.
        let perFrame = try backend.download(
            model(latent, timesteps: [0, 937.5, 937.5], text: text, rope: rope, on: backend))
        let frameError = Deviation(perFrame, try golden.tensor("final_per_token").floats())
        #expect(frameError.relative <= 1e-5, "\(frameError)")
    }

    /// The values printed in the specification, so that a golden made wrong would show.
    @Test func agreesWithPublishedValues() throws {
        let golden = try Fixture.open("transformer/tiny.safetensors").tensor("final").floats()
        for (index, value) in [(0, -2.095761), (1, -1.047168), (100, -0.141156), (500, -0.495621), (1151, 0.410011)] {
            #expect(abs(Double(golden[index]) - value) < 2e-6)
        }
    }

    /// 18 tokens in 1 or 3 groups: chunks that are parts of a group, whole groups, and as large as all.
    @Test(arguments: TestDevice.requested, [1, 4, 5, 6, 11, 12, 17, 18, 1000])
    func chunksOfTheFeedForwardGiveTheSameBits(device: TestDevice, rows: Int) throws {
        let backend = try device.open()
        let model = try WanTransformer(Self.tiny, WeightScope(FilledWeights.transformer(Self.tiny)), on: backend)
        let latent = try backend.upload(filledInput("input.x", [16, 3, 4, 6]), as: .float32)
        let text = try model.encode(filledInput("input.context", [5, 64]), on: backend)
        let rope = try model.rotaryTable(for: latent.shape, on: backend)
        for timesteps in [[937.5], [0, 500, 937.5]] {
            func velocity(_ rows: Int?) throws -> [UInt32] {
                try backend.download(
                    model(latent, timesteps: timesteps, text: text, rope: rope, feedForwardRows: rows, on: backend)
                ).map(\.bitPattern)
            }
            #expect(try velocity(rows) == velocity(nil), "\(timesteps.count) timesteps")
        }
    }

    /// Eight bits change the velocity by as much as they round, and no layer is left out or rounded twice: int8 rows
    /// are off by 1/254 of their largest value, fp8 numbers by 1/16 of themselves.
    @Test(arguments: TestDevice.requested, EightBitFormat.allCases)
    func eightBitsAreNear(device: TestDevice, format: EightBitFormat) throws {
        let backend = try device.open()
        func velocity(_ format: EightBitFormat?, _ backend: any Backend, rows: Int? = nil) throws -> [Float] {
            let model = try WanTransformer(
                Self.tiny, WeightScope(FilledWeights.transformer(Self.tiny)), as: format, on: backend)
            let latent = try backend.upload(filledInput("input.x", [16, 3, 4, 6]), as: .float32)
            let text = try model.encode(filledInput("input.context", [5, 64]), on: backend)
            let rope = try model.rotaryTable(for: latent.shape, on: backend)
            return try backend.download(
                model(latent, timesteps: [937.5], text: text, rope: rope, feedForwardRows: rows, on: backend))
        }
        let exact = try velocity(nil, backend)
        let found = try velocity(format, backend)
        let error = Deviation(found, exact).relative
        #expect(error < (format == .fp8 ? 0.05 : 0.02) && error > 1e-4, "\(error)")
        #expect(try velocity(format, backend, rows: 5) == found)
        // Every layer of a block is computed so, and nothing outside of blocks.
        let measured = try MeasuredBackend(backend)
        _ = try velocity(format, measured)
        let linears = try measured.takeProfile().entries.filter { $0.kind == .linear }
        let narrow = linears.filter { $0.cost.eightBitOperations > 0 }.reduce(0) { $0 + $1.calls }
        #expect(narrow == 2 * 10 && linears.reduce(0) { $0 + $1.calls } == 2 * 10 + 7)
    }

    @Test func chunksAreEvenAndKeepToTheirGroups() {
        for (tokens, groups) in [(1, 1), (18, 3), (203, 1), (203, 29), (35, 35), (32760, 1), (32760, 21)] {
            for limit in [1, 2, 7, 64, 202, 8192, 100_000] {
                let chunks = TokenChunk.cut(tokens: tokens, groups: groups, limit: limit)
                #expect(chunks.flatMap { Array($0.tokens) } == Array(0 ..< tokens), "\(tokens), \(limit)")
                for chunk in chunks {
                    #expect((1 ... limit).contains(chunk.tokens.count))
                    let isRight = chunk.tokens.enumerated().allSatisfy { place, token in
                        let group = chunk.groups.lowerBound + place / (chunk.tokens.count / chunk.groups.count)
                        return group == token / (tokens / groups)
                    }
                    #expect(isRight, "\(chunk) of \(tokens) tokens in \(groups) groups")
                }
            }
        }
        #expect(TokenChunk.cut(tokens: 32760, groups: 1, limit: 8192).map(\.tokens.count) == [8190, 8190, 8190, 8190])
        #expect(TokenChunk.cut(tokens: 6, groups: 2, limit: nil).map(\.tokens) == [0 ..< 6])
    }

    @Test(arguments: TestDevice.requested)
    func blockAtTheRealHeadWidth(device: TestDevice) throws {
        let backend = try device.open()
        let config = WanConfiguration(width: 256, feedForward: 512, heads: 2, layers: 1, textWidth: 64)
        let block = try WanBlock(config, WeightScope(FilledWeights.transformer(config))["blocks"][0], on: backend)
        let rows = try filledInput("input.block.text", [7, 256]).floats()
        let padding = try filledInput("input.block.padding", [256]).floats()
        // All 505 padding rows at once: the way of the official code.
        let all = rows + (0 ..< 505).flatMap { _ in padding }
        let full = try block.context(
            backend.upload(HostTensor([512, 256], all), as: .float32), padding: 0, on: backend)
        // One row that stands for all of them.
        let short = try block.context(
            backend.upload(HostTensor([8, 256], rows + padding), as: .float32), padding: 505, on: backend)

        let golden = try Fixture.open("transformer/block.safetensors").tensor("out").floats()
        let rope = try RotaryTable.video(TokenGrid(frames: 3, height: 4, width: 5), headWidth: 128, on: backend)
        let input = filledInput("input.block.x", [60, 256])
        let timestep = try backend.upload(filledInput("input.block.e0", [1, 6 * 256]), as: .float32)
        for (text, limit) in [(full, 23), (short, 23), (short, nil)] {
            let x = try backend.upload(input, as: .float32)
            let pending = try block(
                updating: x, adding: nil, timestep: timestep, text: text, rope: rope, feedForwardRows: limit,
                on: backend)
            // Parts of it are added; the whole is left to what comes next.
            #expect((pending == nil) == (limit != nil))
            if let pending { try backend.addGated(pending.branch, gate: pending.gate, to: x) }
            let error = Deviation(try backend.download(x), golden)
            #expect(error.relative <= 1e-5, "\(error)")
        }
    }

    @Test func countsItsParameters() {
        #expect(WanConfiguration.t2v14B.parameters == 14_288_491_584)
        #expect(WanConfiguration.t2v1B.parameters == 1_418_996_800)
        #expect(WanConfiguration.ti2v5B.parameters == 4_999_787_712)
    }

    @Test func readsItsSizesOffTheTensors() throws {
        var expected = Self.tiny
        expected.textTokens = 512
        let source = FilledWeights.transformer(Self.tiny)
        #expect(try WanConfiguration(shapesOf: source, heads: 3) == expected)
        // 96 features are no multiple of 128, so the heads must be said.
        #expect(throws: (any Error).self) { try WanConfiguration(shapesOf: source) }
    }

    @Test(arguments: ["blocks.1.ffn.2.bias", "head.modulation", "blocks.0.norm3.weight"])
    func aMissingTensorIsNamed(name: String) throws {
        let backend = try TestDevice.reference.open()
        let source = Without(FilledWeights.transformer(Self.tiny), name)
        let error = #expect(throws: SwanError.self) {
            try WanTransformer(Self.tiny, WeightScope(source), on: backend)
        }
        #expect(error?.code == .tensorMissing)
        #expect(error?.message.contains(name) == true)
    }

    @Test func anExtraTensorIsNamed() throws {
        let backend = try TestDevice.reference.open()
        let config = Self.tiny
        var bigger = config
        bigger.layers = 3
        let error = #expect(throws: SwanError.self) {
            try WanTransformer(config, WeightScope(FilledWeights.transformer(bigger)), on: backend)
        }
        #expect(error?.code == .tensorsLeftOver)
        #expect(error?.message.contains("blocks.2.") == true)
    }
}
