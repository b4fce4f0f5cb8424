import SwanDiagnostics
import SwanTensor

/// What a pickle may name. Each is a mark for us to act on; nothing that a pickle names is ever run.
enum PickleGlobal: Sendable, Equatable {
    case orderedDict
    case rebuildTensor
    case rebuildTensorWithType
    case rebuildParameter
    /// A class of typed storage.
    case storage(DType)
    /// Storage whose elements are bytes.
    case untypedStorage
    case dtype(DType)

    init?(module: String, name: String) {
        switch (module, name) {
        case ("collections", "OrderedDict"): self = .orderedDict
        case ("torch._utils", "_rebuild_tensor_v2"): self = .rebuildTensor
        case ("torch._utils", "_rebuild_tensor_v3"): self = .rebuildTensorWithType
        case ("torch._utils", "_rebuild_parameter"): self = .rebuildParameter
        case ("torch.storage", "UntypedStorage"): self = .untypedStorage
        case ("torch", "DoubleStorage"): self = .storage(.float64)
        case ("torch", "FloatStorage"): self = .storage(.float32)
        case ("torch", "HalfStorage"): self = .storage(.float16)
        case ("torch", "BFloat16Storage"): self = .storage(.bfloat16)
        case ("torch", "LongStorage"): self = .storage(.int64)
        case ("torch", "IntStorage"): self = .storage(.int32)
        case ("torch", "ShortStorage"): self = .storage(.int16)
        case ("torch", "CharStorage"): self = .storage(.int8)
        case ("torch", "ByteStorage"): self = .storage(.uint8)
        case ("torch", "BoolStorage"): self = .storage(.bool)
        case ("torch", "float64"): self = .dtype(.float64)
        case ("torch", "float32"): self = .dtype(.float32)
        case ("torch", "float16"): self = .dtype(.float16)
        case ("torch", "bfloat16"): self = .dtype(.bfloat16)
        case ("torch", "float8_e4m3fn"): self = .dtype(.float8E4M3)
        case ("torch", "float8_e5m2"): self = .dtype(.float8E5M2)
        case ("torch", "int64"): self = .dtype(.int64)
        case ("torch", "int32"): self = .dtype(.int32)
        case ("torch", "int16"): self = .dtype(.int16)
        case ("torch", "int8"): self = .dtype(.int8)
        case ("torch", "uint8"): self = .dtype(.uint8)
        case ("torch", "bool"): self = .dtype(.bool)
        default: return nil
        }
    }
}

/// The piece of memory that tensors of a pickle lie in.
struct PickleStorage: Sendable {
    /// Element type; nil for bytes.
    let dtype: DType?
    /// The name of the archive's entry below `data/`.
    let key: String
    /// In elements, or bytes.
    let count: Int
}

/// A tensor as a pickle describes it, not yet checked against its storage.
struct PickleTensor: Sendable {
    let storage: PickleStorage
    let dtype: DType
    /// In elements, as the strides.
    let offset: Int
    let extents: [Int]
    let strides: [Int]
}

/// A value of a pickle.
///
/// Containers are numbers into ``PickleReader``'s lists rather than objects, so that neither a cyclic
/// pickle can leak nor a deeply nested one overflow the stack.
enum PickleValue: Sendable {
    case none
    case bool(Bool)
    case integer(Int)
    case float(Double)
    case string(String)
    /// A tuple or list.
    case sequence(Int, isList: Bool)
    case dictionary(Int)
    case global(PickleGlobal)
    case storage(PickleStorage)
    case tensor(PickleTensor)
}

/// An interpreter of the few pickle instructions that a file of tensors needs.
///
/// It builds numbers, texts, containers and descriptions of tensors. Every other instruction, and every
/// name outside ``PickleGlobal``, is refused.
///
/// Source: Python `Lib/pickletools.py` (instructions of protocol 2); PyTorch `torch/_weights_only_unpickler.py`
/// and `torch/serialization.py` `_save` (which of them occur, and the form of a storage).
struct PickleReader {
    /// Longer pickles are refused; a state dict of a thousand tensors takes about 100 kB.
    private static let maximumBytes = 64 << 20
    private static let maximumStack = 1 << 20
    private static let maximumObjects = 4 << 20
    private static let maximumItems = 16 << 20

