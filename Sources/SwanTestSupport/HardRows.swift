/// Rows of values that normalisations, softmax and sums go wrong on.
public enum HardRows: String, CaseIterable, Sendable {
    /// Values between -1 and 1.
    case ordinary
    /// One value a million times the others.
    case oneSpike
    /// Differences so small that `eps` decides the result.
    case spreadNearEps
    /// A mean a thousand times the spread.
    case farFromZero
    /// Nothing but zeros, of both signs.
    case zeros
    /// All values equal.
    case equal
    /// Squares that fall below float32's normal numbers.
    case tiny
    /// Squares near the upper end of float32.
    case huge

    /// `count` values.
    public func values(_ count: Int, _ random: inout SeededRandom) -> [Float] {
        let plain = random.floats(count)
        return switch self {
        case .ordinary: plain
        case .oneSpike: plain.indices.map { $0 == count / 3 ? 1e6 : plain[$0] }
        case .spreadNearEps: plain.map { $0 * 1e-3 }
        case .farFromZero: plain.map { 1000 + $0 }
        case .zeros: plain.map { $0 < 0 ? -0.0 : 0 }
        case .equal: plain.map { _ in 0.7 }
        case .tiny: plain.map { $0 * 1e-20 }
        case .huge: plain.map { $0 * 1e18 }
        }
    }
}

/// Sizes that are no multiple of any tile.
public let oddSizes = [1, 113, 203, 1023]
