import Foundation
public import SwanCheckpoint

/// Files that tests compare with, beside the scripts that made them.
public enum Fixture {
    /// The folder `Tests/Fixtures` of this package.
    public static let root = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Tests/Fixtures").path(percentEncoded: false)

    /// The path of a fixture.
    public static func path(_ name: String) -> String { root + "/" + name }

    /// Opens a fixture of tensors.
    public static func open(_ name: String) throws -> any WeightSource { try openWeights(at: path(name)) }
}

/// How far results are from a golden.
public struct Deviation: CustomStringConvertible {
    /// `|ours - golden| / |golden|` over all elements; infinite when one of ours is no number.
    public let relative: Double
    /// The largest difference and where it is.
    public let largest: Double
    /// The flat index of the largest difference, with both values there.
    public let place: Int
    private let values: (Float, Float)

    /// Compares element by element.
    public init(_ ours: [Float], _ golden: [Float]) {
        precondition(ours.count == golden.count, "\(ours.count) values, expected \(golden.count)")
        var squares = 0.0
        var total = 0.0
        var worst = (difference: -1.0, place: 0)
        for i in ours.indices {
            let difference = abs(Double(ours[i]) - Double(golden[i]))
            squares += difference * difference
            total += Double(golden[i]) * Double(golden[i])
            if !(difference <= worst.difference) { worst = (difference, i) }
        }
        relative = squares.isFinite ? (squares / max(total, 1e-30)).squareRoot() : .infinity
        (largest, place) = worst
        values = ours.isEmpty ? (0, 0) : (ours[place], golden[place])
    }

    /// The value as text.
    public var description: String {
        "relative \(relative), worst at \(place): \(values.0), expected \(values.1)"
    }
}
