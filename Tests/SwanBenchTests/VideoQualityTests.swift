import Foundation
import SwanBench
import SwanDiagnostics
import Testing

/// Against scikit-image 0.26.0: `peak_signal_noise_ratio` of RGB, and `structural_similarity` of the BT.601 luma with
/// `gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255`, averaged over frames.
@Suite struct VideoQualityTests {
    /// Two frames of 24 × 16 pixels, whose values follow from their places alone.
    private func video(_ change: (Int, Int) -> Int = { _, value in value }) -> [UInt8] {
        (0 ..< 2 * 16 * 24 * 3).map { place in
            let (column, row, frame) = (place / 3 % 24, place / 72 % 16, place / 1152)
            let value = (column * 9 + row * row + 40 * frame + place % 3 * 31) % 256
            return UInt8(max(0, min(255, change(place, value))))
        }
    }

    @Test func agreesWithTheReference() throws {
        let noisy = try VideoQuality(
            video { place, value in value + place * 7919 % 41 - 20 }, against: video(), width: 24, height: 16)
        #expect(abs((noisy.psnr ?? 0) - 26.872504825) < 1e-6)
        #expect(abs(noisy.ssim - 0.964498290) < 1e-6)
        #expect(abs((noisy.worstPSNR ?? 0) - 26.869585406) < 1e-6)
        #expect(abs(noisy.worstSSIM - 0.959122633) < 1e-6)
    }

    @Test func whatDoesNotDifferIsIdentical() throws {
        let same = try VideoQuality(video(), against: video(), width: 24, height: 16)
        #expect(same.psnr == nil && same.worstPSNR == nil && same.ssim == 1 && same.psnrText == "identical")
        // One step of one colour of one pixel of the second frame.
        let near = try VideoQuality(
            video { place, value in place == 1300 ? value + 1 : value }, against: video(), width: 24, height: 16)
        #expect(near.ssim < 1 && near.ssim > 0.9999 && near.worstSSIM < near.ssim)
        #expect((near.psnr ?? 0) > 80 && (near.worstPSNR ?? 0) < (near.psnr ?? 0))
    }

    /// What eyes tell apart, and PSNR does not: of two changes with the same mean square, the one that only makes the
    /// picture brighter is nearer than the one that roughens it.
    @Test func looksAreNotPixels() throws {
        let size = 48
        func frame(_ change: (Int, Int) -> Double) -> [UInt8] {
            (0 ..< size * size).flatMap { place -> [UInt8] in
                let (column, row) = (Double(place % size), Double(place / size))
                let value = 110 + 60 * sin(column / 4) * cos(row / 5) + change(place % size, place / size)
                return [UInt8(value), UInt8(value * 0.8), UInt8(value * 0.6)]
            }
        }
        let plain = frame { _, _ in 0 }
        func quality(_ change: (Int, Int) -> Double) throws -> VideoQuality {
            try VideoQuality(frame(change), against: plain, width: size, height: size)
        }
        let brighter = try quality { _, _ in 10 }
        let rougher = try quality { column, row in (column + row) % 2 == 0 ? 10 : -10 }
        #expect(abs((brighter.psnr ?? 0) - (rougher.psnr ?? 0)) < 0.5)
        #expect(brighter.perceptual * 20 < rougher.perceptual, "\(brighter.perceptual), \(rougher.perceptual)")
        let half = try quality { column, row in (column + row) % 2 == 0 ? 5 : -5 }
        #expect(half.perceptual < rougher.perceptual && half.perceptual > 0 && rougher.perceptual < 4)
        // Which textures are there counts more than how strong they are: half of it is more than a quarter, which squares
        // alone would give.
        #expect(half.perceptual > rougher.perceptual / 3, "\(half.perceptual), \(rougher.perceptual)")
        #expect(try quality { _, _ in 0 }.perceptual == 0)
        // Colour alone is seen as well.
        var tinted = plain
        for place in stride(from: 0, to: tinted.count, by: 6) { tinted[place] = 255 - tinted[place] }
        #expect(try VideoQuality(tinted, against: plain, width: size, height: size).perceptual > 0.1)
    }

    @Test func sizesThatDoNotFitAreRefused() {
        for (a, b, width, height) in [
            (video(), Array(video().dropLast(3)), 24, 16), (video(), video(), 25, 16), ([], [], 24, 16),
            ([UInt8](repeating: 0, count: 300), [UInt8](repeating: 0, count: 300), 10, 10),
        ] {
            #expect(throws: SwanError.self) { try VideoQuality(a, against: b, width: width, height: height) }
        }
    }
}
