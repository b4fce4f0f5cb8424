import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct GGUFFileTests {
    @Test func readsWhatThePackageWrites() throws {
        let file = try GGUFFile(path: fixture("types.gguf"))
        #expect(file.names.count == 13 && file.names == file.names.sorted())
        try expect(file, "f32", [2, 3], .float32, ramp(6))
        try expect(file, "f16", [3], .float16, ramp(3))
        try expect(file, "f64", [3], .float64, ramp(3))
        try expect(file, "bf16", [2, 4], .bfloat16, ramp(8))
        try expect(file, "i64", [2], .int64, [-1, 0x1p40])
        try expect(file, "i32", [2], .int32, [-1, 70000])
        try expect(file, "i16", [2], .int16, [-1, 300])
        try expect(file, "i8", [2], .int8, [-1, 100])
        try expect(file, "patch_embedding.weight", [2, 3, 1, 2, 2], .float32, ramp(24))
        try expect(file, "flattened", [2, 4, 8], .float32, ramp(64))
        try expectError(.tensorMissing) { try file.tensor("nothing") }
    }

    @Test func readsQ8Blocks() throws {
        let file = try GGUFFile(path: fixture("types.gguf"))
        let vector = try file.tensor("vector").floats()
        #expect(file.info("vector") == TensorInfo([1, 32], .q80))
        #expect(vector[0 ..< 4] == [5.3125, 7.625, -6.0625, -3.75])
        #expect(vector[16] == -5.6875 && vector[31] == -3)
        #expect(vector.reduce(0, +) == -11)
        #expect(zip(1 ... 32, vector).reduce(0) { $0 + Float($1.0) * $1.1 } == -505)
        // Half a step of the coarsest block, and the rounding of its scale to float16.
        let q8 = try file.tensor("q8_0")
        #expect(q8.shape == [2, 64] && q8.dtype == .q80)
        let tolerance: Float = 63.5 / 127 / 2 + 63.5 * 0x1p-11
        for (found, exact) in zip(try q8.floats(), ramp(128)) {
            #expect(abs(found - exact) <= tolerance)
        }
    }

    @Test func namesTheTypeOfATensorItCannotRead() throws {
        let model = Model(tensors: [("a", [256, 2], 16, 0)], data: 132)
        let file = try GGUFFile(HostBytes(model.bytes), origin: "test.gguf")
        #expect(file.info("a") == nil)
        #expect(file.unsupported("a") == UnsupportedTensor([2, 256], type: "IQ2_XXS", bytes: 132))
        try expectError(.unsupported, mentions: ["'a'", "IQ2_XXS"]) { try file.tensor("a") }
        try expectError(.unsupported, mentions: ["IQ2_XXS"]) { try WeightScope(file).tensor("a", [2, 256]) }
    }

    @Test func readsMetadata() throws {
        let metadata = try GGUFFile(path: fixture("types.gguf")).metadata
        #expect(metadata["general.architecture"] == .string("wan"))
        #expect(metadata["general.quantization_version"] == .integer(2))
        #expect(metadata["tokenizer.ggml.tokens"] == .strings(["<pad>", "</s>", "▁ä", "<0x00>"]))
        #expect(metadata["tokenizer.ggml.scores"] == .floats([0, 0, -1.5, -2.25]))
        #expect(metadata["tokenizer.ggml.token_type"] == .integers([3, 3, 1, 6]))
        #expect(metadata["tokenizer.ggml.add_space_prefix"] == .bool(true))
        #expect(metadata["tokenizer.ggml.eos_token_id"] == .integer(1))
        #expect(metadata["tokenizer.ggml.precompiled_charsmap"] == .bytes([1, 2, 255]))
        #expect(metadata["test.f64"] == .float(0.1))
        #expect(metadata["test.i8"] == .integer(-5))
        #expect(metadata["test.u64"] == .integer(1 << 40))
    }

    @Test func everyTruncationThrows() throws {
        let bytes = try contents(of: "types.gguf")
        // The last tensor takes 34 of the 64 bytes that are written for it.
        for count in 0 ..< bytes.count - 30 {
            try expectError(.truncated) { try GGUFFile(HostBytes(Array(bytes[..<count])), origin: "test") }
        }
        _ = try GGUFFile(HostBytes(Array(bytes.dropLast(30))), origin: "test")
    }
}

