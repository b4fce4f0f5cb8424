import SwanDiagnostics

/// The arithmetic between RGB and the YCbCr of a y4m file: BT.709, limited range (Y 16 to 235, Cb and Cr
/// 16 to 240), 8 bits, every value rounded to nearest.
///
/// There and back, red and green differ by 1 at most and blue by 2: the three roundings of half a unit
/// come back as 0.58 + 0.90, 0.58 + 0.37 and 0.58 + 1.06, and the last rounding keeps what is below 1.5
/// within 1.
///
/// Source: Rec. ITU-R BT.709-6, items 3.2 to 3.4.
enum BT709 {
    private static let red = 0.2126
    private static let green = 0.7152
    private static let blue = 0.0722
    private static let scale = Double(1 << 20)

    private static func fixed(_ value: Double) -> Int32 { Int32((value * scale).rounded()) }

    private static let y = (fixed(red * 219 / 255), fixed(green * 219 / 255), fixed(blue * 219 / 255))
    private static let cb = (
        fixed(-red / (2 - 2 * blue) * 224 / 255), fixed(-green / (2 - 2 * blue) * 224 / 255), fixed(0.5 * 224 / 255)
    )
    private static let cr = (
        fixed(0.5 * 224 / 255), fixed(-green / (2 - 2 * red) * 224 / 255), fixed(-blue / (2 - 2 * red) * 224 / 255)
    )
    private static let luma = fixed(255.0 / 219)
    private static let redOfCr = fixed((2 - 2 * red) * 255 / 224)
    private static let greenOfCb = fixed(-(2 - 2 * blue) * blue / green * 255 / 224)
    private static let greenOfCr = fixed(-(2 - 2 * red) * red / green * 255 / 224)
    private static let blueOfCb = fixed((2 - 2 * blue) * 255 / 224)

    /// Writes the three planes of an RGB frame: all of Y, then Cb, then Cr.
    static func planes(ofRGB rgb: ArraySlice<UInt8>, into planes: inout [UInt8]) {
        let pixels = rgb.count / 3
        let half: Int32 = 1 << 19
        let (y, cb, cr) = (y, cb, cr)
        rgb.withUnsafeBufferPointer { rgb in
            planes.withUnsafeMutableBufferPointer { planes in
                for pixel in 0 ..< pixels {
                    let r = Int32(rgb[3 * pixel])
                    let g = Int32(rgb[3 * pixel + 1])
                    let b = Int32(rgb[3 * pixel + 2])
                    planes[pixel] = UInt8(16 + (r * y.0 + g * y.1 + b * y.2 + half) >> 20)
                    planes[pixels + pixel] = UInt8(128 + (r * cb.0 + g * cb.1 + b * cb.2 + half) >> 20)
                    planes[2 * pixels + pixel] = UInt8(128 + (r * cr.0 + g * cr.1 + b * cr.2 + half) >> 20)
                }
            }
        }
    }

    /// Appends the RGB frame of three planes of `pixels` bytes each.
    static func appendRGB(ofPlanes planes: ArraySlice<UInt8>, pixels: Int, to rgb: inout [UInt8]) {
        let half: Int32 = 1 << 19
        let (luma, redOfCr, greenOfCb, greenOfCr, blueOfCb) = (luma, redOfCr, greenOfCb, greenOfCr, blueOfCb)
        planes.withUnsafeBufferPointer { planes in
            for pixel in 0 ..< pixels {
                let y = (Int32(planes[pixel]) - 16) * luma + half
                let cb = Int32(planes[pixels + pixel]) - 128
                let cr = Int32(planes[2 * pixels + pixel]) - 128
                rgb.append(UInt8(clamping: (y + cr * redOfCr) >> 20))
                rgb.append(UInt8(clamping: (y + cb * greenOfCb + cr * greenOfCr) >> 20))
                rgb.append(UInt8(clamping: (y + cb * blueOfCb) >> 20))
            }
        }
    }
}

/// The header of a y4m file, in so far as Swan reads it itself: progressive 8-bit 4:4:4.
///
/// Source: man page yuv4mpeg(5) of mjpegtools.
struct Y4MHeader {
    let width: Int
    let height: Int
    let framesPerSecond: Double
    /// Where the first frame's line begins.
    let end: Int

    /// The header line that Swan writes. The range is an extension by ffmpeg; there is no word for the matrix,
    /// and readers of unlabelled video often assume BT.601.
    static func line(width: Int, height: Int, fps: Int) -> String {
        "YUV4MPEG2 W\(width) H\(height) F\(fps):1 Ip A1:1 C444 XCOLORRANGE=LIMITED\n"
    }

    /// Reads the header of a file; nil if the file is no y4m or of a kind that is left to ffmpeg.
    ///
    /// - Throws: `media.video-invalid` for a y4m header that is damaged.
    init?(_ bytes: [UInt8], path: String) throws(SwanError) {
        guard bytes.starts(with: Array("YUV4MPEG2 ".utf8)) else { return nil }
        guard let newline = bytes.prefix(1024).firstIndex(of: 0x0a) else {
            throw SwanError(.videoInvalid, "'\(path.printable())' has a y4m header without end.")
        }
        var sides: [UInt8: Int] = [:]
        var rate = 0.0
        for field in bytes[..<newline].split(separator: 0x20).dropFirst() {
            guard let key = field.first else { continue }
            let value = String(decoding: field.dropFirst(), as: UTF8.self)
            switch key {
            case UInt8(ascii: "W"), UInt8(ascii: "H"): sides[key] = Int(value)
            case UInt8(ascii: "F"):
                let parts = value.split(separator: ":").compactMap { Double($0) }
                if parts.count == 2, parts[1] > 0 { rate = parts[0] / parts[1] }
            case UInt8(ascii: "C"): if value != "444" { return nil }
            case UInt8(ascii: "X"): if value == "COLORRANGE=FULL" { return nil }
            default: break
            }
        }
        // Without a C field the file is 4:2:0.
        guard bytes[..<newline].split(separator: 0x20).contains(where: { $0.elementsEqual("C444".utf8) }) else {
            return nil
        }
        guard let width = sides[UInt8(ascii: "W")], let height = sides[UInt8(ascii: "H")],
            (1 ... 16384).contains(width),
            (1 ... 16384).contains(height)
        else {
            throw SwanError(.videoInvalid, "'\(path.printable())' has a y4m header without a usable size.")
        }
        self.width = width
        self.height = height
        framesPerSecond = rate
        end = newline + 1
    }
}
