import SwanDiagnostics
import SwanTensor
import Testing

/// Parts of tensors that are stored in blocks.
@Suite struct HostTensorTests {
    @Test func slicesFallOnWholeBlocks() throws {
        let blocks = HostBytes([UInt8](repeating: 0, count: 3 * 34))
        let row = try HostTensor([96], .q80, blocks)
        #expect(try row.slice(32 ..< 96).bytes.count == 68)
        #expect(try row.slice(32 ..< 32).shape == [0])
        for range in [0 ..< 1, 1 ..< 33, 0 ..< 97, -32 ..< 32, 96 ..< 128] {
            try expectError(.shapeMismatch) { try row.slice(range) }
        }
        let table = try HostTensor([3, 32], .q80, blocks)
        #expect(try table.slice(1 ..< 3).bytes.count == 68)
        try expectError(.shapeMismatch) { try HostTensor([], [1]).slice(0 ..< 1) }
    }
}