    private var cursor: ByteCursor
    private var stack: [PickleValue] = []
    /// Heights of the stack.
    private var marks: [Int] = []
    private var memo: [Int: PickleValue] = [:]
    private var items = 0

    /// The elements of tuples and lists.
    private(set) var sequences: [[PickleValue]] = []
    /// The members of dictionaries, in order, keys as they come.
    private(set) var dictionaries: [[(key: PickleValue, value: PickleValue)]] = []

    init(_ bytes: UnsafeRawBufferPointer, origin: String) throws(SwanError) {
        guard bytes.count <= Self.maximumBytes else {
            throw SwanError(
                .malformed,
                "\(origin): a pickle of \(formatted(bytes: bytes.count)), at most \(formatted(bytes: Self.maximumBytes)) are read.",
                advice: "The file holds more than tensors: save its state dict alone.")
        }
        cursor = ByteCursor(bytes, origin: origin)
    }

    /// Runs the pickle and returns what it builds.
    ///
    /// - Throws: `checkpoint.unsupported` for a foreign name, instruction or protocol;
    ///   `checkpoint.malformed` and `checkpoint.truncated` for a damaged pickle.
    mutating func run() throws(SwanError) -> PickleValue {
        guard try cursor.read(UInt8.self, "the pickle") == 0x80 else { throw fault("the pickle has no protocol") }
        let version = try cursor.read(UInt8.self, "the pickle")
        guard version == 2 else {
            throw SwanError(
                .unsupported, "\(cursor.origin): a pickle of protocol \(version), expected 2.",
                advice: "Load the file with PyTorch and save it with the default protocol, best as safetensors.")
        }
        while true {
            let instruction = try cursor.read(UInt8.self, "the pickle")
            if instruction == UInt8(ascii: ".") {
                let value = try pop()
                guard stack.isEmpty, marks.isEmpty else { throw fault("the pickle ends with values left over") }
                return value
            }
            try execute(instruction)
            guard stack.count <= Self.maximumStack, memo.count <= Self.maximumObjects, items <= Self.maximumItems,
                sequences.count + dictionaries.count <= Self.maximumObjects
            else { throw fault("the pickle builds more than a file of tensors needs") }
        }
    }

    private func fault(_ problem: String) -> SwanError {
        SwanError(
            .malformed, "\(cursor.origin): \(problem) (before byte \(cursor.offset)).", advice: SwanError.fetchAgain)
    }

    private mutating func execute(_ instruction: UInt8) throws(SwanError) {
        switch instruction {
        // Values
        case UInt8(ascii: "N"): stack.append(.none)
        case 0x88: stack.append(.bool(true))
        case 0x89: stack.append(.bool(false))
        case UInt8(ascii: "K"): stack.append(.integer(Int(try cursor.read(UInt8.self, "a number"))))
        case UInt8(ascii: "M"): stack.append(.integer(Int(try cursor.read(UInt16.self, "a number"))))
        case UInt8(ascii: "J"): stack.append(.integer(Int(try cursor.read(Int32.self, "a number"))))
        case 0x8A: stack.append(.integer(try long()))
        case UInt8(ascii: "G"):
            stack.append(.float(Double(bitPattern: try cursor.read(UInt64.self, "a number").byteSwapped)))
        case UInt8(ascii: "X"):
            let length = try cursor.read(UInt32.self, "a string")
            stack.append(.string(try cursor.text(bytes: UInt64(length), "a string")))
        case UInt8(ascii: "c"): stack.append(.global(try global()))

        // Containers
        case UInt8(ascii: ")"): pushSequence([], isList: false)
        case UInt8(ascii: "]"): pushSequence([], isList: true)
        case UInt8(ascii: "}"): pushDictionary()
        case 0x85, 0x86, 0x87:
            let count = Int(instruction - 0x84)
            guard stack.count - (marks.last ?? 0) >= count else { throw fault("a tuple lacks elements") }
            let elements = Array(stack.suffix(count))
            stack.removeLast(count)
            pushSequence(elements, isList: false)
        case UInt8(ascii: "("):
            marks.append(stack.count)
            guard marks.count <= Self.maximumStack else { throw fault("too many marks") }
        case UInt8(ascii: "t"): pushSequence(try popToMark(), isList: false)
        case UInt8(ascii: "a"): try append([try pop()])
        case UInt8(ascii: "e"): try append(try popToMark())
        case UInt8(ascii: "s"):
            let value = try pop()
            try set([try pop(), value])
        case UInt8(ascii: "u"): try set(try popToMark())

        // Memory
        case UInt8(ascii: "q"): memo[Int(try cursor.read(UInt8.self, "a memo's number"))] = try top()
        case UInt8(ascii: "r"): memo[Int(try cursor.read(UInt32.self, "a memo's number"))] = try top()
        case UInt8(ascii: "h"): try recall(Int(try cursor.read(UInt8.self, "a memo's number")))
        case UInt8(ascii: "j"): try recall(Int(try cursor.read(UInt32.self, "a memo's number")))

        // Objects
        case UInt8(ascii: "Q"): stack.append(.storage(try storage(try pop())))
        case UInt8(ascii: "R"):
            let arguments = try pop()
            try reduce(try pop(), arguments)
        case UInt8(ascii: "b"):
            _ = try pop()
            guard case .dictionary = try top() else { throw fault("a state is set on something that is no dictionary") }

        default:
            throw SwanError(
                .unsupported,
                "\(cursor.origin): the pickle holds the instruction 0x\(String(instruction, radix: 16)) before byte \(cursor.offset), which no file of tensors needs.",
                advice: "The file is damaged, or it holds more than tensors: save its state dict alone.")
        }
    }

