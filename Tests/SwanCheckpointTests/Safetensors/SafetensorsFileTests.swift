import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

/// A safetensors file of a header and some bytes of data: 0, 1, 2, …
func safetensors(_ header: String, data: Int) -> [UInt8] {
    littleEndian(UInt64(header.utf8.count)) + Array(header.utf8) + (0 ..< data).map { UInt8(truncatingIfNeeded: $0) }
}

@Suite struct SafetensorsFileTests {
    private func open(_ header: String, data: Int) throws -> SafetensorsFile {
        try SafetensorsFile(HostBytes(safetensors(header, data: data)), origin: "test.safetensors")
    }

    @Test func readsEveryType() throws {
        let file = try SafetensorsFile(path: fixture("types.safetensors"))
        #expect(file.metadata == ["format": "pt", "note": "ä \"quoted\""])
        #expect(file.names.count == 15 && file.names == file.names.sorted())
        try expect(file, "f64", [2], .float64, ramp(2))
        try expect(file, "f32", [2, 3], .float32, ramp(6))
        try expect(file, "f16", [3], .float16, ramp(3))
        try expect(file, "bf16", [3], .bfloat16, ramp(3))
        try expect(
            file, "f8_e4m3", [9], .float8E4M3, [0x1p-9, 7 * 0x1p-9, 0x1p-6, 1, 1.125, 448, .nan, -1, -448])
        try expect(
            file, "f8_e5m2", [8], .float8E5M2, [0x1p-16, 3 * 0x1p-16, 0x1p-14, 1, 1.25, 57344, .infinity, .nan])
        try expect(file, "i64", [2], .int64, [-1, 0x1p40])
        try expect(file, "i32", [2], .int32, [-1, 70000])
        try expect(file, "i16", [2], .int16, [-1, 300])
        try expect(file, "i8", [2], .int8, [-1, 100])
        try expect(file, "u8", [2], .uint8, [0, 200])
        try expect(file, "bool", [3], .bool, [1, 0, 1])
        try expect(file, "scalar", [], .float32, [2.5])
        try expect(file, "empty", [0, 4], .float32, [])
    }

    @Test func namesTheTypeOfATensorItCannotRead() throws {
        let file = try SafetensorsFile(path: fixture("types.safetensors"))
        #expect(file.info("u16") == nil)
        #expect(file.unsupported("u16") == UnsupportedTensor([1], type: "U16", bytes: 2))
        #expect(file.unsupported("f32") == nil)
        try expectError(.unsupported, mentions: ["u16", "U16"]) { try file.tensor("u16") }
        try expectError(.unsupported, mentions: ["U16"]) { try WeightScope(file).tensor("u16", [1]) }
        let renamed = try RenamedWeights(file) { "x." + $0 }
        try expectError(.unsupported, mentions: ["U16"]) { try WeightScope(renamed)["x"].tensor("u16", [1]) }
        try expectError(.tensorMissing, mentions: ["nothing"]) { try file.tensor("nothing") }
    }

