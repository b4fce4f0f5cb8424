import Glibc
import SwanDiagnostics
import SwanMedia
import Testing

@Suite struct FrameReaderTests {
    let folder: TemporaryFolder

    init() throws { folder = try TemporaryFolder() }

    private func code(_ bytes: [UInt8], maximumBytes: Int = 1 << 20) throws -> SwanError.Code? {
        try folder.write("a.y4m", bytes)
        return failure {
            try FrameReader.read(
                path: folder.file("a.y4m"), maximumBytes: maximumBytes, tools: MediaTools(searchPath: ""))
        }?.code
    }

    private let whole =
        Array("YUV4MPEG2 W4 H2 F30000:1001 Ip A1:1 C444\nFRAME Ip\n".utf8) + [UInt8](repeating: 128, count: 24)

    @Test func readsForeignHeaders() throws {
        try folder.write("a.y4m", whole)
        let video = try FrameReader.read(path: folder.file("a.y4m"), tools: MediaTools(searchPath: ""))
        #expect((video.width, video.height, video.frames) == (4, 2, 1))
        #expect(abs(video.framesPerSecond - 29.97) < 0.01)
        // (128 - 16) * 255 / 219 = 130.4
        #expect(video.rgb == [UInt8](repeating: 130, count: 24))
    }

    /// Every shortened file fails, but for the whole header alone: a video without frames.
    @Test func refusesEveryTruncation() throws {
        let header = whole.firstIndex(of: 0x0a) ?? 0
        for count in whole.indices where count != header + 1 {
            let found = try code(Array(whole.prefix(count)))
            // Too short to be known as y4m, or of no known kind yet: left to ffmpeg, which is not there.
            #expect(found == .videoInvalid || (count <= header && found == .encoderMissing), "\(count)")
        }
    }

    @Test(arguments: [
        "YUV4MPEG2 W0 H2 C444\n", "YUV4MPEG2 W-4 H2 C444\n", "YUV4MPEG2 W99999999999999999999 H2 C444\n",
        "YUV4MPEG2 H2 C444\n",
        "YUV4MPEG2 W4611686018427387904 H4 C444\n", "YUV4MPEG2 W4 H2 C444\nFRAM\n",
        "YUV4MPEG2 W16384 H16384 C444\nFRAME\n",
        "YUV4MPEG2 W4 H2 C444\nFRAME" + String(repeating: " x", count: 500) + "\n",
        "YUV4MPEG2 W4 H2 C444" + String(repeating: " x", count: 1000) + "\n",
    ])
    func refusesHostileHeaders(text: String) throws {
        #expect(try code(Array(text.utf8)) == .videoInvalid)
    }

    @Test func boundsWhatItReads() throws {
        #expect(try code(whole, maximumBytes: 40) == .videoInvalid)
        #expect(failure { try FrameReader.read(path: "/dev/zero", maximumBytes: 1 << 20) }?.code == .videoInvalid)
        #expect(failure { try FrameReader.read(path: folder.file("nothing")) }?.code == .videoMissing)

        let sink = try VideoWriter.open(path: folder.file("a.mp4"), width: 64, height: 64, fps: 16)
        try sink.write(frames: Film.noise(64 * 64 * 3 * 10), count: 10)
        try sink.finish()
        #expect(
            failure { try FrameReader.read(path: folder.file("a.mp4"), maximumBytes: 50_000) }?.code == .encoderFailed)
    }

    /// A playlist that names an address is not followed.
    @Test func opensNoNetwork() throws {
        try folder.write(
            "a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n".utf8)
        let error = failure { try FrameReader.read(path: folder.file("a.m3u8")) }
        #expect(error?.code == .videoInvalid)
        let cause = error?.cause.map { "\($0)" } ?? ""
        #expect(cause.contains("whitelist"))
    }

    /// 4:2:0 y4m is ffmpeg's.
    @Test func leavesOtherKindsToFFmpeg() throws {
        try folder.write(
            "b.y4m", Array("YUV4MPEG2 W4 H2 F25:1 C420jpeg\nFRAME\n".utf8) + [UInt8](repeating: 128, count: 12))
        let video = try FrameReader.read(path: folder.file("b.y4m"))
        #expect((video.width, video.height, video.frames) == (4, 2, 1))
    }
}

extension FrameReaderTests {
    /// What is no file is refused: a named pipe would be waited for without end.
    @Test func onlyFilesAreRead() throws {
        let isMade = mkfifo(folder.file("pipe"), 0o600) == 0
        try #require(isMade)
        for path in [folder.file("pipe"), folder.path, "/dev/null"] {
            #expect(failure { try VideoMetadata.read(path: path) }?.code == .videoInvalid)
            #expect(failure { try FrameReader.read(path: path) }?.code == .videoInvalid)
        }
    }
}
