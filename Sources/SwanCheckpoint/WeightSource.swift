public import SwanDiagnostics
public import SwanTensor

/// What a file says of a tensor, without its values.
public struct TensorInfo: Sendable, Hashable {
    /// The extents, slowest axis first, as PyTorch counts them.
    public let shape: Shape
    /// The element type that the tensor is read in: mostly the stored one, float32 for eight bits with scales.
    public let dtype: DType
    /// The bytes that are read for it.
    public let storedBytes: Int

    /// Notes a shape and a type.
    ///
    /// - Parameters:
    ///   - shape: the extents, slowest axis first.
    ///   - dtype: the element type that the tensor is read in.
    ///   - storedBytes: where they are not those of shape and type.
    public init(_ shape: Shape, _ dtype: DType, storedBytes: Int? = nil) {
        self.shape = shape
        self.dtype = dtype
        self.storedBytes = storedBytes ?? dtype.bytes(elements: shape.count) ?? 0
    }
}

/// A tensor that a file holds and that cannot be read, because `DType` has no case for its type.
public struct UnsupportedTensor: Sendable, Hashable {
    /// The extents, slowest axis first.
    public let shape: Shape
    /// The element type's name in the file's format.
    public let type: String
    /// The bytes it takes in the file.
    public let bytes: Int

    /// Notes a shape, a type's name and a size.
    public init(_ shape: Shape, type: String, bytes: Int) {
        self.shape = shape
        self.type = type
        self.bytes = bytes
    }
}

/// Something that tensors are read from by name: a file, a folder of shards, a merge of both with a
/// LoRA, values in a test. Reading does not change it.
public protocol WeightSource: Sendable {
    /// The names of all tensors, sorted; also of those that ``unsupported(_:)`` knows.
    var names: [String] { get }

    /// Where the weights come from, for messages.
    var origin: String { get }

    /// What the file's writer noted beside the tensors, texts only; empty for most.
    var annotations: [String: String] { get }

    /// The shape and type of a tensor, or nil when there is none of this name that can be read.
    func info(_ name: String) -> TensorInfo?

    /// What there is of this name when its type cannot be read, else nil. Most sources have no such
    /// tensors, and need not say so.
    func unsupported(_ name: String) -> UnsupportedTensor?

    /// The values of a tensor.
    ///
    /// - Throws: `checkpoint.tensor-missing` when there is none of this name; `checkpoint.unsupported`
    ///   when its type cannot be read; the reader's own codes when its bytes cannot be had.
    func tensor(_ name: String) throws(SwanError) -> HostTensor
}

extension WeightSource {
    /// What the file's writer noted beside the tensors.
    public var annotations: [String: String] { [:] }

    /// What there is of this name when its type cannot be read, else nil.
    public func unsupported(_ name: String) -> UnsupportedTensor? { nil }
}

/// Tensors held in memory, by name.
public struct InMemoryWeights: WeightSource {
    private let tensors: [String: HostTensor]
    /// The names of all tensors, sorted.
    public let names: [String]
    /// Where the weights come from, for messages.
    public let origin: String

    /// Takes the tensors and a word about where they come from.
    public init(_ tensors: [String: HostTensor], origin: String = "memory") {
        self.tensors = tensors
        names = tensors.keys.sorted()
        self.origin = origin
    }

    /// The shape and type of a tensor that can be read, or nil.
    public func info(_ name: String) -> TensorInfo? {
        tensors[name].map { TensorInfo($0.shape, $0.dtype) }
    }

    /// The values of a tensor; see ``WeightSource/tensor(_:)`` for what is thrown.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let tensor = tensors[name] else { throw SwanError.tensorMissing(name, in: self) }
        return tensor
    }
}

/// A source seen under other names.
public struct RenamedWeights: WeightSource {
    private let base: any WeightSource
    private let original: [String: String]
    /// The names of all tensors, sorted.
    public let names: [String]
    /// Where the weights come from, for messages.
    public var origin: String { base.origin }
    /// What the file's writer noted beside the tensors.
    public var annotations: [String: String] { base.annotations }

    /// Shows the tensors of `base` under the names that `rename` gives them; those for which it
    /// returns nil keep theirs.
    ///
    /// - Throws: `checkpoint.malformed` when two tensors get one name.
    public init(_ base: any WeightSource, rename: (String) -> String?) throws(SwanError) {
        var original: [String: String] = [:]
        for name in base.names {
            let new = rename(name) ?? name
            if let other = original.updateValue(name, forKey: new) {
                throw SwanError(
                    .malformed,
                    "\(base.origin): '\(other.printable())' and '\(name.printable())' are two names of one tensor, '\(new.printable())'.",
                    advice: "The file mixes two naming schemes: fetch it again or use another.")
            }
        }
        self.base = base
        self.original = original
        names = original.keys.sorted()
    }

    /// The shape and type of a tensor that can be read, or nil.
    public func info(_ name: String) -> TensorInfo? { original[name].flatMap { base.info($0) } }

    /// What there is of this name when its type cannot be read, else nil.
    public func unsupported(_ name: String) -> UnsupportedTensor? { original[name].flatMap { base.unsupported($0) } }

    /// The values of a tensor; see ``WeightSource/tensor(_:)`` for what is thrown.
    public func tensor(_ name: String) throws(SwanError) -> HostTensor {
        guard let original = original[name] else { throw SwanError.tensorMissing(name, in: self) }
        return try base.tensor(original)
    }
}

extension SwanError {
    /// The error for a name that a source cannot give the tensor of: of an unreadable type, or not there.
    ///
    /// - Parameter expected: the shape that was wanted, for the message.
    public static func unavailable(_ name: String, in source: any WeightSource, expected: Shape? = nil) -> SwanError {
        guard let tensor = source.unsupported(name) else { return .tensorMissing(name, in: source, expected: expected) }
        return SwanError(
            .unsupported,
            "\(source.origin): tensor '\(name.printable())' \(tensor.shape) holds \(tensor.type) values, which this version does not read.",
            advice:
                "Use a file in float32, float16, bfloat16, float8, int8 with scales, or a GGUF type from Q2_K to Q8_0 or IQ4."
        )
    }

    /// The error for a name that a source does not have.
    public static func tensorMissing(_ name: String, in source: any WeightSource, expected: Shape? = nil) -> SwanError {
        let shape = expected.map { " (expected \($0))" } ?? ""
        return SwanError(
            .tensorMissing, "\(source.origin) has no tensor '\(name.printable())'\(shape).",
            advice: "Check that every file of the model is there: `swan inspect` lists what it holds.")
    }
}
