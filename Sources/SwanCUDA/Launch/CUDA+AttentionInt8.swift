import SwanDiagnostics
import SwanTensor

extension CUDABackend {
    /// Attention of eight-bit numbers: queries and keys are rotated and rounded, values are rounded and transposed, and the
    /// kernel multiplies those.
    ///
    /// Takes some 3.1 bytes of memory for each number of q, where k and v are as large, until the next operation.
    ///
    /// - Parameters:
    ///   - kernel: what multiplies, one of those in eight bits.
    ///   - norms: of queries and keys, which are made while those are rounded; nil where they were.
    ///   - resultScales: of a result of fp8, float32 `[queries]`; nil for one of bfloat16.
    func attentionInt8(
        _ kernel: AttentionKernel, _ call: AttentionCall, _ norms: AttentionNorms? = nil, resultScales: Tensor? = nil
    ) throws(SwanError) {
        let shapes = call.shapes
        let (queries, keys, heads, width) = (shapes.queries, shapes.keys, shapes.heads, shapes.width)
        let all = heads * width
        let tiles = divided(keys, by: KernelPlan.int8Tile)
        let pitch = tiles * KernelPlan.int8Tile

        // What stands before a row's norm is read twice: its mean square has to be known before its tile's largest number.
        let keyFactors: Tensor? =
            if let norms {
                try rmsFactors(of: call.k, rows: keys, width: all, eps: norms.keyEps)
            } else {
                nil
            }
        // Asked for at each launch: a tensor's memory is its own up to where it is named last.
        func keyNorm() throws(SwanError) -> [KernelArgument] {
            guard let norms, let keyFactors else {
                // Nothing reads these.
                return [KernelArgument](repeating: .address(call.k), count: 4)
            }
            return [
                .address(try address(keyFactors)), .address(norms.keyWeight), .address(norms.cosines),
                .address(norms.sines),
            ]
        }
        let parts = divided(keys, by: KernelPlan.int8Part)
        let ranges = try allocate([parts, 3, all], .float32)
        let channels = try allocate([3, all], .float32)
        let bounds = try allocate([divided(all, by: KernelPlan.int8Channels)], .float32)
        try executor.launch(
            .attentionInt8Ranges(keys: keys, width: all, hasNorm: norms != nil),
            [.address(call.k)] + keyNorm() + [.address(call.v), .address(address(ranges)), .count(keys)], on: .compute)
        try launch(
            .attentionInt8Channels(width: all), [address(ranges), address(channels), address(bounds)],
            [.count(parts), .count(keys)])

        let q = try allocate([queries, heads, width], .int8)
        let k = try allocate([keys, heads, width], .int8)
        let v = try allocate([width, heads, pitch], .int8)
        let qScales = try allocate([heads, queries], .float32)
        let kScales = try allocate([heads, tiles], .float32)
        // Both are rotated by a matrix whose square is 128.
        let factor = call.scale * Self.log2e / Float(width)
        if let norms {
            try executor.launch(
                .attentionInt8NormedQueries(rows: queries, heads: heads),
                [
                    .address(call.q), .address(norms.queryWeight), .address(norms.cosines), .address(norms.sines),
                    .address(address(q)), .address(address(qScales)), .count(queries), .float(norms.queryEps),
                    .float(factor),
                ], on: .compute)
        } else {
            try executor.launch(
                .attentionInt8Queries(rows: queries, heads: heads),
                [
                    .address(call.q), .address(address(q)), .address(address(qScales)), .count(queries),
                    .count(heads), .float(factor),
                ], on: .compute)
        }
        try executor.launch(
            .attentionInt8Keys(rows: keys, heads: heads, hasNorm: norms != nil),
            [.address(call.k)] + keyNorm() + [
                .address(address(channels)), .address(address(k)), .address(address(kScales)), .count(keys),
                .count(heads),
            ], on: .compute)
        try executor.launch(
            .attentionInt8Values(keys: keys, heads: heads),
            [
                .address(call.v), .address(address(channels)), .address(address(v)), .count(keys), .count(heads),
                .count(pitch),
            ], on: .compute)

        let scales: [KernelArgument] = [
            .address(try address(qScales)), .address(try address(kScales)), .address(try address(channels)),
            .address(try address(call.o)), .address(try address(bounds)), .address(try address(resultScales ?? call.o)),
            .count(queries), .count(keys), .count(heads),
        ]
        guard kernel == .int8SM90 else {
            return try executor.launch(
                .attentionInt8SM80(queries: queries, heads: heads, isNarrow: resultScales != nil),
                [.address(address(q)), .address(address(k)), .address(address(v))] + scales, on: .compute)
        }
        func map(_ tensor: Tensor, rows: Int, width: Int, tileRows: Int) throws(SwanError) -> KernelArgument {
            .tiles(
                TileMap(
                    address: try address(tensor), rows: rows, heads: heads, width: width, tileRows: tileRows,
                    dtype: .int8))
        }
        try executor.launch(
            .attentionInt8SM90(queries: queries, heads: heads, isNarrow: resultScales != nil),
            [
                map(q, rows: queries, width: width, tileRows: KernelPlan.int8Tile),
                // A block fetches half of a tile, for both of its cluster.
                map(k, rows: keys, width: width, tileRows: KernelPlan.int8Tile / 2),
                map(v, rows: width, width: pitch, tileRows: KernelPlan.int8Tile / 2),
            ] + scales, on: .compute)
    }

    /// What root-mean-square normalisation multiplies each row with.
    private func rmsFactors(of x: UInt64, rows: Int, width: Int, eps: Float) throws(SwanError) -> Tensor {
        let factors = try allocate([rows], .float32)
        try executor.launch(
            .rmsFactors(rows: rows, width: width),
            [.address(x), .address(address(factors)), .count(rows), .float(eps)], on: .compute)
        return factors
    }
}