private func string(_ string: String) -> [UInt8] { littleEndian(UInt64(string.utf8.count)) + Array(string.utf8) }

/// A GGUF file, each part of which can be made wrong.
private struct Model {
    var magic = Array("GGUF".utf8)
    var version = littleEndian(UInt32(3))
    var tensorCount: UInt64?
    var valueCount: UInt64?
    var values: [[UInt8]] = [string("general.architecture") + littleEndian(UInt32(8)) + string("wan")]
    /// Names, extents (fastest first), types, offsets.
    var tensors: [(name: String, extents: [UInt64], type: UInt32, offset: UInt64)] = [
        ("a", [3, 2], 0, 0), ("b", [4], 24, 32),
    ]
    var alignment = 32
    var data = 36

    var bytes: [UInt8] {
        var bytes = magic + version + littleEndian(tensorCount ?? UInt64(tensors.count))
        bytes += littleEndian(valueCount ?? UInt64(values.count)) + values.flatMap { $0 }
        for tensor in tensors {
            bytes +=
                string(tensor.name) + littleEndian(UInt32(tensor.extents.count))
                + tensor.extents.flatMap { littleEndian($0) }
            bytes += littleEndian(tensor.type) + littleEndian(tensor.offset)
        }
        bytes += [UInt8](repeating: 0, count: (alignment - bytes.count % alignment) % alignment)
        return bytes + [UInt8](repeating: 0, count: data)
    }
}

@Suite struct GGUFHeaderTests {
    private func open(_ change: (inout Model) -> Void) throws -> GGUFFile {
        var model = Model()
        change(&model)
        return try GGUFFile(HostBytes(model.bytes), origin: "test.gguf")
    }

    private static func value(_ key: String, _ type: UInt32, _ bytes: [UInt8]) -> [UInt8] {
        string(key) + littleEndian(type) + bytes
    }

    @Test func acceptsWhatConvertersWrite() throws {
        let value = Self.value
        let cases: [(String, (inout Model) -> Void)] = [
            ("as it is", { _ in }),
            ("version 2", { $0.version = littleEndian(UInt32(2)) }),
            ("nothing", { $0 = Model(values: [], tensors: [], data: 0) }),
            ("more data", { $0.data += 28 }),
            (
                "other order",
                {
                    $0.tensors = [("a", [3, 2], 0, 32), ("b", [4], 24, 0)]; $0.data = 56
                }
            ),
            ("empty tensor", { $0.tensors[1].extents = [4, 0] }),
            ("scalar", { $0.tensors[1].extents = [] }),
            ("empty array", { $0.values.append(value("x", 9, littleEndian(UInt32(4)) + littleEndian(UInt64(0)))) }),
            (
                "alignment 64",
                {
                    $0.values.append(value("general.alignment", 4, littleEndian(UInt32(64))))
                    $0.tensors[1].offset = 64
                    $0.alignment = 64
                    $0.data = 68
                }
            ),
        ]
        for (what, change) in cases {
            let file = try #require(try? open(change), "\(what)")
            for name in file.names { _ = try file.tensor(name) }
        }
    }

