import Glibc

/// A distance between pictures of the form of LPIPS, with filters that are fixed instead of learned: responses at each
/// place are divided by their length, so that what counts is which edges and textures are there, and not how bright or
/// strong they are.
///
/// Three opponent colours, each by its slopes along both axes and its Laplacian, at three scales; the mean over places and
/// scales of the squared distance of the normalised responses, at most 4. It has no network's sense of what is shown, so
/// it ranks ways of making the same picture, and is no measure of beauty.
///
/// Source of the form: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", 2018.
struct PerceptualDistance {
    private static let scales = 3
    /// Responses that no eye sees, of values from 0 to 1.
    private static let threshold: Float = 0.02

    private let width, height: Int

    init(width: Int, height: Int) { (self.width, self.height) = (width, height) }

    /// - Parameters:
    ///   - a: RGB, one byte each, `[height, width, 3]`.
    ///   - b: of the same size.
    func callAsFunction(_ a: ArraySlice<UInt8>, _ b: ArraySlice<UInt8>) -> Double {
        var (first, second) = (Self.opponents(a), Self.opponents(b))
        var (width, height) = (width, height)
        var (sum, scales) = (0.0, 0)
        while scales < Self.scales, width >= 3, height >= 3 {
            sum += Self.distance(first, second, width, height)
            scales += 1
            first = first.map { Self.halved($0, width, height) }
            second = second.map { Self.halved($0, width, height) }
            (width, height) = (width / 2, height / 2)
        }
        return scales > 0 ? sum / Double(scales) : 0
    }

    /// Brightness, red against green, yellow against blue.
    private static func opponents(_ frame: ArraySlice<UInt8>) -> [[Float]] {
        let count = frame.count / 3
        var planes = Array(repeating: [Float](repeating: 0, count: count), count: 3)
        frame.withUnsafeBufferPointer { bytes in
            for i in 0 ..< count {
                let (r, g, b) = (Float(bytes[3 * i]), Float(bytes[3 * i + 1]), Float(bytes[3 * i + 2]))
                planes[0][i] = (0.299 * r + 0.587 * g + 0.114 * b) / 255
                planes[1][i] = (r - g) / 255
                planes[2][i] = ((r + g) / 2 - b) / 255
            }
        }
        return planes
    }

    /// The mean of each two by two.
    private static func halved(_ plane: [Float], _ width: Int, _ height: Int) -> [Float] {
        let (columns, rows) = (width / 2, height / 2)
        var half = [Float](repeating: 0, count: columns * rows)
        for row in 0 ..< rows {
            for column in 0 ..< columns {
                let place = 2 * row * width + 2 * column
                half[row * columns + column] =
                    (plane[place] + plane[place + 1] + plane[place + width] + plane[place + width + 1]) / 4
            }
        }
        return half
    }

    private static func distance(_ a: [[Float]], _ b: [[Float]], _ width: Int, _ height: Int) -> Double {
        var sum = 0.0
        var (left, right) = ([Float](repeating: 0, count: 9), [Float](repeating: 0, count: 9))
        for row in 1 ..< height - 1 {
            for column in 1 ..< width - 1 {
                let place = row * width + column
                responses(a, place, width, &left)
                responses(b, place, width, &right)
                for i in left.indices { sum += Double((left[i] - right[i]) * (left[i] - right[i])) }
            }
        }
        return sum / Double((width - 2) * (height - 2))
    }

    /// Slopes and Laplacian of each plane at a place, all together of length 1 at most.
    private static func responses(_ planes: [[Float]], _ place: Int, _ width: Int, _ result: inout [Float]) {
        var squares = threshold * threshold
        for index in planes.indices {
            let values = (
                left: planes[index][place - 1], right: planes[index][place + 1], above: planes[index][place - width],
                below: planes[index][place + width], middle: planes[index][place]
            )
            result[3 * index] = values.right - values.left
            result[3 * index + 1] = values.below - values.above
            result[3 * index + 2] = values.left + values.right + values.above + values.below - 4 * values.middle
        }
        for response in result { squares += response * response }
        let factor = 1 / sqrtf(squares)
        for i in result.indices { result[i] *= factor }
    }
}
