/// How far a result lies from the exact one, measured in what rounding may do to each element.
public struct Distance: CustomStringConvertible {
    /// Index of the worst element.
    public private(set) var place = 0
    /// What was found there.
    public private(set) var found: Float = 0
    /// The exact value there.
    public private(set) var exact = 0.0
    /// The error there, divided by the bound there.
    public private(set) var worst = 0.0
    /// Root mean square of the errors, divided by that of the bounds.
    public private(set) var rms = 0.0

    /// Compares element by element; NaN and infinity must meet their like.
    ///
    /// - Parameters:
    ///   - found: the result.
    ///   - exact: the result of the formula in float64.
    ///   - bound: for each element the error that rounding explains.
    public init(_ found: [Float], from exact: [Double], bound: (Int) -> Double) {
        guard found.count == exact.count else {
            (worst, rms, place) = (.infinity, .infinity, min(found.count, exact.count))
            return
        }
        var (errors, bounds) = (0.0, 0.0)
        for i in found.indices {
            let (a, b) = (Double(found[i]), exact[i])
            let ratio: Double
            if a.isNaN || b.isNaN || a.isInfinite || b.isInfinite {
                // A value beyond float32 is infinite there.
                ratio = a.isNaN && b.isNaN || a == Double(Float(b)) ? 0 : .infinity
            } else {
                let allowed = bound(i) + Double(Float.leastNormalMagnitude)
                ratio = abs(a - b) / allowed
                errors += (a - b) * (a - b)
                bounds += allowed * allowed
            }
            if ratio > worst { (worst, place, self.found, self.exact) = (ratio, i, found[i], b) }
        }
        rms = bounds > 0 ? (errors / bounds).squareRoot() : 0
    }

    /// Whether every element lies within its bound.
    public var isExplained: Bool { worst <= 1 }

    /// What a failing test prints.
    public var description: String {
        "worst at \(place): \(found) instead of \(exact), \(worst) times what rounding explains; rms \(rms)"
    }
}
