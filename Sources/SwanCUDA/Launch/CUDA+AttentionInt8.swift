import SwanDiagnostics
import SwanTensor

extension CUDABackend {
    /// Attention of eight-bit numbers: queries and keys are rotated and rounded, values are rounded and transposed, and the
    /// kernel multiplies those.
    ///
    /// Takes some 3.1 bytes of memory for each number of q, where k and v are as large, until the next operation.
    func attentionInt8(_ call: AttentionCall) throws(SwanError) {
        let shapes = call.shapes
        let (queries, keys, heads, width) = (shapes.queries, shapes.keys, shapes.heads, shapes.width)
        let all = heads * width
        let tiles = divided(keys, by: KernelPlan.int8Tile)
        let pitch = tiles * KernelPlan.int8Tile

        let parts = divided(keys, by: KernelPlan.int8Part)
        let ranges = try allocate([parts, 3, all], .float32)
        let channels = try allocate([3, all], .float32)
        try executor.launch(
            .attentionInt8Ranges(keys: keys, width: all),
            [.address(call.k), .address(call.v), .address(address(ranges)), .count(keys)], on: .compute)
        try launch(
            .attentionInt8Channels(width: all), [address(ranges), address(channels)], [.count(parts), .count(keys)])

        let q = try allocate([queries, heads, width], .int8)
        let k = try allocate([keys, heads, width], .int8)
        let v = try allocate([width, heads, pitch], .int8)
        let qScales = try allocate([heads, queries], .float32)
        let kScales = try allocate([heads, tiles], .float32)
        func round(
            _ x: UInt64, rows: Int, to y: Tensor, _ scales: Tensor, isKeys: Bool, factor: Float
        ) throws(SwanError) {
            try executor.launch(
                .attentionInt8Rows(rows: rows, heads: heads, isKeys: isKeys),
                [
                    .address(x), .address(address(channels)), .address(address(y)), .address(address(scales)),
                    .count(rows), .count(heads), .float(factor),
                ], on: .compute)
        }
        // Both are rotated by a matrix whose square is 128.
        try round(
            call.q, rows: queries, to: q, qScales, isKeys: false, factor: call.scale * Self.log2e / Float(width))
        try round(call.k, rows: keys, to: k, kScales, isKeys: true, factor: 1)
        try executor.launch(
            .attentionInt8Values(keys: keys, heads: heads),
            [
                .address(call.v), .address(address(channels)), .address(address(v)), .count(keys), .count(heads),
                .count(pitch),
            ], on: .compute)

        func map(_ tensor: Tensor, rows: Int, width: Int, tileRows: Int) throws(SwanError) -> KernelArgument {
            .tiles(
                TileMap(
                    address: try address(tensor), rows: rows, heads: heads, width: width, tileRows: tileRows,
                    dtype: .int8))
        }
        try executor.launch(
            .attentionInt8SM90(queries: queries, heads: heads),
            [
                map(q, rows: queries, width: width, tileRows: KernelPlan.int8Tile),
                // A block fetches half of a tile, for both of its cluster.
                map(k, rows: keys, width: width, tileRows: KernelPlan.int8Tile / 2),
                map(v, rows: width, width: pitch, tileRows: KernelPlan.int8Tile / 2),
                .address(address(qScales)), .address(address(kScales)), .address(address(channels)),
                .address(address(call.o)), .count(queries), .count(keys), .count(heads),
            ], on: .compute)
    }
}
