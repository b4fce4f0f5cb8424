import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

/// Files of every convention, small enough to be read here: a linear layer `a` of 2 × 4 in eight bits, and a norm.
@Suite struct ScaledWeightsTests {
    /// 1, −1, 448, −448; 2⁻⁹, 7·2⁻⁹, 2⁻⁶, 0 as E4M3.
    private static let e4m3: [UInt8] = [0x38, 0xB8, 0x7E, 0xFE, 0x01, 0x07, 0x08, 0x00]
    private static let values: [Float] = [1, -1, 448, -448, 0x1p-9, 7 * 0x1p-9, 0x1p-6, 0]

    private static func weight(_ dtype: DType = .float8E4M3, _ bytes: [UInt8] = e4m3) throws -> HostTensor {
        try HostTensor([2, 4], dtype, HostBytes(bytes))
    }

    private static func scalar(_ value: Float) -> HostTensor { HostTensor([], [value]) }

    private static func ones(_ shape: Shape) -> HostTensor {
        HostTensor(shape, [Float](repeating: 1, count: shape.count))
    }

    private static func text(_ json: String) throws -> HostTensor {
        try HostTensor([json.utf8.count], .uint8, HostBytes(Array(json.utf8)))
    }

    private static func marker(_ count: Int = 2, _ dtype: DType = .float8E4M3) throws -> HostTensor {
        try HostTensor([count], dtype, HostBytes([UInt8](repeating: 0, count: count * dtype.blockBytes)))
    }

    private func read(
        _ tensors: [String: HostTensor], metadata: [String: String] = [:]
    ) throws -> any WeightSource {
        try withTemporaryFolder { folder in
            let path = folder + "/model.safetensors"
            var tensors = tensors
            tensors["norm.weight"] = HostTensor([2], [1, 2])
            try SafetensorsWriter.write(tensors, metadata: metadata, to: path)
            return try openModelWeights(at: path)
        }
    }

    private func check(
        _ source: any WeightSource, _ convention: ScaleConvention, _ expected: [Float], _ name: String = "a.weight"
    ) throws {
        let scaled = try #require(source as? ScaledWeights)
        #expect(scaled.convention == convention && scaled.scaledCount == 1)
        #expect(source.names == [name, "norm.weight"])
        #expect(source.info(name)?.dtype == .float32 && source.info(name)?.shape == [2, 4])
        let tensor = try source.tensor(name)
        #expect(try tensor.floats() == expected)
        #expect(tensor.quantized != nil)
        #expect(try source.tensor("norm.weight").floats() == [1, 2])
        let scope = WeightScope(source)
        _ = try scope["a"].tensor("weight", [2, 4])
        _ = try scope["norm"].tensor("weight", [2])
        try scope.finish()
    }

    @Test(arguments: [[], [1]] as [Shape]) func comfyMarkerAndItsPrefix(shape: Shape) throws {
        let tensors: [String: HostTensor] = try [
            "model.diffusion_model.a.weight": Self.weight(),
            "model.diffusion_model.a.scale_weight": HostTensor(shape, [0.25]),
            "model.diffusion_model.a.scale_input": Self.scalar(0.5),
            "model.diffusion_model.scaled_fp8": Self.marker(),
            "model.diffusion_model.norm.weight": HostTensor([2], [1, 2]),
        ]
        try withTemporaryFolder { folder in
            try SafetensorsWriter.write(tensors, to: folder + "/x.safetensors")
            let source = try openModelWeights(at: folder + "/x.safetensors")
            #expect(source.names == ["a.weight", "norm.weight"])
            let tensor = try source.tensor("a.weight")
            #expect(try tensor.floats() == Self.values.map { $0 * 0.25 })
            let quantized = try #require(tensor.quantized)
            #expect(quantized.scales == [0.25] && quantized.granularity == .tensor && quantized.inputScale == 0.5)
            #expect(quantized.payload.array == Self.e4m3 && quantized.dtype == .float8E4M3)
        }
    }

