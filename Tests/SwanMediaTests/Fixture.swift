import FoundationEssentials
import Glibc
import SwanDiagnostics
import SwanMedia

/// A folder that is removed with its last owner.
final class TemporaryFolder {
    let path: String

    init() throws {
        path =
            FileManager.default.temporaryDirectory.appending(path: "swan-media-\(UInt64.random(in: 0 ... .max))").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// Everything in the folder, hidden files too.
    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    func write(_ name: String, _ bytes: some Sequence<UInt8>) throws {
        try Data(Array(bytes)).write(to: URL(filePath: file(name)))
    }

    func bytes(_ name: String) throws -> [UInt8] { try Array(Data(contentsOf: URL(filePath: file(name)))) }

    /// Tools whose ffmpeg runs `script` in a shell instead, once it has been asked for its encoders.
    func tools(ffmpeg script: String) throws -> MediaTools {
        let real = MediaTools.installed.ffmpeg ?? "ffmpeg"
        let text = "#!/bin/sh\ncase \"$*\" in *encoder=*) exec \(real) \"$@\";; esac\nreal=\(real)\n\(script)\n"
        try write("ffmpeg", text.utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: file("ffmpeg"))
        // A child that another test starts just now may still hold the script open for writing.
        while system("\(file("ffmpeg")) -h encoder=gif > /dev/null 2>&1") >> 8 == 126 { usleep(10_000) }
        return MediaTools(searchPath: path)
    }
}

/// A short film in the colours that tell matrices apart: slow gradients, and a soft red spot that moves.
struct Film {
    var width = 64
    var height = 48
    var frames = 5

    var rgb: [UInt8] {
        var bytes: [UInt8] = []
        for frame in 0 ..< frames {
            for y in 0 ..< height {
                for x in 0 ..< width {
                    let (dx, dy) = (x - 20 - 4 * frame, y - 24)
                    let spot = max(0, 400 - dx * dx - dy * dy)
                    let ground = [40 + 2 * x % 200, 220 - 3 * y % 200, 60 + x % 100]
                    for (far, near) in zip(ground, [230, 20, 30]) {
                        bytes.append(UInt8(far + (near - far) * spot / 400))
                    }
                }
            }
        }
        return bytes
    }

    /// Bytes without any order.
    static func noise(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
        var state = seed &* 0x9e37_79b9_7f4a_7c15 | 1
        return (0 ..< count).map { _ in
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            return UInt8(truncatingIfNeeded: (state &* 0x2545_f491_4f6c_dd1d) >> 56)
        }
    }
}

/// The peak signal-to-noise ratio in decibels.
func psnr(_ a: [UInt8], _ b: [UInt8]) -> Double {
    guard a.count == b.count, !a.isEmpty else { return 0 }
    let squares = zip(a, b).reduce(0.0) { $0 + (Double($1.0) - Double($1.1)) * (Double($1.0) - Double($1.1)) }
    return squares == 0 ? .infinity : 10 * log10(255 * 255 * Double(a.count) / squares)
}

/// The error that a closure throws.
func failure(_ body: () throws -> some Any) -> SwanError? {
    do {
        _ = try body()
        return nil
    } catch {
        return error as? SwanError
    }
}
