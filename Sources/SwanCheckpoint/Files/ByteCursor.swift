import SwanDiagnostics

/// Reads little-endian values, one after the other, from bytes that nobody has checked.
///
/// Lives inside a closure of `withBytes`. Every access is checked against the end, also in release
/// builds, where the standard library does not check raw buffers.
struct ByteCursor {
    private let bytes: UnsafeRawBufferPointer
    /// Names the file in messages.
    let origin: String
    /// Where the next value starts.
    private(set) var offset: Int

    init(_ bytes: UnsafeRawBufferPointer, offset: Int = 0, origin: String) {
        precondition(offset >= 0 && offset <= bytes.count)
        self.bytes = bytes
        self.offset = offset
        self.origin = origin
    }

    /// Bytes left.
    var remaining: Int { bytes.count - offset }

    /// The next bytes.
    ///
    /// - Throws: `checkpoint.truncated` when there are not as many.
    mutating func read(bytes count: UInt64, _ what: @autoclosure () -> String) throws(SwanError)
        -> UnsafeRawBufferPointer
    {
        guard let count = Int(exactly: count), count <= remaining else {
            throw SwanError(
                .truncated, "\(origin): \(what()) at byte \(offset) takes \(count) bytes and \(remaining) are left.",
                advice: SwanError.fetchAgain)
        }
        defer { offset += count }
        return UnsafeRawBufferPointer(rebasing: bytes[offset ..< offset + count])
    }

    /// The next integer.
    mutating func read<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, _ what: @autoclosure () -> String)
        throws(SwanError) -> T
    {
        let size = MemoryLayout<T>.size
        guard size <= remaining else {
            throw SwanError(
                .truncated, "\(origin): ends at byte \(bytes.count), inside \(what()).", advice: SwanError.fetchAgain)
        }
        defer { offset += size }
        return T(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: T.self))
    }

    /// The next bytes as text.
    ///
    /// - Throws: also `checkpoint.malformed` when they are not UTF-8.
    mutating func text(bytes count: UInt64, _ what: @autoclosure () -> String) throws(SwanError) -> String {
        let start = offset
        guard let text = String(validating: try read(bytes: count, what()), as: UTF8.self) else {
            throw SwanError(
                .malformed, "\(origin): \(what()) at byte \(start) is not UTF-8.", advice: SwanError.fetchAgain)
        }
        return text
    }
}

/// Why a tensor's name cannot be used, or nil when it can: at most 1024 bytes without control characters.
func nameFault(_ name: String) -> String? {
    if name.utf8.count > 1024 { return "is \(name.utf8.count) bytes long, at most 1024 are read" }
    let isControl = { (scalar: Unicode.Scalar) in scalar.value < 0x20 || (0x7F ..< 0xA0).contains(scalar.value) }
    return name.unicodeScalars.contains(where: isControl) ? "contains control characters" : nil
}

/// The largest number of axes that is read from a file.
let maximumRank = 8
/// The largest number of tensors that is read from a file.
let maximumTensors = 1_000_000