    @Test(arguments: [
        ("no tensor", "{}", 0),
        ("metadata only", #"{"__metadata__":{"a":"b"}}"#, 0),
        ("leading space", #"  {"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 2),
        ("trailing spaces", #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}     "#, 2),
        (
            "any order",
            #"{"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]},"a":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}"#,
            5
        ),
        (
            "zero-size tensors between",
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[0],"data_offsets":[1,1]},"c":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},"d":{"dtype":"F32","shape":[2,0],"data_offsets":[2,2]}}"#,
            2
        ),
        ("scalar", #"{"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}}"#, 4),
        ("extra fields", #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2],"more":[{"x":null}]}}"#, 2),
        (
            "unaligned",
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]}}"#,
            5
        ),
        ("sub-byte type", #"{"a":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}"#, 2),
        ("eight axes", #"{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,2],"data_offsets":[0,2]}}"#, 2),
    ])
    func accepts(what: String, header: String, data: Int) throws {
        let file = try open(header, data: data)
        for name in file.names where file.unsupported(name) == nil { _ = try file.tensor(name) }
    }

    @Test(arguments: [
        ("unknown dtype", #"{"a":{"dtype":"F7","shape":[1],"data_offsets":[0,1]}}"#, 1, SwanError.Code.unsupported),
        ("no JSON", "[", 0, .malformed),
        ("no object", "[]", 0, .malformed),
        ("byte order mark", "\u{FEFF}{}", 0, .malformed),
        ("trailing NUL", "{}\0", 0, .malformed),
        ("tensor is no object", #"{"a":1}"#, 0, .malformed),
        ("no dtype", #"{"a":{"shape":[1],"data_offsets":[0,1]}}"#, 1, .malformed),
        ("dtype is a number", #"{"a":{"dtype":1,"shape":[1],"data_offsets":[0,1]}}"#, 1, .malformed),
        ("no shape", #"{"a":{"dtype":"U8","data_offsets":[0,1]}}"#, 1, .malformed),
        ("no offsets", #"{"a":{"dtype":"U8","shape":[1]}}"#, 1, .malformed),
        ("one offset", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}"#, 1, .malformed),
        ("three offsets", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}"#, 1, .malformed),
        ("negative offset", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[-1,0]}}"#, 1, .malformed),
        ("fractional offset", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1.0]}}"#, 1, .malformed),
        ("reversed offsets", #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[1,0]}}"#, 1, .malformed),
        ("negative extent", #"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}}"#, 1, .malformed),
        ("fractional extent", #"{"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}}"#, 1, .malformed),
        ("metadata number", #"{"__metadata__":{"a":1}}"#, 0, .malformed),
        ("metadata text", #"{"__metadata__":"a"}"#, 0, .malformed),
        (
            "product overflows", #"{"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}}"#, 0,
            .malformed
        ),
        ("bits overflow", #"{"a":{"dtype":"F64","shape":[1152921504606846976],"data_offsets":[0,0]}}"#, 0, .malformed),
        (
            "extent beyond 64 bits", #"{"a":{"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,0]}}"#, 0,
            .malformed
        ),
        (
            "end overflows",
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[9223372036854775806,9223372036854775807]}}"#, 1, .malformed
        ),
        ("size does not match", #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4, .malformed),
        ("sub-byte remainder", #"{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}"#, 1, .malformed),
        ("gap before the first", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}"#, 2, .malformed),
        (
            "gap",
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#,
            3, .malformed
        ),
        (
            "overlap",
            #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
            3, .malformed
        ),
        (
            "same range",
            #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#,
            2, .malformed
        ),
        (
            "duplicate key",
            #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#,
            2, .malformed
        ),
        ("data too long", #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 3, .malformed),
        ("data too short", #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 1, .truncated),
        ("data without tensors", "{}", 1, .malformed),
        ("nine axes", #"{"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}}"#, 1, .malformed),
        ("deep nesting", #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":[[[[[[[1]]]]]]]}}"#, 1, .malformed),
        ("NUL in a name", #"{"a\u0000":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1, .malformed),
        ("control character in a name", #"{"\u009bK":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1, .malformed),
        (
            "long name",
            "{\"\(String(repeating: "n", count: 1025))\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
            .malformed
        ),
    ])
    func refuses(what: String, header: String, data: Int, code: SwanError.Code) throws {
        try expectError(code, mentions: ["test.safetensors"]) { try open(header, data: data) }
    }

    @Test func refusesLengthsOfHeaders() throws {
        func open(_ bytes: [UInt8]) throws { _ = try SafetensorsFile(HostBytes(bytes), origin: "test") }
        try expectError(.truncated) { try open([]) }
        try expectError(.truncated) { try open([2, 0, 0, 0, 0, 0, 0]) }
        try expectError(.truncated) { try open(littleEndian(UInt64(3)) + Array("{}".utf8)) }
        try expectError(.malformed) { try open(littleEndian(UInt64(100_000_001)) + Array("{}".utf8)) }
        try expectError(.malformed) { try open(littleEndian(UInt64.max) + Array("{}".utf8)) }
        try expectError(.malformed) { try open(littleEndian(UInt64(0))) }
        try expectError(.malformed) { try open(littleEndian(UInt64(3)) + [0x7B, 0xFF, 0x7D]) }
    }

    @Test func everyTruncationThrows() throws {
        let bytes = try contents(of: "types.safetensors")
        for count in 0 ..< bytes.count {
            try expectError(.truncated) { try SafetensorsFile(HostBytes(Array(bytes[..<count])), origin: "test") }
        }
        let header = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
        let short = Array(safetensors(header, data: 8).dropLast())
        try expectError(.truncated, mentions: ["69 of its 70 bytes"]) {
            try SafetensorsFile(HostBytes(short), origin: "test")
        }
    }
}