    @Test func everyMarkerIsOne() throws {
        let markers = try [
            Self.marker(0), Self.marker(1), Self.marker(2, .float8E5M2), HostTensor([1], [0]),
        ]
        for marker in markers {
            let source = try read([
                "a.weight": Self.weight(), "a.scale_weight": Self.scalar(2), "scaled_fp8": marker,
            ])
            try check(source, .comfyMarker, Self.values.map { $0 * 2 })
        }
        // Kijai's files may have the newer names beside the marker.
        let source = try read([
            "a.weight": Self.weight(), "a.weight_scale": Self.scalar(2), "scaled_fp8": Self.marker(),
        ])
        try check(source, .comfyMarker, Self.values.map { $0 * 2 })
    }

    @Test func comfyMetadataInTensorsAndInNotes() throws {
        let json = #"{"format":"float8_e4m3fn","full_precision_matrix_mult":true}"#
        let inTensor = try read([
            "a.weight": Self.weight(), "a.weight_scale": Self.scalar(3), "a.comfy_quant": Self.text(json),
            "a.input_scale": Self.scalar(1),
        ])
        try check(inTensor, .comfyMetadata, Self.values.map { $0 * 3 })
        // 1 is no calibration.
        #expect(try inTensor.tensor("a.weight").quantized?.inputScale == nil)
        let note = #"{"format_version":"1.0","layers":{"a":{"format":"float8_e4m3fn"}}}"#
        let inNote = try read(
            ["a.weight": Self.weight(), "a.weight_scale": Self.scalar(3)], metadata: ["_quantization_metadata": note])
        try check(inNote, .comfyMetadata, Self.values.map { $0 * 3 })
        // Bytes without a type are what the note says.
        let bytes = try read(
            ["a.weight": Self.weight(.uint8), "a.weight_scale": Self.scalar(3)],
            metadata: ["_quantization_metadata": note])
        try check(bytes, .comfyMetadata, Self.values.map { $0 * 3 })
    }

