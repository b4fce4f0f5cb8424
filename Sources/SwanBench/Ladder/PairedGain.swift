import SwanDiagnostics

/// How many times as fast one thing is as another, by runs of both in turns.
package struct PairedGain {
    /// The median of the pairs' ratios; 1 for none.
    package let median: Double
    /// Twice the standard error of that; nil for fewer than five pairs, which do not tell.
    package let error: Double?

    /// - Parameter pairs: the other's time over this one's, of each pair.
    package init(_ pairs: [Double]) {
        guard !pairs.isEmpty else {
            (median, error) = (1, nil)
            return
        }
        let middle = SwanDiagnostics.median(pairs)
        median = middle
        guard pairs.count >= 5 else {
            error = nil
            return
        }
        // By the median of the distances, since a few runs are disturbed and far off. For a bell-shaped spread its deviation
        // is 1.4826 of it, and the error of a median 1.2533 of that of a mean.
        let distance = SwanDiagnostics.median(pairs.map { abs($0 - middle) })
        error = 2 * 1.2533 * 1.4826 * distance / Double(pairs.count).squareRoot()
    }

    /// Notes both.
    package init(median: Double, error: Double?) { (self.median, self.error) = (median, error) }

    /// Whether it is at least as large, and not by chance.
    package func isSurely(atLeast least: Double) -> Bool { median - (error ?? 0) >= least }

    /// Whether it may lie on either side.
    package func isNear(_ least: Double) -> Bool { abs(median - least) < error ?? 0 }
}
