import SwanCheckpoint
import SwanDiagnostics
import SwanTensor
import Testing

/// Changed files end in a value or an error, whatever was changed: a trap would end the run.
///
/// Every tensor of a file that still opens is read to its last byte.
@Suite struct FuzzTests {
    private static let rounds = 100_000

    /// Opens `rounds` changed copies.
    ///
    /// - Returns: how many opened, so that a mutator that only breaks files (or never does) is noticed.
    private func fuzz(
        seed: UInt64, _ change: (inout SplitMix64) -> [UInt8], open: (HostBytes) throws(SwanError) -> any WeightSource
    ) -> Int {
        var random = SplitMix64(seed: seed)
        var opened = 0
        for _ in 0 ..< Self.rounds {
            let bytes = HostBytes(change(&random))
            guard let source = try? open(bytes) else { continue }
            opened += 1
            for name in source.names {
                guard let tensor = try? source.tensor(name) else { continue }
                blackHole(tensor.bytes.withBytes { $0.reduce(0, ^) })
            }
        }
        return opened
    }

    @Test func safetensors() throws {
        let bytes = try contents(of: "types.safetensors")
        let length = Int(bytes[0]) | Int(bytes[1]) << 8
        let (header, data) = (Array(bytes[8 ..< 8 + length]), Array(bytes[(8 + length)...]))
        let opened = fuzz(seed: 1) { random in
            var header = header
            header.mutate(isText: true, &random)
            var file = littleEndian(UInt64(header.count)) + header + data
            // Mostly the announced length stays right, so that what follows is reached.
            if Int.random(in: 0 ..< 8, using: &random) == 0 { file.mutate(in: 0 ..< 16, &random) }
            return file
        } open: { bytes throws(SwanError) in
            try SafetensorsFile(bytes, origin: "fuzz")
        }
        #expect((100 ..< 90_000).contains(opened), "\(opened)")
    }

    @Test func json() throws {
        let text = Array(
            #"{"metadata":{"total_size":12.5e1},"weight_map":{"a.\u00e4":"m-1.safetensors","b":"m-2.safetensors"}}"#
                .utf8)
        var random = SplitMix64(seed: 2)
        var read = 0
        for _ in 0 ..< Self.rounds {
            var text = text
            text.mutate(isText: true, &random)
            if (try? ShardedSafetensors.weightMap(HostBytes(text), origin: "fuzz")) != nil { read += 1 }
        }
        #expect((100 ..< 90_000).contains(read), "\(read)")
    }

    @Test func zip() throws {
        let files = try [contents(of: "zip64.pth"), contents(of: "wrapped.pth")]
        let opened = fuzz(seed: 3) { random in
            var file = files[Int.random(in: 0 ..< 2, using: &random)]
            // The directory and the end records are in the last part.
            let directory = file.count * 2 / 3 ..< file.count
            file.mutate(in: Bool.random(using: &random) ? directory : 0 ..< file.count, &random)
            return file
        } open: { bytes throws(SwanError) in
            try PyTorchFile(bytes, origin: "fuzz")
        }
        #expect((100 ..< 90_000).contains(opened), "\(opened)")
    }

    @Test func pickle() throws {
        let file = try contents(of: "state.pth")
        let start = try #require(file.firstRange(of: [0x80, 0x02, 0x63])).lowerBound
        let end = try #require(file[start...].firstRange(of: Array("u.PK".utf8))).lowerBound + 2
        let pickles = [Array(file[start ..< end]), tensorPickle()]
        let storage = HostBytes([UInt8](0 ..< 96))
        let opened = fuzz(seed: 4) { random in
            var pickle = pickles[Int.random(in: 0 ..< 2, using: &random)]
            pickle.mutate(in: 2 ..< pickle.count, &random)
            return pickle
        } open: { bytes throws(SwanError) in
            try PyTorchFile(pickle: bytes, origin: "fuzz") { $0.count < 3 ? storage : nil }
        }
        #expect((100 ..< 90_000).contains(opened), "\(opened)")
    }

