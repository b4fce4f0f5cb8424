/// The extents of a tensor, slowest axis first (row-major).
public struct Shape: Hashable, Sendable, ExpressibleByArrayLiteral, CustomStringConvertible {
    /// The extents, each at least 0.
    public let extents: [Int]
    /// The number of elements: the product of the extents, 1 for a scalar.
    public let count: Int

    /// Makes a shape from extents that the caller vouches for.
    ///
    /// - Precondition: no extent is negative and their product fits an `Int`. Extents that come from
    ///   a file go through ``init(checking:)``.
    public init(_ extents: [Int]) {
        self.extents = extents
        self.count = extents.reduce(1, *)
        precondition(extents.allSatisfy { $0 >= 0 })
    }

    public init(arrayLiteral elements: Int...) { self.init(elements) }

    /// Makes a shape from extents that nobody has checked: nil when one is negative or the product
    /// of the non-zero ones overflows.
    public init?(checking extents: [Int]) {
        var product = 1
        for extent in extents {
            guard extent >= 0 else { return nil }
            // Zeros are left out of the check, so that [0, huge, huge] is refused as well.
            let (next, overflow) = product.multipliedReportingOverflow(by: Swift.max(extent, 1))
            guard !overflow else { return nil }
            product = next
        }
        self.extents = extents
        self.count = extents.contains(0) ? 0 : product
    }

    /// The extent of an axis.
    public subscript(axis: Int) -> Int { extents[axis] }

    /// The number of axes.
    public var rank: Int { extents.count }

    public var description: String { "[" + extents.map(String.init).joined(separator: ", ") + "]" }

    /// Elements per entry of the first axis.
    public var rowCount: Int { extents.isEmpty ? 1 : extents.dropFirst().reduce(1, *) }
}
