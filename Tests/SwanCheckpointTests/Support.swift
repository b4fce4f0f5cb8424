import Foundation
import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

/// The path of a fixture; `Fixtures/make_fixtures.py` made them.
func fixture(_ name: String) throws -> String {
    try #require(Bundle.module.resourceURL).appendingPathComponent("Fixtures").appendingPathComponent(name).path
}

/// The bytes of a fixture.
func contents(of name: String) throws -> [UInt8] {
    try Array(Data(contentsOf: URL(fileURLWithPath: fixture(name))))
}

/// A folder that is removed after `body`.
func withTemporaryFolder<R>(_ body: (String) throws -> R) throws -> R {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("swan-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: url) }
    return try body(url.path)
}

extension HostBytes {
    /// Holds a copy in memory of exactly that size, so that a sanitizer sees a read one byte too far.
    convenience init(_ bytes: [UInt8]) {
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
        copy.copyBytes(from: bytes)
        self.init(referringTo: UnsafeRawBufferPointer(copy), owner: OwnedMemory(copy))
    }

    /// A copy of the bytes.
    var array: [UInt8] { withBytes { Array($0) } }
}

/// Frees memory at its end.
private final class OwnedMemory: @unchecked Sendable {
    private let bytes: UnsafeMutableRawBufferPointer
    init(_ bytes: UnsafeMutableRawBufferPointer) { self.bytes = bytes }
    deinit { bytes.deallocate() }
}

/// The bytes of a number, lowest first.
func littleEndian<T: FixedWidthInteger>(_ number: T) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian) { Array($0) }
}

/// Runs `body`, which must throw a `SwanError`, and returns it.
@discardableResult
func expectError<R>(
    _ code: SwanError.Code, mentions words: [String] = [], _ comment: String? = nil,
    sourceLocation: SourceLocation = #_sourceLocation, _ body: () throws -> R
) throws -> SwanError {
    do {
        _ = try body()
    } catch let error as SwanError {
        #expect(error.code == code, "\(comment.map { "\($0): " } ?? "")\(error)", sourceLocation: sourceLocation)
        for word in words {
            #expect(error.description.contains(word), "\(error)", sourceLocation: sourceLocation)
        }
        return error
    }
    Issue.record("\(comment.map { "\($0): " } ?? "")nothing was thrown", sourceLocation: sourceLocation)
    throw SwanError(.fault, "nothing was thrown")
}

/// Checks the shape, type and values of a tensor.
func expect(
    _ source: any WeightSource, _ name: String, _ shape: Shape, _ dtype: DType, _ values: [Float],
    sourceLocation: SourceLocation = #_sourceLocation
) throws {
    #expect(source.info(name) == TensorInfo(shape, dtype), "\(name)", sourceLocation: sourceLocation)
    let tensor = try source.tensor(name)
    #expect(tensor.shape == shape && tensor.dtype == dtype, "\(name)", sourceLocation: sourceLocation)
    let found = try dtype == .bool ? tensor.bytes.array.map { Float($0) } : tensor.floats()
    #expect(found.count == values.count, "\(name)", sourceLocation: sourceLocation)
    for (index, (found, expected)) in zip(found, values).enumerated() {
        let same = found == expected || found.isNaN && expected.isNaN
        #expect(same, "\(name)[\(index)] is \(found), expected \(expected)", sourceLocation: sourceLocation)
        if !same { break }
    }
}

/// 0, 0.5, 1, … as the fixtures' `ramp`.
func ramp(_ count: Int) -> [Float] { (0 ..< count).map { Float($0) * 0.5 } }

/// A small generator whose numbers are the same on every run.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators" (SplitMix64).
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
