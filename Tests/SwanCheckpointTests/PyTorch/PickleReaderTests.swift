import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

private func text(_ string: String) -> [UInt8] {
    [UInt8(ascii: "X")] + littleEndian(UInt32(string.utf8.count)) + Array(string.utf8)
}

private func number(_ number: Int) -> [UInt8] { [0x8A, 8] + littleEndian(number) }

private func global(_ module: String, _ name: String) -> [UInt8] { Array("c\(module)\n\(name)\n".utf8) }

private func tuple(_ elements: [UInt8]...) -> [UInt8] {
    [UInt8(ascii: "(")] + elements.flatMap { $0 } + [UInt8(ascii: "t")]
}

private let orderedDict = global("collections", "OrderedDict") + Array(")R".utf8)
private let protocol2: [UInt8] = [0x80, 2]

/// A tensor, each part of which can be made wrong.
private func tensor(
    type: String = "FloatStorage", key: String = "0", count: Int = 6, offset: Int = 0, size: [Int] = [2, 3],
    stride: [Int] = [3, 1], id: String = "storage"
) -> [UInt8] {
    let storage = tuple(text(id), global("torch", type), text(key), text("cpu"), number(count)) + [UInt8(ascii: "Q")]
    let arguments = tuple(
        storage, number(offset), tuple(size.flatMap(number)), tuple(stride.flatMap(number)), [0x89], orderedDict)
    return global("torch._utils", "_rebuild_tensor_v2") + arguments + [UInt8(ascii: "R")]
}

private func dictionary(_ members: [UInt8]...) -> [UInt8] {
    [UInt8(ascii: "}"), UInt8(ascii: "(")] + members.flatMap { $0 } + [UInt8(ascii: "u")]
}

/// The pickle of `{"w": tensor of 2 x 3 float32 in storage "0"}`.
func tensorPickle() -> [UInt8] { protocol2 + dictionary(text("w"), tensor()) + [UInt8(ascii: ".")] }

@Suite struct PickleReaderTests {
    /// Reads a pickle without its frame; storage "0" has 24 bytes.
    private func read(_ body: [UInt8]) throws -> PyTorchFile {
        try PyTorchFile(pickle: HostBytes(protocol2 + body + [UInt8(ascii: ".")]), origin: "test.pth") { key in
            key == "0" ? HostBytes([UInt8](0 ..< 24)) : nil
        }
    }

    @Test func passesOverWhatIsNoTensor() throws {
        let file = try read(
            dictionary(
                text("w"), tensor(), text("none"), Array("N".utf8), text("bool"), [0x88], text("float"),
                [UInt8(ascii: "G")] + [UInt8](repeating: 1, count: 8), text("list"), Array("](K\u{1}M\u{1}\u{1}e".utf8),
                text("more"), Array("]Na".utf8), text("tuple"), Array("NNN".utf8) + [0x87], [UInt8(ascii: "K"), 7],
                text("int key"),
                text("nested"), dictionary(text("x"), tensor())))
        #expect(file.names == ["w"])
    }

    /// Extents from the memo cost nothing to write and would be copied for each tensor.
    @Test func refusesAMemoisedTupleOfAMillionExtents() throws {
        let ones = [UInt8]((0 ..< 2_000_000).map { $0 % 2 == 0 ? UInt8(ascii: "K") : 1 })
        let long = tuple(ones) + [UInt8(ascii: "q"), 9]
        let storage = tuple(text("storage"), global("torch", "FloatStorage"), text("0"), text("cpu"), number(6))
        func tensor(_ extents: [UInt8]) -> [UInt8] {
            global("torch._utils", "_rebuild_tensor_v2")
                + tuple(storage + [UInt8(ascii: "Q")], number(0), extents, Array("h\u{9}".utf8), [0x89], orderedDict)
                + [UInt8(ascii: "R")]
        }
        let members =
            [text("w0"), tensor(long)] + (1 ..< 1000).flatMap { [text("w\($0)"), tensor(Array("h\u{9}".utf8))] }
        let body = [UInt8(ascii: "}"), UInt8(ascii: "(")] + members.flatMap { $0 } + [UInt8(ascii: "u")]
        try expectError(.malformed, mentions: ["1000000 axes"]) { try read(body) }
    }

    @Test(arguments: ["state_dict", "model", "module"])
    func unwrapsOnce(key: String) throws {
        let inner = dictionary(text("w"), tensor())
        #expect(try read(dictionary(text("epoch"), number(3), text(key), inner)).names == ["w"])
        #expect(try read(dictionary(text(key), dictionary(text(key), inner))).names == [])
        try expectError(.unsupported, mentions: ["'other'"]) { try read(dictionary(text("other"), inner)) }
    }

