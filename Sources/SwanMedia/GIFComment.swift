import Glibc
import SwanDiagnostics

/// The comment extension of a GIF file, which ffmpeg reads but does not write.
///
/// Source: GIF89a specification, sections 17 to 19 and 24.
enum GIFComment {
    /// Where the blocks begin: after the header, the screen descriptor and the global palette.
    private static func start(of gif: [UInt8]) -> Int? {
        guard gif.count >= 13, gif.starts(with: Array("GIF8".utf8)) else { return nil }
        let palette = gif[10] & 0x80 == 0 ? 0 : 3 << (Int(gif[10] & 7) + 1)
        return gif.count > 13 + palette ? 13 + palette : nil
    }

    /// Puts a comment before everything else in a file that ffmpeg has just written.
    ///
    /// - Throws: `media.write-failed`.
    static func insert(_ comment: String, intoFileAt path: String, shownAs shown: String) throws(SwanError) {
        let file = open(path, O_RDWR | O_CLOEXEC)
        guard file >= 0, let gif = readAll(file, maximumBytes: .max), let start = start(of: gif) else {
            if file >= 0 { close(file) }
            throw PartialOutput.failure(shown, EIO)
        }
        defer { close(file) }
        var tail: [UInt8] = [0x21, 0xfe]
        let text = Array(comment.utf8)
        for offset in stride(from: 0, to: text.count, by: 255) {
            let block = text[offset ..< min(offset + 255, text.count)]
            tail.append(UInt8(block.count))
            tail += block
        }
        tail.append(0)
        tail += gif[start...]
        var position = start
        while !tail.isEmpty {
            let count = tail.withUnsafeBytes { pwrite(file, $0.baseAddress, $0.count, off_t(position)) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw PartialOutput.failure(shown, errno, needing: tail.count) }
            position += count
            tail.removeFirst(count)
        }
    }

    /// The first comment of a GIF file, or nil.
    static func read(_ gif: [UInt8]) -> String? {
        guard var position = start(of: gif) else { return nil }
        // Extensions only: comments behind the first picture are of no interest.
        while position + 1 < gif.count, gif[position] == 0x21 {
            let isComment = gif[position + 1] == 0xfe
            position += 2
            var text: [UInt8] = []
            while position < gif.count, gif[position] != 0 {
                let length = Int(gif[position])
                guard position + 1 + length <= gif.count else { return nil }
                text += gif[position + 1 ..< position + 1 + length]
                position += 1 + length
            }
            position += 1
            if isComment { return String(decoding: text, as: UTF8.self) }
        }
        return nil
    }
}

/// All bytes of an open file, or nil if it cannot be read or has more than `maximumBytes`.
func readAll(_ file: Int32, maximumBytes: Int) -> [UInt8]? {
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 20)
    while true {
        let count = read(file, &chunk, chunk.count)
        if count < 0, errno == EINTR { continue }
        if count < 0 || count > maximumBytes - bytes.count { return nil }
        if count == 0 { return bytes }
        bytes += chunk.prefix(count)
    }
}
