import CSwanSystem

/// A zip file made by hand.
public struct ZipMaker {
    private var body: [UInt8] = []
    private var directory: [UInt8] = []
    private var count = 0

    /// Begins one without files.
    public init() {}

    /// Adds a file; a checksum and a size may be wrong.
    public mutating func add(
        _ path: String, _ bytes: [UInt8], isDeflated: Bool, checksum: UInt32? = nil, size: Int? = nil
    ) {
        let packed = isDeflated ? Self.deflated(bytes) : bytes
        let sum = checksum ?? UInt32(crc32(0, bytes, UInt32(bytes.count)))
        let name = Array(path.utf8)
        let common =
            Self.little(isDeflated ? 8 : 0, 2) + Self.little(0, 4) + Self.little(Int(sum), 4)
            + Self.little(packed.count, 4) + Self.little(size ?? bytes.count, 4) + Self.little(name.count, 2)
        directory += Self.little(0x0201_4B50, 4) + Self.little(20, 2) + Self.little(20, 2) + Self.little(0, 2) + common
        directory += Self.little(0, 2) + Self.little(0, 2) + Self.little(0, 2) + Self.little(0, 2) + Self.little(0, 4)
        directory += Self.little(body.count, 4) + name
        body += Self.little(0x0403_4B50, 4) + Self.little(20, 2) + Self.little(0, 2) + common + Self.little(3, 2)
        body += name + [1, 2, 3] + packed
        count += 1
    }

    /// The whole file.
    public var bytes: [UInt8] {
        body + directory + Self.little(0x0605_4B50, 4) + Self.little(0, 4) + Self.little(count, 2)
            + Self.little(count, 2) + Self.little(directory.count, 4) + Self.little(body.count, 4) + Self.little(5, 2)
            + Array("hello".utf8)
    }

    private static func little(_ number: Int, _ count: Int) -> [UInt8] {
        (0 ..< count).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
    }

    private static func deflated(_ bytes: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        var input = bytes
        var output = [UInt8](repeating: 0, count: bytes.count + 1000)
        _ = deflateInit2_(&stream, 9, Z_DEFLATED, -15, 8, 0, zlibVersion(), Int32(MemoryLayout<z_stream>.size))
        let count = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(output.count)
                _ = deflate(&stream, Z_FINISH)
                return output.count - Int(stream.avail_out)
            }
        }
        deflateEnd(&stream)
        return Array(output[..<count])
    }
}