    @Test func setsTheStateOfAnOrderedDictAside() throws {
        let state = dictionary(text("_metadata"), orderedDict)
        let body =
            orderedDict + [UInt8(ascii: "(")] + text("w") + tensor() + [UInt8(ascii: "u")] + state + [UInt8(ascii: "b")]
        #expect(try read(body).names == ["w"])
        try expectError(.malformed) { try read(dictionary(text("w"), tensor() + state + [UInt8(ascii: "b")])) }
    }

    @Test func readsOddTensors() throws {
        func file(_ tensor: [UInt8]) throws -> PyTorchFile { try read(dictionary(text("w"), tensor)) }
        #expect(
            try file(tensor(type: "ByteStorage", count: 24, offset: 20, size: [4], stride: [1])).tensor("w").bytes.array
                == [20, 21, 22, 23])
        // The stride of an axis of one entry does not matter.
        #expect(
            try file(tensor(type: "ByteStorage", count: 24, size: [1, 4], stride: [999, 1])).tensor("w").bytes.array
                == [0, 1, 2, 3])
        #expect(
            try file(tensor(type: "ByteStorage", count: 24, size: [2, 2], stride: [10, 5])).tensor("w").bytes.array == [
                0, 5, 10, 15,
            ])
        #expect(try file(tensor(size: [0, 5], stride: [7, 9])).tensor("w").shape == [0, 5])
        #expect(try file(tensor(size: [], stride: [])).tensor("w").shape == [])
    }

    @Test func refusesTensorsThatLeaveTheirStorage() throws {
        let cases: [(String, SwanError.Code, [UInt8])] = [
            ("one beyond", .malformed, tensor(offset: 1)),
            ("stride beyond", .malformed, tensor(stride: [4, 1])),
            ("offset beyond", .malformed, tensor(offset: 6, size: [], stride: [])),
            ("negative offset", .malformed, tensor(offset: -1)),
            ("negative extent", .malformed, tensor(size: [-2, 3])),
            ("negative stride", .malformed, tensor(offset: 3, stride: [-3, 1])),
            ("stride overflows", .malformed, tensor(stride: [.max, 1])),
            ("sum overflows", .malformed, tensor(offset: .max)),
            ("extent overflows", .malformed, tensor(size: [.max, .max], stride: [0, 0])),
            ("repeats", .unsupported, tensor(size: [.max], stride: [0])),
            (
                "too many axes", .malformed,
                tensor(size: .init(repeating: 1, count: 9), stride: .init(repeating: 1, count: 9))
            ),
            ("fewer strides", .malformed, tensor(stride: [3])),
            ("storage longer than its bytes", .truncated, tensor(count: 7)),
            ("storage overflows", .truncated, tensor(count: .max)),
            ("negative storage", .malformed, tensor(count: -1)),
            ("no such storage", .malformed, tensor(key: "1")),
            ("no such class", .unsupported, tensor(type: "ComplexFloatStorage")),
            ("a type for a class", .malformed, tensor(type: "float32")),
            ("another persistent id", .malformed, tensor(id: "module")),
        ]
        for (what, code, tensor) in cases {
            try expectError(code, mentions: ["test.pth"], "\(what)") { try read(dictionary(text("w"), tensor)) }
        }
        try expectError(.malformed, mentions: ["twice"]) {
            try read(dictionary(text("w"), tensor(), text("w"), tensor()))
        }
        try expectError(.unsupported) { try read(dictionary(number(1), tensor())) }
        try expectError(.malformed) { try read(dictionary(text("w\n"), tensor())) }
    }

    @Test func refusesEverythingElse() throws {
        let cases: [(String, SwanError.Code, [UInt8])] = [
            ("function", .unsupported, global("builtins", "eval") + tuple(text("1")) + Array("R".utf8)),
            ("torch function", .unsupported, global("torch", "load")),
            ("name without end", .malformed, [UInt8(ascii: "c")] + [UInt8](repeating: 0x61, count: 1000)),
            ("NEWOBJ", .unsupported, global("collections", "OrderedDict") + [0x29, 0x81]),
            ("INST", .unsupported, Array("(iposix\nsystem\n".utf8)),
            ("STACK_GLOBAL", .unsupported, text("posix") + text("system") + [0x93]),
            ("BINSTRING", .unsupported, Array("U\u{1}a".utf8)),
            ("POP", .unsupported, Array("N0".utf8)),
            ("nothing on the stack", .malformed, []),
            ("two values", .malformed, Array("NN".utf8)),
            ("a mark left", .malformed, Array("N(N".utf8)),
            ("no mark", .malformed, Array("Nt".utf8)),
            ("tuple below a mark", .malformed, Array("N(".utf8) + [0x85]),
            ("empty tuple of one", .malformed, [0x85]),
            ("memo of nothing", .malformed, Array("q\u{0}".utf8)),
            ("nothing in the memo", .malformed, Array("h\u{5}".utf8)),
            ("append to a tuple", .malformed, Array(")Na".utf8)),
            ("set on a list", .malformed, Array("]NNs".utf8)),
            ("odd members", .malformed, Array("}(Nu".utf8)),
            ("long integer", .malformed, [0x8A, 9] + [UInt8](repeating: 1, count: 9)),
            ("string not UTF-8", .malformed, [UInt8(ascii: "X")] + littleEndian(UInt32(1)) + [0xFF]),
            ("call of a number", .malformed, number(1) + Array(")R".utf8)),
            ("arguments are no tuple", .malformed, global("collections", "OrderedDict") + Array("]R".utf8)),
            ("call of a class", .malformed, global("torch", "FloatStorage") + Array(")R".utf8)),
            (
                "OrderedDict of something", .malformed,
                global("collections", "OrderedDict") + tuple(Array("]".utf8)) + Array("R".utf8)
            ),
            ("parameter of nothing", .malformed, global("torch._utils", "_rebuild_parameter") + Array(")R".utf8)),
            ("tensor of nothing", .malformed, global("torch._utils", "_rebuild_tensor_v2") + Array(")R".utf8)),
            ("tensor of typeless nothing", .malformed, global("torch._utils", "_rebuild_tensor_v3") + Array(")R".utf8)),
            ("persistent id is a number", .malformed, number(1) + Array("Q".utf8)),
            ("a list at the root", .unsupported, Array("]".utf8)),
        ]
        for (what, code, body) in cases {
            try expectError(code, mentions: ["test.pth"], "\(what)") { try read(body) }
        }
        for version in [UInt8(0), 1, 3, 4, 5] {
            try expectError(.unsupported, mentions: ["protocol \(version)"]) {
                try PyTorchFile(pickle: HostBytes([0x80, version, 0x7D, 0x2E]), origin: "test") { _ in nil }
            }
        }
        try expectError(.malformed) { try PyTorchFile(pickle: HostBytes([0x7D, 0x2E]), origin: "test") { _ in nil } }
    }

    @Test func readsIntegersOfEveryLength() throws {
        // As extents: a wrong sign or byte order does not give a tensor of 2 x 3.
        for two: [UInt8] in [[0x8A, 1, 2], [0x8A, 3, 2, 0, 0], [0x4A, 2, 0, 0, 0], [0x4B, 2], [0x4D, 2, 0]] {
            let size = tuple(two, [0x4B, 3])
            let plain = tuple([2, 3].flatMap(number))
            var pickle = tensorPickle()
            let place = try #require(pickle.firstRange(of: plain))
            pickle.replaceSubrange(place, with: size)
            let file = try PyTorchFile(pickle: HostBytes(pickle), origin: "test") { _ in
                HostBytes([UInt8](repeating: 0, count: 24))
            }
            #expect(file.info("w")?.shape == [2, 3])
        }
        try expectError(.malformed, mentions: ["negative"]) {
            try read(dictionary(text("w"), tensor(size: [-256, 3])))
        }
    }

    @Test func neitherDepthNorCyclesNorSizeDoHarm() throws {
        // A million tuples within each other, then a list within itself.
        try expectError(.unsupported) { try read([UInt8(ascii: "N")] + [UInt8](repeating: 0x85, count: 1_000_000)) }
        try expectError(.unsupported) { try read(Array("]q\u{0}h\u{0}a".utf8)) }
        try expectError(.malformed, mentions: ["more than"]) {
            try read([UInt8](repeating: UInt8(ascii: "N"), count: 1 << 21))
        }
        try expectError(.malformed, mentions: ["more than"]) {
            try read([UInt8](repeating: UInt8(ascii: "}"), count: 5 << 20))
        }
        try expectError(.malformed, mentions: ["marks"]) {
            try read([UInt8](repeating: UInt8(ascii: "("), count: 1 << 21))
        }
    }
}
