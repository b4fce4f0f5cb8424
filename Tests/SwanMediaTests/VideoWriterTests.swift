import FoundationEssentials
import Glibc
import SwanDiagnostics
import SwanMedia
import Testing

@Suite struct VideoWriterTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    /// Writes a film in calls of uneven size.
    private func write(_ film: Film, to name: String, fps: Int = 16, metadata: [String: String] = [:]) throws {
        let sink = try VideoWriter.open(
            path: folder.file(name), width: film.width, height: film.height, fps: fps, metadata: metadata)
        let rgb = film.rgb
        let frame = film.width * film.height * 3
        var first = 0
        for count in [1, 0, 3] + Array(repeating: 1, count: max(0, film.frames - 4)) {
            try sink.write(frames: Array(rgb[first * frame ..< (first + count) * frame]), count: count)
            first += count
        }
        try sink.finish()
    }

    // Quantiser 17 of x264 has steps of 2^((17-4)/6) = 4.5, an error of 4.5²/12 = 1.7 in luma and as much in
    // chroma; as RGB that is some 3 times as much, 10 log10(255²/5.1) = 41 dB, and a step more (quantiser 23) on
    // motion costs 6 at most. Without compression, 4:2:0 alone has 50 dB on this film, and a picture converted by
    // BT.601 but labelled BT.709 has 30. A GIF has 256 colours: its dither costs more.
    @Test(arguments: [("a.mp4", 38.0), ("a.webm", 36.0), ("a.gif", 30.0), ("a.MP4", 38.0)])
    func compressedFormatsKeepTheFilm(name: String, decibels: Double) throws {
        let film = Film()
        try write(film, to: name)
        #expect(folder.names == [name])
        let video = try FrameReader.read(path: folder.file(name))
        #expect((video.width, video.height, video.frames) == (64, 48, 5))
        #expect(abs(video.framesPerSecond - 16) < 1)
        let quality = psnr(video.rgb, film.rgb)
        #expect(quality >= decibels, "\(quality) dB")
    }

    @Test(arguments: [("a.mp4", "yuv420p"), ("a.webm", "yuv420p")])
    func colourIsLabelled(name: String, pixels: String) throws {
        try write(Film(), to: name)
        let ffprobe = try #require(MediaTools.installed.ffprobe)
        let facts = try shell(
            "\(ffprobe) -v error -of default=nw=1 -show_entries stream=pix_fmt,color_range,color_space,color_transfer,"
                + "color_primaries,r_frame_rate,codec_name \(folder.file(name))")
        for line in [
            "codec_name=\(name.hasSuffix("mp4") ? "h264" : "vp9")", "pix_fmt=\(pixels)", "color_range=tv",
            "color_space=bt709",
            "color_transfer=bt709", "color_primaries=bt709", "r_frame_rate=16/1",
        ] {
            #expect(facts.contains(line), "\(line) in \(facts)")
        }
    }

    /// The index stands before the pictures, so that a browser can start at once.
    @Test func mp4StartsFast() throws {
        try write(Film(), to: "a.mp4")
        let bytes = try folder.bytes("a.mp4")
        let index = try #require(bytes.firstRange(of: Array("moov".utf8)))
        let pictures = try #require(bytes.firstRange(of: Array("mdat".utf8)))
        #expect(index.lowerBound < pictures.lowerBound)
    }

    @Test func pngSequenceIsExact() throws {
        let film = Film(width: 33, height: 21, frames: 12)
        try write(film, to: "frames/%04d.png")
        #expect(folder.names == ["frames"])
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.file("frames")).sorted()
        #expect(names == (1 ... 12).map { "00\($0 < 10 ? "0" : "")\($0).png" })
        for frame in [0, 11] {
            let picture = try FrameReader.read(path: folder.file("frames/\(names[frame])"))
            #expect((picture.width, picture.height, picture.frames) == (33, 21, 1))
            #expect(picture.rgb == Array(film.rgb[frame * 33 * 21 * 3 ..< (frame + 1) * 33 * 21 * 3]))
        }
    }

    /// A `%` in a folder's name is no frame number, and a second sequence may join an existing folder.
    @Test func pngSequenceJoinsAFolder() throws {
        try FileManager.default.createDirectory(atPath: folder.file("100%d"), withIntermediateDirectories: false)
        try folder.write("100%d/other.png", [1])
        try write(Film(), to: "100%d/x%d.png")
        #expect(
            try FileManager.default.contentsOfDirectory(atPath: folder.file("100%d")).sorted()
                == ["other.png", "x1.png", "x2.png", "x3.png", "x4.png", "x5.png"])
    }

    /// Uniform noise reaches every corner of the colour cube. The bounds are derived at `BT709`.
    @Test func y4mRoundTripIsRoundingOnly() throws {
        let (width, height, frames) = (63, 47, 5)
        let corners: [UInt8] = (0 ..< 8).flatMap { (corner: Int) in (0 ..< 3).map { corner >> $0 & 1 == 1 ? 255 : 0 } }
        let rgb = corners + Film.noise(width * height * frames * 3 - corners.count)
        let sink = try VideoWriter.open(path: folder.file("a.y4m"), width: width, height: height, fps: 24)
        try sink.write(frames: rgb, count: frames)
        try sink.finish()

        let video = try FrameReader.read(path: folder.file("a.y4m"), tools: MediaTools(searchPath: ""))
        #expect((video.width, video.height, video.frames, video.framesPerSecond) == (width, height, frames, 24))
        for (channel, bound) in [(0, 1), (1, 1), (2, 2)] {
            let worst = stride(from: channel, to: rgb.count, by: 3).map { abs(Int(rgb[$0]) - Int(video.rgb[$0])) }.max()
            #expect(try #require(worst) <= bound, "channel \(channel)")
        }
    }

    /// White, black and the primaries have the values of the standard, worked out by hand.
    @Test func y4mHasTheValuesOfTheStandard() throws {
        let sink = try VideoWriter.open(path: folder.file("a.y4m"), width: 5, height: 1, fps: 1)
        try sink.write(frames: [255, 255, 255, 0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255], count: 1)
        try sink.finish()
        let header = Array("YUV4MPEG2 W5 H1 F1:1 Ip A1:1 C444 XCOLORRANGE=LIMITED\nFRAME\n".utf8)
        #expect(
            try folder.bytes("a.y4m") == header + [235, 16, 63, 173, 32] + [128, 128, 102, 42, 240] + [
                128, 128, 240, 26, 118,
            ])
    }

    /// Another program's reading of our y4m, told the matrix, agrees but for its own rounding.
    @Test func ffmpegReadsOurY4M() throws {
        let film = Film(width: 66, height: 30, frames: 5)
        try write(film, to: "a.y4m")
        let ffmpeg = try #require(MediaTools.installed.ffmpeg)
        _ = try shell(
            "\(ffmpeg) -v error -i \(folder.file("a.y4m")) -vf scale=in_color_matrix=bt709:flags=accurate_rnd -pix_fmt rgb24 "
                + "-f rawvideo \(folder.file("raw"))")
        let raw = try folder.bytes("raw")
        #expect(raw.count == film.rgb.count)
        #expect((zip(raw, film.rgb).map { abs(Int($0) - Int($1)) }.max() ?? 255) <= 4)
    }

    /// Quotes, line breaks, other scripts, and more than one block of a GIF's comment.
    @Test(arguments: ["a.mp4", "a.webm", "a.gif"])
    func settingsComeBack(name: String) throws {
        let settings = [
            "prompt": "a \"cat\"\n猫 = 🦙; \\n", "seed": "42", "negative": String(repeating: "很长的", count: 500),
        ]
        try write(Film(), to: name, metadata: settings)
        let text = try #require(try VideoMetadata.read(path: folder.file(name)))
        #expect(try JSONDecoder().decode([String: String].self, from: Data(text.utf8)) == settings)
        #expect(try FrameReader.read(path: folder.file(name)).frames == 5)
    }

    @Test func filesWithoutSettingsHaveNone() throws {
        for name in ["a.mp4", "a.gif", "a.y4m"] {
            try write(Film(), to: name, metadata: name == "a.y4m" ? ["seed": "1"] : [:])
            #expect(try VideoMetadata.read(path: folder.file(name)) == nil)
        }
        #expect(!OutputFormat.y4m.keepsMetadata && !OutputFormat.png.keepsMetadata && OutputFormat.gif.keepsMetadata)
        try folder.write("text.mp4", Array("no video".utf8))
        #expect(failure { try VideoMetadata.read(path: folder.file("text.mp4")) }?.code == .videoInvalid)
        #expect(failure { try VideoMetadata.read(path: folder.file("nothing.mp4")) }?.code == .videoMissing)
    }

    @Test func settingsAreBounded() {
        let error = failure {
            try VideoWriter.open(
                path: folder.file("a.mp4"), width: 64, height: 48, fps: 16,
                metadata: ["prompt": String(repeating: "x", count: 200_000)])
        }
        #expect(error?.code == .outputInvalid)
        #expect(folder.names.isEmpty)
    }

    /// One call with many frames, more than the queue holds, and more bytes than a socket.
    @Test func manyFramesAtOnce() throws {
        let film = Film(width: 96, height: 56, frames: 40)
        let sink = try VideoWriter.open(path: folder.file("a.webm"), width: 96, height: 56, fps: 16)
        try sink.write(frames: film.rgb, count: 40)
        try sink.finish()
        #expect(try FrameReader.read(path: folder.file("a.webm")).frames == 40)
    }

    @Test func sizesAreChecked() throws {
        let sink = try VideoWriter.open(path: folder.file("a.y4m"), width: 4, height: 2, fps: 1)
        #expect(failure { try sink.write(frames: [UInt8](repeating: 0, count: 23), count: 1) }?.code == .fault)
        #expect(failure { try sink.write(frames: [], count: .max) }?.code == .fault)
        #expect(failure { try sink.write(frames: [], count: -1) }?.code == .fault)
        try sink.finish()
        #expect(failure { try sink.finish() }?.code == .fault)
        #expect(failure { try sink.write(frames: [], count: 0) }?.code == .fault)
        sink.cancel()
        #expect(folder.names == ["a.y4m"])
    }

    private func shell(_ command: String) throws -> String {
        let out = folder.file("out.txt")
        #expect(system("\(command) > \(out) 2>&1") == 0, "\(command)")
        let text = String(decoding: try folder.bytes("out.txt"), as: UTF8.self)
        try FileManager.default.removeItem(atPath: out)
        return text
    }
}