    @Test func comfyIntegers() throws {
        let integers = (0 ..< 8).map { Float(Int8(bitPattern: Self.e4m3[$0])) }
        for (format, scale, expected) in [
            (#"{"format":"int8_tensorwise"}"#, Self.scalar(2), integers.map { $0 * 2 }),
            (
                #"{"format":"int8_tensorwise","convrot":false}"#, HostTensor([2, 1], [2, 3]),
                integers.enumerated().map { $1 * ($0 < 4 ? 2 : 3) }
            ),
            (
                #"{"format":"int8_blockwise","group_size":2}"#, HostTensor([1, 2], [2, 3]),
                integers.enumerated().map { $1 * ($0 % 4 < 2 ? 2 : 3) }
            ),
        ] {
            let source = try read([
                "a.weight": Self.weight(.int8), "a.weight_scale": scale, "a.comfy_quant": Self.text(format),
            ])
            try check(source, .comfyMetadata, expected)
        }
    }

    @Test(arguments: [[2, 1], [2]] as [Shape]) func lightX2VScalesRows(shape: Shape) throws {
        let source = try read(["a.weight": Self.weight(), "a.weight_scale": HostTensor(shape, [0.5, 3])])
        try check(source, .perRow, Self.values.enumerated().map { $1 * ($0 < 4 ? 0.5 : 3) })
        let integers = try read(["a.weight": Self.weight(.int8), "a.weight_scale": HostTensor(shape, [0.5, 3])])
        let values = Self.e4m3.enumerated().map { Float(Int8(bitPattern: $1)) * ($0 < 4 ? 0.5 : 3) }
        try check(integers, .perRow, values)
    }

    @Test func modelOptScalesTensors() throws {
        let source = try read([
            "a.weight": Self.weight(), "a.weight_scale": Self.scalar(2), "a.input_scale": Self.scalar(0.125),
        ])
        try check(source, .perTensor, Self.values.map { $0 * 2 })
        #expect(try source.tensor("a.weight").quantized?.inputScale == 0.125)
    }

    @Test func fiveExponentBits() throws {
        let bytes: [UInt8] = [0x01, 0x03, 0x04, 0x3C, 0x3D, 0x7B, 0xFB, 0x80]
        let values: [Float] = [0x1p-16, 3 * 0x1p-16, 0x1p-14, 1, 1.25, 57344, -57344, 0]
        let source = try read([
            "a.weight": Self.weight(.float8E5M2, bytes), "a.scale_weight": Self.scalar(2),
            "scaled_fp8": Self.marker(2, .float8E5M2),
        ])
        try check(source, .comfyMarker, values.map { $0 * 2 })
    }

    @Test func codesOfNoNumberStayNone() throws {
        let source = try read([
            "a.weight": Self.weight(.float8E4M3, [0x7F, 0xFF, 0x38, 0, 0, 0, 0, 0]), "a.weight_scale": Self.scalar(2),
        ])
        let found = try source.tensor("a.weight").floats()
        #expect(found[0].isNaN && found[1].isNaN && found[2] == 2)
    }

    /// Float8 without any scale is what it is, and tables of embeddings are in scaled files too.
    @Test func withoutScalesNothingIsMultiplied() throws {
        let plain = try read(["a.weight": Self.weight()])
        #expect(!(plain is ScaledWeights) && plain.info("a.weight")?.dtype == .float8E4M3)
        #expect(try plain.tensor("a.weight").floats() == Self.values)
        let encoder = try read([
            "a.weight": Self.weight(), "a.scale_weight": Self.scalar(2), "scaled_fp8": Self.marker(),
            "shared.weight": Self.weight(),
        ])
        #expect(try encoder.tensor("shared.weight").floats() == Self.values)
        // A full-precision layer with a scale of 1.
        let mixed = try read([
            "a.weight": Self.weight(), "a.scale_weight": Self.scalar(2), "scaled_fp8": Self.marker(),
            "b.weight": HostTensor([1, 2], [3, 4]), "b.scale_weight": Self.scalar(1),
        ])
        #expect(mixed.names == ["a.weight", "b.weight", "norm.weight"])
        #expect(try mixed.tensor("b.weight").floats() == [3, 4])
        #expect(mixed.info("b.weight")?.storedBytes == 8 && mixed.info("a.weight")?.storedBytes == 12)
    }

    /// What `swan inspect` says of the form: scales are counted to the weights that they belong to.
    @Test func reportsSayWhichFormItIs() throws {
        try withTemporaryFolder { folder in
            func format(_ tensors: [String: HostTensor]) throws -> WeightFormat {
                try SafetensorsWriter.write(tensors, to: folder + "/x.safetensors")
                return try CheckpointReport(readingHeadersOf: folder + "/x.safetensors").format
            }
            let rows = try format(["a.weight": Self.weight(), "a.weight_scale": HostTensor([2, 1], [1, 1])])
            #expect(rows.name == "float8E4M3, scales per row" && rows.scales == "scales per row")
            #expect(rows.quantized == 1 && rows.bitsPerWeight == 16)
            let plain = try format(["a.weight": Self.weight(.float8E5M2)])
            #expect(plain.name == "float8E5M2 without scales" && plain.scales == nil && plain.bitsPerWeight == 8)
            let full = try format(["a.weight": HostTensor([2], [1, 2])])
            #expect(full.name == "float32" && full.quantized == 0 && full.bitsPerWeight == 32)
            let gguf = try CheckpointReport(readingHeadersOf: fixture("blocks.gguf")).format
            #expect(gguf.name.hasPrefix("GGUF Q6_K, with ") && gguf.quantized == 12)
        }
    }

    @Test func refusesWhatDoesNotBelongTogether() throws {
        typealias Tensors = [String: HostTensor]
        let fp8 = try Self.weight()
        let cases: [(String, SwanError.Code, [String], Tensors, [String: String])] = try [
            (
                "scaled twice", .scales, ["'a'", "twice"],
                ["a.weight": fp8, "a.scale_weight": Self.scalar(2), "a.weight_scale": Self.scalar(2)], [:]
            ),
            (
                "already multiplied", .scales, ["'a'", "float32", "twice"],
                ["a.weight": HostTensor([2, 4], Self.values), "a.scale_weight": Self.scalar(2)], [:]
            ),
            ("a scale alone", .scales, ["'a'", "no weight"], ["a.scale_weight": Self.scalar(2)], [:]),
            (
                "no scale", .scales, ["'b'", "no scale"],
                ["a.weight": fp8, "a.scale_weight": Self.scalar(2), "b.weight": fp8], [:]
            ),
            ("marker alone", .scales, ["'a'", "no scale"], ["a.weight": fp8, "scaled_fp8": Self.marker()], [:]),
            ("integers alone", .scales, ["'a'", "int8"], ["a.weight": Self.weight(.int8)], [:]),
            ("input alone", .scales, ["'a'"], ["a.weight": fp8, "a.input_scale": Self.scalar(2)], [:]),
            (
                "shape", .scales, ["[3]", "[2, 4]"], ["a.weight": fp8, "a.weight_scale": HostTensor([3], [1, 2, 3])],
                [:]
            ),
            (
                "four bits", .unsupported, ["'a'", "nvfp4"],
                [
                    "a.weight": Self.weight(.uint8), "a.weight_scale": fp8,
                    "a.comfy_quant": Self.text(#"{"format":"nvfp4"}"#),
                ],
                [:]
            ),
            (
                "second scale", .unsupported, ["weight_scale_2"],
                ["a.weight": Self.weight(.uint8), "a.weight_scale": fp8, "a.weight_scale_2": Self.scalar(1)], [:]
            ),
            (
                "rotated", .unsupported, ["'a'", "convrot"],
                [
                    "a.weight": Self.weight(.int8), "a.weight_scale": HostTensor([2, 1], [1, 1]),
                    "a.comfy_quant": Self.text(#"{"format":"int8_tensorwise","convrot":true}"#),
                ], [:]
            ),
            (
                "other type", .scales, ["float8E5M2", "float8E4M3"],
                [
                    "a.weight": fp8, "a.weight_scale": Self.scalar(1),
                    "a.comfy_quant": Self.text(#"{"format":"float8_e5m2"}"#),
                ],
                [:]
            ),
            (
                "two notes", .scales, ["'a'"],
                [
                    "a.weight": fp8, "a.weight_scale": Self.scalar(1),
                    "a.comfy_quant": Self.text(#"{"format":"float8_e5m2"}"#),
                ],
                ["_quantization_metadata": #"{"layers":{"a":{"format":"float8_e4m3fn"}}}"#]
            ),
            (
                "noted, no scale", .scales, ["'a'"], ["a.weight": fp8],
                ["_quantization_metadata": #"{"layers":{"a":{"format":"float8_e4m3fn"}}}"#]
            ),
            ("no layers", .scales, ["_quantization_metadata"], ["a.weight": fp8], ["_quantization_metadata": "{}"]),
            ("no JSON", .malformed, ["_quantization_metadata"], ["a.weight": fp8], ["_quantization_metadata": "{"]),
        ]
        for (what, code, words, tensors, metadata) in cases {
            try expectError(code, mentions: words, what) { try read(tensors, metadata: metadata) }
        }
        // An extent that no arithmetic may be done on.
        let endless = try HostTensor([.max, 0], .float8E4M3, HostBytes([]))
        try expectError(.scales, mentions: ["[3, 3]"]) {
            try read(["a.weight": endless, "a.weight_scale": Self.ones([3, 3])])
        }
        let source = try read(["a.weight": fp8, "a.weight_scale": HostTensor([2], [1, .nan])])
        try expectError(.scales, mentions: ["no number"]) { try source.tensor("a.weight") }
    }
}
