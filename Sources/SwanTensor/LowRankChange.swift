import Dispatch
public import SwanDiagnostics

/// A change of a matrix that is kept as two thin ones: `factor * up * down`.
///
/// Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021.
public struct LowRankChange: Sendable {
    /// `[outputs, rank]`, as it is stored.
    public let up: HostTensor
    /// `[rank, inputs]`, as it is stored.
    public let down: HostTensor
    /// Multiplies the product.
    public let factor: Float

    /// The inner extent of the product.
    public var rank: Int { down.shape[0] }

    /// Puts the factors of a product together.
    ///
    /// - Parameters:
    ///   - up: `[outputs, rank]`; further axes of 1 may follow, as behind 1×1 convolutions.
    ///   - down: `[rank, …]`, whose further axes are one.
    ///   - factor: multiplies the product.
    /// - Throws: `tensor.shape-mismatch` where they do not fit each other, `tensor.conversion` for Booleans.
    public init(up: HostTensor, down: HostTensor, factor: Float) throws(SwanError) {
        guard up.shape.rank >= 2, down.shape.rank >= 2, down.shape[0] > 0, up.shape.rowCount == down.shape[0] else {
            throw SwanError(
                .shapeMismatch,
                "Factors of shapes \(up.shape) and \(down.shape) have no product, expected [outputs, rank] and [rank, inputs]."
            )
        }
        guard up.dtype != .bool, down.dtype != .bool else {
            throw SwanError(.conversion, "Factors of type bool are no numbers.")
        }
        self.up = up.reshaped([up.shape[0], down.shape[0]])
        self.down = down.reshaped([down.shape[0], down.shape.rowCount])
        self.factor = factor
    }

    /// Adds the change to `[outputs, inputs]`, in float32, on all processors.
    package func add(to values: UnsafeMutableBufferPointer<Float>) {
        let (rows, columns, rank, factor) = (up.shape[0], down.shape[1], rank, factor)
        precondition(values.count == rows * columns)
        let (outer, inner) = (Self.values(up), Self.values(down))
        // Ten million operations a piece: small layers stay on one processor.
        let pieces = max(1, min(rows, outer.count * columns / 5_000_000))
        outer.withUnsafeBufferPointer { outer in
            inner.withUnsafeBufferPointer { inner in
                // Each piece has rows of its own.
                nonisolated(unsafe) let (values, outer, inner) = (values, outer, inner)
                DispatchQueue.concurrentPerform(iterations: pieces) { piece in
                    ElementFormat.addProduct(
                        outer, inner, rank: rank, factor: factor,
                        rows: piece * rows / pieces ..< (piece + 1) * rows / pieces, to: values)
                }
            }
        }
    }

    /// All values of a factor, which holds numbers.
    private static func values(_ factor: HostTensor) -> [Float] {
        [Float](unsafeUninitializedCapacity: factor.shape.count) { values, count in
            count = factor.shape.count
            if let base = values.baseAddress { factor.copyFloats(0 ..< count, to: base) }
        }
    }
}

extension HostTensor {
    /// The same matrix with a change, which is added to its values in float32 when they are asked for: a float32 tensor
    /// to everybody, whose parts a device that adds them itself takes from ``lowRank``.
    ///
    /// Reading a part of it takes the whole product: `merged` is for whoever reads one part after the other.
    ///
    /// - Parameter change: as large as this tensor seen as `[shape[0], …]`.
    /// - Throws: `tensor.shape-mismatch` for another size, `tensor.conversion` for a Boolean tensor.
    public func adding(_ change: LowRankChange) throws(SwanError) -> HostTensor {
        guard shape.rank >= 2, change.up.shape[0] == shape[0], change.down.shape[1] == shape.rowCount else {
            throw SwanError(
                .shapeMismatch,
                "A change of [\(change.up.shape[0]), \(change.down.shape[1])] does not fit a tensor of shape \(shape).")
        }
        guard dtype != .bool else {
            throw SwanError(.conversion, "A bool tensor of shape \(shape) is no tensor of numbers.")
        }
        guard case .changed(let base, let changes) = contents else {
            return HostTensor(unchecked: shape, .float32, .changed(self, [change]))
        }
        return HostTensor(unchecked: shape, .float32, .changed(base, changes + [change]))
    }

    /// The matrix that was changed, in this tensor's shape, and what is added to it; nil where nothing is.
    public var lowRank: (base: HostTensor, changes: [LowRankChange])? {
        guard case .changed(let base, let changes) = contents else { return nil }
        return (base.reshaped(shape), changes)
    }

    /// The same values, stored: what was ``adding(_:)``-ed is merged now, once.
    package var merged: HostTensor {
        guard case .changed = contents else { return self }
        return HostTensor(unchecked: shape, .float32, .stored(bytes))
    }

    /// The values of a changed matrix: those of the base, to which each change is added in turn.
    static func write(_ base: HostTensor, _ changes: [LowRankChange], to target: UnsafeMutableBufferPointer<Float>) {
        guard let start = target.baseAddress else { return }
        base.copyFloats(0 ..< target.count, to: start)
        for change in changes { change.add(to: target) }
    }

    /// The bytes of a changed matrix, made now.
    static func stored(_ base: HostTensor, _ changes: [LowRankChange]) -> HostBytes {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 4 * base.shape.count, alignment: 64)
        write(base, changes, to: memory.bindMemory(to: Float.self))
        return HostBytes(owning: memory)
    }
}
