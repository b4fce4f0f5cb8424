import Glibc
public import SwanDiagnostics

/// How near a video comes to another of the same seed, prompt and size: several numbers, since the first alone punishes
/// harmless drift, the second misses wrong colours, and the third asks for the same look and not for the same pixels.
///
/// Source of SSIM: Wang, Bovik, Sheikh, Simoncelli, "Image Quality Assessment: From Error Visibility to Structural
/// Similarity", 2004: Gaussian window of 11×11 with a deviation of 1.5, constants 0.01 and 0.03.
public struct VideoQuality: Sendable, Hashable, Codable {
    /// Peak signal-to-noise ratio in decibels, of the mean square over all frames and colours; nil where nothing differs.
    public let psnr: Double?
    /// That of the worst frame.
    public let worstPSNR: Double?
    /// Structural similarity of the luma, the mean over all frames: 1 where nothing differs.
    public let ssim: Double
    /// That of the worst frame.
    public let worstSSIM: Double
    /// How different textures and edges look, `PerceptualDistance`: 0 where nothing differs.
    public let perceptual: Double

    /// Compares videos.
    ///
    /// - Parameters:
    ///   - frames: RGB, one byte each, `[count, height, width, 3]`.
    ///   - reference: of the same size.
    ///   - width: at least 11.
    ///   - height: at least 11.
    /// - Throws: `bench.quality` where sizes do not fit.
    public init(_ frames: [UInt8], against reference: [UInt8], width: Int, height: Int) throws(SwanError) {
        let size = 3 * width * height
        guard width >= Window.side, height >= Window.side, frames.count == reference.count, !frames.isEmpty,
            frames.count % size == 0
        else {
            throw SwanError(
                .quality,
                "\(frames.count) and \(reference.count) bytes cannot be compared as frames of \(width)x\(height).",
                advice: "Both videos need the same size, at least \(Window.side) pixels each way, and as many frames.")
        }
        let window = Window(width: width, height: height)
        var (errors, similarities): ([Double], [Double]) = ([], [])
        for start in stride(from: 0, to: frames.count, by: size) {
            var sum = 0
            for place in start ..< start + size {
                let difference = Int(frames[place]) - Int(reference[place])
                sum += difference * difference
            }
            errors.append(Double(sum) / Double(size))
            similarities.append(
                window.similarity(Self.luma(frames, start, size / 3), Self.luma(reference, start, size / 3)))
        }
        let count = Double(errors.count)
        psnr = Self.decibels(errors.reduce(0, +) / count)
        worstPSNR = Self.decibels(errors.max() ?? 0)
        ssim = similarities.reduce(0, +) / count
        worstSSIM = similarities.min() ?? 1
        let distance = PerceptualDistance(width: width, height: height)
        perceptual =
            stride(from: 0, to: frames.count, by: size).reduce(0.0) { sum, start in
                sum + distance(frames[start ..< start + size], reference[start ..< start + size])
            } / count
    }

    private static func decibels(_ meanSquare: Double) -> Double? {
        meanSquare == 0 ? nil : 10 * log10(255 * 255 / meanSquare)
    }

    /// Brightness as ITU-R BT.601 weighs the colours.
    private static func luma(_ frames: [UInt8], _ start: Int, _ pixels: Int) -> [Double] {
        (0 ..< pixels).map { pixel in
            let place = start + 3 * pixel
            return 0.299 * Double(frames[place]) + 0.587 * Double(frames[place + 1]) + 0.114 * Double(frames[place + 2])
        }
    }

    /// `31.42 dB`, or `identical`.
    public var psnrText: String { psnr.map { decimal($0, 2) + " dB" } ?? "identical" }
    /// `0.012`.
    public var perceptualText: String { decimal(perceptual, 3) }
    /// `0.9876`.
    public var ssimText: String { decimal(ssim, 4) }
}

/// Means, variances and their like under a Gaussian window at every place where it lies inside the picture.
private struct Window {
    static let side = 11
    private static let weights: [Double] = {
        let plain = (0 ..< side).map { exp(-pow(Double($0 - side / 2), 2) / (2 * 1.5 * 1.5)) }
        let sum = plain.reduce(0, +)
        return plain.map { $0 / sum }
    }()

    let width, height: Int

    /// The mean of the structural similarity of two pictures of `width * height` values from 0 to 255.
    func similarity(_ a: [Double], _ b: [Double]) -> Double {
        let (meanA, meanB) = (blurred(a), blurred(b))
        let squaresA = blurred(a.map { $0 * $0 })
        let squaresB = blurred(b.map { $0 * $0 })
        let products = blurred(zip(a, b).map { $0 * $1 })
        let c1 = pow(0.01 * 255, 2), c2 = pow(0.03 * 255, 2)
        var sum = 0.0
        for i in meanA.indices {
            let means = meanA[i] * meanB[i]
            let varianceA = squaresA[i] - meanA[i] * meanA[i], varianceB = squaresB[i] - meanB[i] * meanB[i]
            let covariance = products[i] - means
            sum +=
                (2 * means + c1) * (2 * covariance + c2)
                / ((meanA[i] * meanA[i] + meanB[i] * meanB[i] + c1) * (varianceA + varianceB + c2))
        }
        return sum / Double(meanA.count)
    }

    /// Rows first, then columns; smaller than the picture by the window's side less one.
    private func blurred(_ values: [Double]) -> [Double] {
        let (columns, rows) = (width - Self.side + 1, height - Self.side + 1)
        var across = [Double](repeating: 0, count: columns * height)
        for row in 0 ..< height {
            for (tap, weight) in Self.weights.enumerated() {
                for column in 0 ..< columns {
                    across[row * columns + column] += weight * values[row * width + column + tap]
                }
            }
        }
        var down = [Double](repeating: 0, count: columns * rows)
        for row in 0 ..< rows {
            for (tap, weight) in Self.weights.enumerated() {
                for column in 0 ..< columns {
                    down[row * columns + column] += weight * across[(row + tap) * columns + column]
                }
            }
        }
        return down
    }
}

extension SwanError.Code {
    /// Videos that cannot be compared with each other.
    public static let quality = Self("bench.quality", .usage)
}