    // MARK: Stack

    /// The value on top, not below the last mark.
    private func top() throws(SwanError) -> PickleValue {
        guard stack.count > (marks.last ?? 0), let value = stack.last else { throw fault("the pickle lacks a value") }
        return value
    }

    private mutating func pop() throws(SwanError) -> PickleValue {
        let value = try top()
        stack.removeLast()
        return value
    }

    private mutating func popToMark() throws(SwanError) -> [PickleValue] {
        guard let mark = marks.popLast() else { throw fault("the pickle lacks a mark") }
        let values = Array(stack[mark...])
        stack.removeLast(values.count)
        return values
    }

    private mutating func pushSequence(_ elements: [PickleValue], isList: Bool) {
        items += elements.count
        sequences.append(elements)
        stack.append(.sequence(sequences.count - 1, isList: isList))
    }

    private mutating func pushDictionary() {
        dictionaries.append([])
        stack.append(.dictionary(dictionaries.count - 1))
    }

    private mutating func append(_ elements: [PickleValue]) throws(SwanError) {
        guard case .sequence(let index, isList: true) = try top() else {
            throw fault("elements for something that is no list")
        }
        items += elements.count
        sequences[index] += elements
    }

    private mutating func set(_ members: [PickleValue]) throws(SwanError) {
        guard case .dictionary(let index) = try top() else {
            throw fault("members for something that is no dictionary")
        }
        guard members.count % 2 == 0 else { throw fault("a key without a value") }
        items += members.count
        for i in stride(from: 0, to: members.count, by: 2) {
            dictionaries[index].append((members[i], members[i + 1]))
        }
    }

    private mutating func recall(_ number: Int) throws(SwanError) {
        guard let value = memo[number] else { throw fault("the memo holds nothing under \(number)") }
        stack.append(value)
    }

    // MARK: Values

    /// A little-endian integer of up to 8 bytes in two's complement.
    private mutating func long() throws(SwanError) -> Int {
        let length = try cursor.read(UInt8.self, "a number")
        guard length <= 8 else { throw fault("a number of \(length) bytes") }
        let bytes = try cursor.read(bytes: UInt64(length), "a number")
        guard let highest = bytes.last else { return 0 }
        let value: UInt64 = highest & 0x80 == 0 ? 0 : ~0
        return Int(Int64(bitPattern: bytes.reversed().reduce(value) { $0 << 8 | UInt64($1) }))
    }

