/// How the rows of a linear layer are stored in eight bits, those of its weights and those that it multiplies alike.
///
/// Rotated rows are `R x` in place of `x`, with R orthogonal, so that a product of two rows stays what it was. R turns
/// each block of neighbouring channels by `H D / sqrt(block)`: D has the signs of the Rudin-Shapiro sequence on its
/// diagonal, H is the Hadamard matrix of 1 and -1. H spreads a channel that is larger than the others over its block, so
/// that it no longer takes the row's whole range; D keeps what the channels have in common, such as the mean of a GELU's
/// results, from coming together in one. Whole numbers gain by it: a product of 5120 channels, some of which are 20 times
/// the others, is off by 1.4 % instead of 6.8. fp8, whose errors are relative, is off by 3.6 either way.
///
/// The sums `H D x` are made in float32, of channels at a distance of 1, then of 2, 4 and so on, and are stored as
/// ``EightBitFormat`` says; `1 / sqrt(block)` is a factor of the row's scale. All devices follow this, so that the same
/// values give the same bits. A row whose sums leave float32's range has a scale that is no number.
///
/// Source: Ashkboos et al., "QuaRot", 2024, for H; Tseng et al., "QuIP#", 2024, for signs before it.
public enum EightBitCoding: String, Sendable, Hashable, CaseIterable {
    /// float8 of the rows as they are.
    case fp8
    /// int8 of the rows as they are, as files hold it.
    case int8
    /// int8 of rotated rows.
    case rotatedInt8 = "rotated int8"

    /// Numbers of a format, of rows as they are: what files hold.
    public init(_ format: EightBitFormat) { self = format == .fp8 ? .fp8 : .int8 }

    /// How the numbers are rounded.
    public var format: EightBitFormat { self == .fp8 ? .fp8 : .int8 }

    /// Neighbouring channels that are turned together: the largest power of two up to 128 that divides a row; 1 where
    /// rows stay as they are.
    package func block(of width: Int) -> Int {
        self == .rotatedInt8 ? 1 << min(7, width.trailingZeroBitCount) : 1
    }

    /// What a row's scale is multiplied by.
    package static func unit(_ block: Int) -> Float { Float(1 / Double(block).squareRoot()) }

    /// `H D x` of each block of a row.
    package static func rotate(_ x: UnsafeMutableBufferPointer<Float>, block: Int) {
        guard block > 1, let base = x.baseAddress else { return }
        signs.withUnsafeBufferPointer { signs in
            for first in stride(from: 0, to: x.count, by: block) {
                let part = base + first
                for i in 0 ..< block { part[i] *= signs[i] }
                var distance = 1
                if block >= 8 {
                    for i in stride(from: 0, to: block, by: 8) { rotateEight(part + i) }
                    distance = 8
                }
                while distance < block {
                    for pair in stride(from: 0, to: block, by: 2 * distance) {
                        add(part + pair, part + pair + distance, distance)
                    }
                    distance *= 2
                }
            }
        }
    }

    /// Sums and differences of two runs of values, in their places.
    private static func add(_ x: UnsafeMutablePointer<Float>, _ y: UnsafeMutablePointer<Float>, _ count: Int) {
        guard count % 8 == 0 else {
            for i in 0 ..< count { (x[i], y[i]) = (x[i] + y[i], x[i] - y[i]) }
            return
        }
        for i in stride(from: 0, to: count, by: 8) {
            let (a, b) = (load(x + i), load(y + i))
            store(a + b, x + i)
            store(a - b, y + i)
        }
    }

    /// Sums at distances of 1, 2 and 4.
    private static func rotateEight(_ x: UnsafeMutablePointer<Float>) {
        var v = load(x)
        (v.evenHalf, v.oddHalf) = (v.evenHalf + v.oddHalf, v.evenHalf - v.oddHalf)
        func pairs(_ v: SIMD4<Float>) -> SIMD4<Float> {
            SIMD4(lowHalf: v.lowHalf + v.highHalf, highHalf: v.lowHalf - v.highHalf)
        }
        let (a, b) = (pairs(v.lowHalf), pairs(v.highHalf))
        store(SIMD8(lowHalf: a + b, highHalf: a - b), x)
    }

    private static func load(_ x: UnsafeMutablePointer<Float>) -> SIMD8<Float> {
        UnsafeRawPointer(x).loadUnaligned(as: SIMD8<Float>.self)
    }

    private static func store(_ v: SIMD8<Float>, _ x: UnsafeMutablePointer<Float>) {
        UnsafeMutableRawPointer(x).storeBytes(of: v, as: SIMD8<Float>.self)
    }

    /// D, of the largest block; that of a smaller one begins alike.
    private static let signs: [Float] = (0 ..< 128).map { Float(element(0, $0)) }

    /// An element of H D, 1 or -1. H has -1 where the binary digits of row and column have an odd number of ones in
    /// common, D where an odd number of pairs of ones stand side by side in those of the column.
    package static func element(_ row: Int, _ column: Int) -> Int {
        1 - 2 * (((row & column).nonzeroBitCount + (column & column >> 1).nonzeroBitCount) & 1)
    }

    /// Stores one row.
    ///
    /// - Returns: its scale.
    package func encode(
        _ row: UnsafeBufferPointer<Float>, into target: UnsafeMutableBufferPointer<UInt8>
    ) -> Float {
        let block = block(of: row.count)
        guard block > 1 else { return format.encode(row, into: target) }
        return withUnsafeTemporaryAllocation(of: Float.self, capacity: row.count) { rotated in
            _ = rotated.initialize(from: row)
            Self.rotate(rotated, block: block)
            return format.encode(UnsafeBufferPointer(rotated), into: target) * Self.unit(block)
        }
    }
}

extension EightBitFormat {
    /// How rows are stored where nothing is given: rotated in int8, which gains by it.
    public var coding: EightBitCoding { self == .fp8 ? .fp8 : .rotatedInt8 }
}
