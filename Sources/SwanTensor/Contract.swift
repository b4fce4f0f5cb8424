package import SwanDiagnostics

/// Checks one operation's arguments against its contract and words what was found and expected.
///
/// Every backend checks with the same structs (``LinearShapes``, ``ModulateShapes``, …), so that a
/// broken contract gives the same error on each of them, before anything runs.
package struct Contract {
    private let operation: String

    /// Names the operation whose arguments are checked.
    package init(_ operation: String) { self.operation = operation }

    /// Throws `tensor.shape-mismatch` with `problem`, a clause that starts with an argument's name,
    /// unless `condition` holds.
    package func require(_ condition: Bool, _ problem: @autoclosure () -> String) throws(SwanError) {
        guard condition else { throw SwanError(.shapeMismatch, "\(operation): \(problem()).") }
    }

    /// The tensor has exactly this shape.
    package func shape(_ shape: Shape, of name: String, is expected: Shape) throws(SwanError) {
        try require(shape == expected, "\(name) has shape \(shape), expected \(expected)")
    }

    /// The tensor has this many axes, named in `axes`.
    package func rank(_ shape: Shape, of name: String, _ axes: String...) throws(SwanError) {
        try require(
            shape.rank == axes.count, "\(name) has shape \(shape), expected [\(axes.joined(separator: ", "))]")
    }

    /// Every extent of the shape is at least 1.
    package func filled(_ shape: Shape, of name: String) throws(SwanError) {
        try require(shape.count > 0, "\(name) has shape \(shape), which holds no element")
    }

    /// The tensor's elements have one of these types.
    package func type(_ tensor: Tensor, of name: String, _ allowed: DType...) throws(SwanError) {
        try require(
            allowed.contains(tensor.dtype),
            "\(name) has elements of type \(tensor.dtype), expected "
                + Set(allowed.map(\.rawValue)).sorted().joined(separator: " or "))
    }

    /// Two tensors have no byte of memory in common.
    package func apart(_ a: Tensor, _ nameOfA: String, _ b: Tensor, _ nameOfB: String) throws(SwanError) {
        try require(
            a.storage !== b.storage || !a.bytes.overlaps(b.bytes), "\(nameOfA) and \(nameOfB) overlap in memory")
    }

    /// The tensor is a float32 vector of `width` values.
    package func vector(_ tensor: Tensor, of name: String, _ width: Int) throws(SwanError) {
        try type(tensor, of: name, .float32)
        try shape(tensor.shape, of: name, is: [width])
    }

    /// Host weights have a shape and hold real numbers.
    package func weight(_ tensor: HostTensor, of name: String, _ expected: Shape) throws(SwanError) {
        try shape(tensor.shape, of: name, is: expected)
        try require(
            tensor.dtype.isFloatingPoint, "\(name) has elements of type \(tensor.dtype), expected real numbers")
    }
}