    @Test func refusesEverythingElse() throws {
        let value = Self.value
        let shape = { (extents: [Int32]) in
            value(
                "comfy.gguf.orig_shape.a", 9,
                littleEndian(UInt32(5)) + littleEndian(UInt64(extents.count)) + extents.flatMap { littleEndian($0) })
        }
        let cases: [(String, SwanError.Code, (inout Model) -> Void)] = [
            ("magic", .malformed, { $0.magic = Array("GGUG".utf8) }),
            ("version 0", .unsupported, { $0.version = littleEndian(UInt32(0)) }),
            ("version 1", .unsupported, { $0.version = littleEndian(UInt32(1)) }),
            ("version 4", .unsupported, { $0.version = littleEndian(UInt32(4)) }),
            ("big-endian", .unsupported, { $0.version = [0, 0, 0, 3] }),
            ("tensor count", .truncated, { $0.tensorCount = .max }),
            ("value count", .truncated, { $0.valueCount = 1 << 40 }),
            ("one value too many", .truncated, { $0.valueCount = 2 }),
            ("empty key", .malformed, { $0.values.append(value("", 0, [1])) }),
            ("duplicate key", .malformed, { $0.values.append($0.values[0]) }),
            (
                "key longer than the file", .truncated,
                { $0.values = [littleEndian(UInt64.max)] + [[UInt8](repeating: 0, count: 16)] }
            ),
            (
                "key not UTF-8", .malformed,
                { $0.values = [littleEndian(UInt64(1)) + [0xFF] + littleEndian(UInt32(0)) + [1]] }
            ),
            ("unknown value type", .malformed, { $0.values.append(value("x", 13, [0])) }),
            ("Boolean 2", .malformed, { $0.values.append(value("x", 7, [2])) }),
            ("integer beyond 63 bits", .unsupported, { $0.values.append(value("x", 10, littleEndian(UInt64.max))) }),
            (
                "nested array", .unsupported,
                {
                    $0.values.append(
                        value(
                            "x", 9,
                            littleEndian(UInt32(9)) + littleEndian(UInt64(1)) + littleEndian(UInt32(0))
                                + littleEndian(UInt64(0))))
                }
            ),
            (
                "huge array", .malformed,
                { $0.values.append(value("x", 9, littleEndian(UInt32(0)) + littleEndian(UInt64.max))) }
            ),
            (
                "array longer than the file", .truncated,
                { $0.values.append(value("x", 9, littleEndian(UInt32(8)) + littleEndian(UInt64(100)))) }
            ),
            ("alignment 0", .malformed, { $0.values.append(value("general.alignment", 4, littleEndian(UInt32(0)))) }),
            ("alignment 48", .malformed, { $0.values.append(value("general.alignment", 4, littleEndian(UInt32(48)))) }),
            ("alignment text", .malformed, { $0.values.append(value("general.alignment", 8, string("32"))) }),
            ("name twice", .malformed, { $0.tensors[1].name = "a" }),
            ("control character", .malformed, { $0.tensors[1].name = "a\u{7}" }),
            ("long name", .malformed, { $0.tensors[1].name = String(repeating: "n", count: 1025) }),
            ("nine axes", .malformed, { $0.tensors[1].extents = [4] + [UInt64](repeating: 1, count: 8) }),
            ("shape overflows", .malformed, { $0.tensors[1].extents = [1 << 32, 1 << 32] }),
            ("extent beyond 63 bits", .malformed, { $0.tensors[1].extents = [1 << 63] }),
            ("size overflows", .malformed, { $0.tensors[1] = ("b", [1 << 61], 28, 32) }),
            ("unknown type", .unsupported, { $0.tensors[1].type = 4 }),
            ("rows of no whole blocks", .malformed, { $0.tensors[1] = ("b", [33, 32], 8, 32) }),
            ("scalar of blocks", .malformed, { $0.tensors[1] = ("b", [], 8, 32) }),
            ("unaligned", .malformed, { $0.tensors[1].offset = 24 }),
            ("offset overflows", .malformed, { $0.tensors[1].offset = .max - 31 }),
            ("beyond the end", .truncated, { $0.tensors[1].offset = 64 }),
            ("overlap", .malformed, { $0.tensors[1].offset = 0 }),
            ("data too short", .truncated, { $0.data -= 1 }),
            ("original shape of other size", .malformed, { $0.values.append(shape([7])) }),
            ("original shape negative", .malformed, { $0.values.append(shape([-2, -3])) }),
            ("original shape of nine axes", .malformed, { $0.values.append(shape([6, 1, 1, 1, 1, 1, 1, 1, 1])) }),
            (
                "original shape a text", .malformed,
                { $0.values.append(value("comfy.gguf.orig_shape.a", 8, string("6"))) }
            ),
            (
                "original rows of no whole blocks", .malformed,
                {
                    $0.tensors[0] = ("a", [32, 2], 8, 64)
                    $0.values.append(shape([4, 16]))
                    $0.data = 132
                }
            ),
        ]
        for (what, code, change) in cases {
            try expectError(code, mentions: ["test.gguf"], "\(what)") { try open(change) }
        }
    }
}
