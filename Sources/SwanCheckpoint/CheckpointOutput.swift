public import SwanDiagnostics
public import SwanTensor

/// A tensor that is going to be written.
public struct AnnouncedTensor: Sendable, Hashable {
    /// Its name: at most 1024 bytes without control characters.
    public let name: String
    /// The extents, slowest axis first.
    public let shape: Shape
    /// The element type in the file.
    public let dtype: DType

    /// Announces a tensor.
    public init(_ name: String, _ shape: Shape, _ dtype: DType) {
        (self.name, self.shape, self.dtype) = (name, shape, dtype)
    }

    /// The bytes of its values.
    public var bytes: Int { dtype.bytes(elements: shape.count) ?? 0 }
}

/// A checkpoint that is being written: every tensor was announced, and they come one at a time, in any order. What is
/// dropped before it is finished leaves nothing behind.
public protocol CheckpointOutput: AnyObject {
    /// The bytes of all files.
    var bytes: Int { get }

    /// Writes a tensor's values.
    ///
    /// - Throws: `checkpoint.unwritable`; `fault` for a tensor that was not announced like this, or comes twice.
    func put(_ name: String, _ tensor: HostTensor) throws(SwanError)

    /// Makes the checkpoint visible, whole.
    ///
    /// - Throws: `checkpoint.unwritable`, also where something got its name meanwhile; `fault` while announced tensors
    ///   are missing.
    func finish() throws(SwanError)
}

/// Where announced tensors go in a file, and which of them have come.
struct PendingTensors {
    private var places: [String: (tensor: AnnouncedTensor, offset: Int)] = [:]

    /// Checks names and remembers places.
    init(_ tensors: [(tensor: AnnouncedTensor, offset: Int)]) throws(SwanError) {
        for (tensor, offset) in tensors {
            if let problem = nameFault(tensor.name) {
                throw SwanError(.fault, "Tensor '\(tensor.name.printable())' \(problem).")
            }
            guard places.updateValue((tensor, offset), forKey: tensor.name) == nil else {
                throw SwanError(.fault, "Tensor '\(tensor.name.printable())' was announced twice.")
            }
        }
    }

    /// Takes a tensor off the list and says where it goes.
    mutating func take(_ name: String, _ tensor: HostTensor) throws(SwanError) -> Int {
        guard let (announced, offset) = places.removeValue(forKey: name), announced.shape == tensor.shape,
            announced.dtype == tensor.dtype
        else {
            throw SwanError(
                .fault,
                "Tensor '\(name.printable())' \(tensor.shape) of type \(tensor.dtype) was not announced, or came twice."
            )
        }
        return offset
    }

    func requireNone() throws(SwanError) {
        guard let name = places.keys.min() else { return }
        throw SwanError(.fault, "\(places.count) announced tensors did not come, '\(name.printable())' among them.")
    }
}