    private mutating func line() throws(SwanError) -> String {
        var bytes: [UInt8] = []
        while bytes.count <= 256 {
            let byte = try cursor.read(UInt8.self, "a name")
            if byte == UInt8(ascii: "\n") { return String(decoding: bytes, as: UTF8.self) }
            bytes.append(byte)
        }
        throw fault("a name without end")
    }

    private mutating func global() throws(SwanError) -> PickleGlobal {
        let module = try line()
        let name = try line()
        guard let global = PickleGlobal(module: module, name: name) else {
            throw SwanError(
                .unsupported,
                "\(cursor.origin): the pickle names '\(module.printable()).\(name.printable())', which no file of plain tensors needs.",
                advice:
                    "Swan never runs what a pickle names. Unless the name explains itself, do not trust the file; else load it with PyTorch and save its state dict, best as safetensors."
            )
        }
        return global
    }

    private func elements(_ value: PickleValue, _ what: String) throws(SwanError) -> [PickleValue] {
        guard case .sequence(let index, isList: false) = value else { throw fault("\(what) is no tuple") }
        return sequences[index]
    }

    private func integers(_ value: PickleValue, _ what: String) throws(SwanError) -> [Int] {
        try elements(value, what).map { (element) throws(SwanError) in
            guard case .integer(let integer) = element else { throw fault("\(what) is no tuple of integers") }
            return integer
        }
    }

    /// The storage that a persistent id `('storage', class, key, location, count)` stands for.
    private func storage(_ id: PickleValue) throws(SwanError) -> PickleStorage {
        let fields = try elements(id, "a persistent id")
        guard fields.count == 5, case .string("storage") = fields[0], case .global(let type) = fields[1],
            case .string(let key) = fields[2], case .integer(let count) = fields[4], count >= 0
        else { throw fault("a persistent id does not describe a storage") }
        switch type {
        case .storage(let dtype): return PickleStorage(dtype: dtype, key: key, count: count)
        case .untypedStorage: return PickleStorage(dtype: nil, key: key, count: count)
        default: throw fault("a persistent id does not name a class of storage")
        }
    }

    /// Applies a global to its arguments.
    private mutating func reduce(_ callee: PickleValue, _ arguments: PickleValue) throws(SwanError) {
        guard case .global(let global) = callee else { throw fault("something is called that is no function") }
        let arguments = try elements(arguments, "an argument list")
        switch global {
        case .orderedDict:
            guard arguments.isEmpty else { throw fault("an OrderedDict is made from arguments") }
            pushDictionary()
        case .rebuildParameter:
            guard arguments.count == 3, case .tensor = arguments[0] else {
                throw fault("a parameter is made from no tensor")
            }
            stack.append(arguments[0])
        case .rebuildTensor:
            guard arguments.count == 6 || arguments.count == 7 else {
                throw fault("a tensor is made from \(arguments.count) arguments")
            }
            try pushTensor(arguments, dtype: nil)
        case .rebuildTensorWithType:
            guard arguments.count == 7 || arguments.count == 8, case .global(.dtype(let dtype)) = arguments[6] else {
                throw fault("a tensor is made from \(arguments.count) arguments, or without a type")
            }
            try pushTensor(arguments, dtype: dtype)
        case .storage, .untypedStorage, .dtype: throw fault("a type is called like a function")
        }
    }

    /// Makes a tensor from `(storage, offset, size, stride, …)`.
    private mutating func pushTensor(_ arguments: [PickleValue], dtype: DType?) throws(SwanError) {
        guard case .storage(let storage) = arguments[0], case .integer(let offset) = arguments[1],
            let dtype = dtype ?? storage.dtype
        else { throw fault("a tensor is made without typed storage and offset") }
        // Before they are copied: a memoised tuple of a million numbers could stand in every tensor.
        for axes in [arguments[2], arguments[3]] {
            let count = try elements(axes, "a tensor's extents").count
            guard count <= maximumRank else {
                throw fault("a tensor has \(count) axes, at most \(maximumRank) are read")
            }
        }
        stack.append(
            .tensor(
                PickleTensor(
                    storage: storage, dtype: dtype, offset: offset,
                    extents: try integers(arguments[2], "a tensor's size"),
                    strides: try integers(arguments[3], "a tensor's stride"))))
    }
}
