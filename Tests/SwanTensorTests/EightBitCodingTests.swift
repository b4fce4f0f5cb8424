import Foundation
import SwanTensor
import SwanTestSupport
import Testing

/// Guards how rows are turned before they are rounded, and what that is for.
@Suite struct EightBitCodingTests {
    @Test(arguments: [
        (1, 1), (113, 1), (1026, 2), (16, 16), (1424, 16), (1536, 128), (1344, 64), (5120, 128), (13824, 128),
    ])
    func blocksDivideARow(width: Int, block: Int) {
        #expect(EightBitCoding.rotatedInt8.block(of: width) == block)
        #expect(EightBitCoding.int8.block(of: width) == 1 && EightBitCoding.fp8.block(of: width) == 1)
    }

    @Test(arguments: [1, 2, 4, 8, 16, 32, 64, 128])
    func rotationsAreTheMatrixAndKeepProducts(block: Int) {
        var random = SeededRandom(UInt64(block))
        let x = random.floats(3 * block)
        var rotated = x
        rotated.withUnsafeMutableBufferPointer { EightBitCoding.rotate($0, block: block) }
        let exact = x.indices.map { i in
            let first = i / block * block
            return (0 ..< block).reduce(0) {
                $0 + Double(EightBitCoding.element(i - first, $1)) * Double(x[first + $1])
            }
        }
        let distance = Distance(rotated, from: exact) { _ in 0x1p-22 * Double(block) }
        #expect(distance.isExplained, "\(distance)")
        for a in 0 ..< block {
            for b in 0 ... a {
                let product = (0 ..< block).reduce(0) {
                    $0 + EightBitCoding.element($1, a) * EightBitCoding.element($1, b)
                }
                #expect(product == (a == b ? block : 0), "columns \(a) and \(b)")
            }
        }
        #expect(Double(EightBitCoding.unit(block)) == Double(Float(1 / Double(block).squareRoot())))
        // What all channels have in common lands in no single one.
        let sums = (0 ..< block).map { row in
            abs((0 ..< block).reduce(0) { $0 + EightBitCoding.element(row, $1) })
        }
        #expect(Double(sums.max() ?? 0) <= (2 * Double(block)).squareRoot() + 1e-9)
    }

    /// Rows as they stand in front of a model's linear layers.
    enum Rows: CaseIterable {
        /// Bell-shaped.
        case ordinary
        /// Channels of 20 times the others' size, as behind norms.
        case outliers
        /// Behind a GELU: seldom negative.
        case gelu
        /// Behind a GELU, with channels that are far from zero in every row.
        case geluWithOutliers

        func values(_ count: Int, _ random: inout SeededRandom) -> [Float] {
            func bell() -> Float { random.floats(12).reduce(0, +) / 2 }
            return (0 ..< count).map { i in
                let isOutlier = i % 512 == 100
                switch self {
                case .ordinary: return bell()
                case .outliers: return bell() * (isOutlier ? 20 : 1)
                case .gelu, .geluWithOutliers:
                    let z = bell() + (isOutlier && self == .geluWithOutliers ? 10 : 0)
                    return z / 2 * (1 + Foundation.tanh(0.7978845608 * (z + 0.044715 * z * z * z)))
                }
            }
        }
    }

    /// The root mean square of a row's errors, relative to that of its values.
    private func error(_ row: [Float], _ coding: EightBitCoding) -> Double {
        var bytes = [UInt8](repeating: 0, count: row.count)
        let scale = row.withUnsafeBufferPointer { row in
            bytes.withUnsafeMutableBufferPointer { coding.encode(row, into: $0) }
        }
        var exact = row
        let block = coding.block(of: row.count)
        exact.withUnsafeMutableBufferPointer { EightBitCoding.rotate($0, block: block) }
        let (errors, sizes) = exact.indices.reduce((0.0, 0.0)) { sums, i in
            let value = Double(exact[i]) / Double(block).squareRoot()
            let difference = Double(coding.format.decode(bytes[i])) * Double(scale) - value
            return (sums.0 + difference * difference, sums.1 + value * value)
        }
        return (errors / sizes).squareRoot()
    }

    /// 1/127 of the largest value is a step: a bell's largest of 5120 is 3.8 times its deviation, which makes an error of
    /// 0.9 %; channels of 20 times the size, spread over 128, leave a largest of some 7 in rows of 1.3.
    @Test(arguments: Rows.allCases, [5120, 13824])
    func rotatedRowsAreNear(rows: Rows, width: Int) {
        var random = SeededRandom(7)
        for _ in 0 ..< 4 {
            let row = rows.values(width, &random)
            let (rotated, plain, fp8) = (error(row, .rotatedInt8), error(row, .int8), error(row, .fp8))
            #expect(rotated < 0.015 && rotated < fp8, "\(rows): \(rotated), \(fp8) in fp8")
            // Bell-shaped rows have nothing to gain; nothing is lost either.
            #expect(rotated < (rows == .outliers ? 0.3 : rows == .ordinary ? 1.2 : 0.95) * plain, "\(rows): \(plain)")
        }
    }
}
