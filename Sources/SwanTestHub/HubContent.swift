import Crypto

/// What a file of a test's repository holds: given bytes, or as many as wanted that a seed makes.
public struct HubContent: Sendable {
    private enum Kind {
        case bytes([UInt8])
        case made(seed: UInt64)
    }

    private let kind: Kind
    /// Its bytes.
    public let size: Int

    /// Given bytes.
    public init(_ bytes: [UInt8]) { (kind, size) = (.bytes(bytes), bytes.count) }

    /// A text.
    public init(_ text: String) { self.init(Array(text.utf8)) }

    /// Bytes that look random and are never in memory as a whole.
    public init(seed: UInt64, size: Int) { (kind, self.size) = (.made(seed: seed), size) }

    /// A part of it.
    public func bytes(_ range: Range<Int>) -> [UInt8] {
        switch kind {
        case .bytes(let bytes): return Array(bytes[range])
        case .made(let seed):
            let first = range.lowerBound / 8
            let words = (first ..< (range.upperBound + 7) / 8).map { Self.word(seed, $0) }
            return words.withUnsafeBytes {
                Array($0[(range.lowerBound - first * 8) ..< (range.upperBound - first * 8)])
            }
        }
    }

    /// SplitMix64 at a place of its sequence.
    private static func word(_ seed: UInt64, _ index: Int) -> UInt64 {
        var z = seed &+ UInt64(index + 1) &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return (z ^ (z >> 31)).littleEndian
    }

    /// SHA-256, in hexadecimal digits.
    public var sha256: String { digits(SHA256()) }

    /// Git's name of a blob with this content.
    public var gitBlob: String {
        var hash = Insecure.SHA1()
        hash.update(data: Array("blob \(size)\0".utf8))
        return digits(hash)
    }

    private func digits(_ function: some HashFunction) -> String {
        var function = function
        for start in stride(from: 0, to: size, by: 1 << 20) {
            function.update(data: bytes(start ..< min(start + (1 << 20), size)))
        }
        return hexadecimal(function.finalize())
    }
}

func hexadecimal(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