    @Test func gguf() throws {
        let file = try contents(of: "types.gguf")
        let data = try #require(file.firstRange(of: Array("vector".utf8))).upperBound + 28
        let opened = fuzz(seed: 5) { random in
            var file = file
            file.mutate(in: 0 ..< data, &random)
            return file
        } open: { bytes throws(SwanError) in
            try GGUFFile(bytes, origin: "fuzz")
        }
        #expect((100 ..< 90_000).contains(opened), "\(opened)")
    }

    @Test func kinds() throws {
        let files = try ["types.safetensors", "pointer.safetensors", "legacy.pth"].map(contents)
        var random = SplitMix64(seed: 6)
        var kinds: Set<FileKind> = []
        for _ in 0 ..< Self.rounds {
            var file = Array(files[Int.random(in: 0 ..< 3, using: &random)].prefix(300))
            file.mutate(in: 0 ..< file.count, &random)
            kinds.insert(FileKind(HostBytes(file)))
        }
        #expect(kinds.count > 3)
    }
}

/// Keeps a value from being optimised away.
@inline(never) private func blackHole(_ value: UInt8) {}

extension Array<UInt8> {
    /// Makes one to four changes within `range`; all of it when it is nil.
    fileprivate mutating func mutate(in range: Range<Int>? = nil, isText: Bool = false, _ random: inout SplitMix64) {
        for _ in 0 ..< Int.random(in: 1 ... 4, using: &random) {
            let bounds = (range ?? 0 ..< count).clamped(to: 0 ..< count)
            guard !bounds.isEmpty else { return }
            let place = Int.random(in: bounds, using: &random)
            switch Int.random(in: 0 ..< 8, using: &random) {
            case 0: self[place] ^= 1 << UInt8.random(in: 0 ..< 8, using: &random)
            case 1: self[place] = .random(in: 0 ... 255, using: &random)
            case 2: insert(.random(in: 0 ... 255, using: &random), at: place)
            case 3: removeSubrange(place ..< Swift.min(count, place + Int.random(in: 1 ... 8, using: &random)))
            case 4:
                // A copy of another piece.
                let other = Int.random(in: bounds, using: &random)
                let piece = self[other ..< Swift.min(count, other + Int.random(in: 1 ... 40, using: &random))]
                insert(contentsOf: Array(piece), at: place)
            case 5: removeLast(Int.random(in: 0 ..< Swift.min(count, 40), using: &random))
            default: isText ? replaceDigits(near: place, &random) : overwriteNumber(at: place, &random)
            }
        }
    }

    /// Writes a number that lies at some border.
    private mutating func overwriteNumber(at place: Int, _ random: inout SplitMix64) {
        let numbers: [UInt64] = [
            0, 1, 2, 255, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 32, 1 << 62, 1 << 63, .max, .max - 31,
            UInt64(count), UInt64(Int.max),
        ]
        let width = [1, 2, 4, 8][Int.random(in: 0 ..< 4, using: &random)]
        let bytes = littleEndian(numbers[Int.random(in: 0 ..< numbers.count, using: &random)]).prefix(width)
        for (offset, byte) in bytes.enumerated() where place + offset < count { self[place + offset] = byte }
    }

    /// Puts another number in place of the next one in a text.
    private mutating func replaceDigits(near place: Int, _ random: inout SplitMix64) {
        let numbers = [
            "0", "1", "-1", "2", "1.5", "1e3", "255", "4294967296", "9223372036854775807", "9223372036854775808",
            "18446744073709551616", "-0", "null", "[]", "{}", "\"\"", "\(count)", "\"F32\"", "[1,2]",
        ]
        let isDigit = { (byte: UInt8) in (0x30 ... 0x39).contains(byte) }
        guard let start = self[place...].firstIndex(where: isDigit) else { return }
        let end = self[start...].firstIndex { !isDigit($0) } ?? count
        replaceSubrange(start ..< end, with: numbers[Int.random(in: 0 ..< numbers.count, using: &random)].utf8)
    }
}
