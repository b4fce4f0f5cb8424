/// How far a piece of memory is filled.
package struct PieceCursor {
    private let bytes: Int
    private var filled = 0

    /// A piece that is empty.
    package init(bytes: Int) { self.bytes = bytes }

    /// The next part of the piece, which is filled then; nil where there is no room for a unit.
    ///
    /// - Parameters:
    ///   - left: bytes that are to be put there, at least 1, a multiple of `unit`.
    ///   - unit: parts are multiples of so many bytes.
    /// - Returns: as many bytes as there is room for, from a multiple of 256 on.
    package mutating func next(_ left: Int, inUnitsOf unit: Int) -> Range<Int>? {
        let count = min(left, (bytes - filled) / unit * unit)
        guard count > 0 else { return nil }
        defer { filled = min((filled + count + 255) / 256 * 256, bytes) }
        return filled ..< filled + count
    }
}
