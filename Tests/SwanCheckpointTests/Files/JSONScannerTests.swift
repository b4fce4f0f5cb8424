import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

@Suite struct JSONScannerTests {
    private func parse(_ text: String) throws -> JSONValue {
        try JSONScanner.parse(HostBytes(Array(text.utf8)), origin: "test")
    }

    @Test func readsEveryKindOfValue() throws {
        let text =
            #" {"a":[1,-2,0.5,1e-06,-0],"b":{"c":null,"d":true,"e":false},"f":"x\"\\\/\b\f\n\r\t\u00e4\uD83D\uDE00ä","g":{},"h":[]} "#
        #expect(
            try parse(text)
                == .object([
                    "a": .array([.integer(1), .integer(-2), .number(0.5), .number(1e-6), .number(-0.0)]),
                    "b": .object(["c": .null, "d": .bool(true), "e": .bool(false)]),
                    "f": .string("x\"\\/\u{8}\u{C}\n\r\tä😀ä"), "g": .object([:]), "h": .array([]),
                ]))
        #expect(try parse("9223372036854775807") == .integer(.max))
        #expect(try parse("18446744073709551615") == .number(0x1p64))
        #expect(try parse("[[[[[[[1]]]]]]]") != .null)
    }

    @Test(arguments: [
        "", " ", "{", "}", "[", "[1", "[1,", "[1,]", "[1 2]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,",
        "{\"a\":1,}",
        "{a:1}", "{1:1}", "\"", "\"a", "\"\\", "\"\\x\"", "\"\\u12\"", "\"\\u12G4\"", "\"\\uD800\"", "\"\\uD800x\"",
        "\"\\uDC00\"", "\"\\uD800\\u0041\"", "\"\n\"", "01", "-", "+1", ".5", "1.", "1e", "1e+", "1e999", "NaN", "tru",
        "nulll", "1 1", "{} x", "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":2}", "[[[[[[[[1]]]]]]]]", "\u{FEFF}{}",
        "{}\0",
    ])
    func refuses(text: String) throws {
        try expectError(.malformed) { try parse(text) }
    }

    @Test func refusesBytesThatAreNotUTF8() throws {
        for bytes: [UInt8] in [[0x22, 0xFF, 0x22], [0x22, 0xC3, 0x22], [0x22, 0x5C, 0x6E, 0xC0, 0x80, 0x22]] {
            try expectError(.malformed) { try JSONScanner.parse(HostBytes(bytes), origin: "test") }
        }
    }
}
