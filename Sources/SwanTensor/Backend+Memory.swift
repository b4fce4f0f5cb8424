public import SwanDiagnostics

/// Tensors in the device's memory, and the way in and out.
public protocol MemoryOps {
    /// The element type of activations: float32 on the CPU.
    var activationType: DType { get }

    /// A tensor whose contents are undefined.
    func allocate(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor

    /// A tensor of zeros.
    func zeros(_ shape: Shape, _ dtype: DType) throws(SwanError) -> Tensor

    /// Copies a host tensor to the device, converted to `dtype` (float32 or the activation type),
    /// rounded to nearest even. Eight-bit numbers can also be copied as they are, to the type they have.
    ///
    /// - Throws: also `tensor.conversion` for Booleans.
    func upload(_ host: HostTensor, as dtype: DType) throws(SwanError) -> Tensor

    /// Waits for `tensor` and returns its values, row-major, as float32.
    func download(_ tensor: Tensor) throws(SwanError) -> [Float]

    /// Copies `source` over `target`: same shape, same type, memory that does not overlap.
    func copy(_ source: Tensor, into target: Tensor) throws(SwanError)

    /// Waits until everything asked so far is done.
    func synchronize() throws(SwanError)
}

extension MemoryOps {
    /// Checks the arguments of ``copy(_:into:)``.
    package func checkCopy(_ source: Tensor, into target: Tensor) throws(SwanError) {
        let contract = Contract("copy")
        try contract.shape(source.shape, of: "source", is: target.shape)
        try contract.require(
            source.dtype == target.dtype,
            "source has elements of type \(source.dtype), expected the target's \(target.dtype)")
        try contract.apart(source, "source", target, "target")
    }

    /// Checks the element type of ``upload(_:as:)``.
    package func checkUpload(_ host: HostTensor, as dtype: DType) throws(SwanError) {
        try Contract("upload").require(
            dtype == .float32 || dtype == activationType || dtype == host.dtype && EightBitFormat(dtype) != nil,
            "the wanted element type is \(dtype), expected float32 or \(activationType)")
    }
}
