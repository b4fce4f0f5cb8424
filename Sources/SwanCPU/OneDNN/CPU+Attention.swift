import CSwanCPUKernels
public import SwanDiagnostics
public import SwanTensor

extension CPUBackend {
    /// Keys of a tile: with 96 queries its logits fill a fifth of a core's second cache level.
    private static var keyTile: Int { 512 }
    /// Floats from one query's logits to the next: not a multiple of 4 KiB, which would put the rows
    /// that the kernel reads side by side into the same few sets of the first cache level.
    private static var logitStride: Int { keyTile + 16 }

    /// See `AttentionOps.attention(q:k:v:scale:bias:)`.
    ///
    /// Keys and values are packed once per head and used by all queries. A tile of queries walks along
    /// the keys with a running maximum and sum (the online softmax of Milakov and Gimelshein,
    /// arXiv:1805.02867), so that logits never leave the cache; every weight is exact, and the order of
    /// the sums is that of the keys.
    public func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?) throws(SwanError) -> Tensor {
        let shapes = try AttentionShapes(q: q, k: k, v: v, bias: bias, activation: activationType)
        let (queries, keys, heads, width) = (shapes.queries, shapes.keys, shapes.heads, shapes.width)
        let (q, k, v) = (try floats(q), try floats(k), try floats(v))
        let biasValues: Floats? = if let bias { try floats(bias) } else { nil }
        let (result, target) = try result([queries, heads, width])
        let (rowWidth, kernels) = (heads * width, kernels)
        productCount += 1

        let tiles = (keys + Self.keyTile - 1) / Self.keyTile
        let keyFloats = panels(keys) * panelWidth * width
        let valueFloats = keys * panels(width) * panelWidth
        let packed = try HostStorage(floats: heads * (keyFloats + valueFloats), pool)
        let (packedKeys, packedValues) = (packed.floats, packed.floats + heads * keyFloats)
        library.parallel(heads * tiles) { index, _ in
            let (head, first) = (index / tiles, index % tiles * Self.keyTile)
            let count = min(Self.keyTile, keys - first)
            kernels.pack_transposed(
                packedKeys + head * keyFloats + first * width, k + first * rowWidth + head * width, rowWidth, width,
                count, 0, panels(count))
            kernels.pack(
                packedValues + head * valueFloats + first * panels(width) * panelWidth,
                v + first * rowWidth + head * width, rowWidth, count, width, 0, panels(width))
        }

        var queryTile = 96
        while queryTile > 12, heads * ((queries + queryTile - 1) / queryTile) < 4 * library.threads { queryTile /= 2 }
        let queryTiles = (queries + queryTile - 1) / queryTile
        // Per thread: logits, sums of values, maxima, sums of weights.
        let scratchSize = queryTile * (Self.logitStride + width + 2) + 15 & ~15
        let scratch = try scratchFloats(library.threads * scratchSize)
        // Tiles of one head follow each other: the cores share its keys and values.
        library.parallel(heads * queryTiles) { index, thread in
            let (head, query) = (index / queryTiles, index % queryTiles * queryTile)
            let rows = min(queryTile, queries - query)
            let logits = scratch + thread * scratchSize
            let values = logits + queryTile * Self.logitStride
            let maxima = values + queryTile * width
            let sums = maxima + queryTile
            for first in stride(from: 0, to: keys, by: Self.keyTile) {
                let count = min(Self.keyTile, keys - first)
                product(
                    q + query * rowWidth + head * width, stride: rowWidth, rows: rows,
                    packedKeys + head * keyFloats + first * width, k: width, n: count, panels: 0 ..< panels(count),
                    into: logits, stride: Self.logitStride)
                let tileBias = biasValues.map { (values: Floats) -> UnsafePointer<Float> in
                    UnsafePointer(values + head * shapes.biasHeadStride + query * shapes.biasQueryStride + first)
                }
                kernels.softmax_tile(
                    logits, Self.logitStride, rows, count, scale, tileBias, shapes.biasQueryStride, maxima, sums,
                    values, width, first == 0)
                product(
                    logits, stride: Self.logitStride, rows: rows,
                    packedValues + head * valueFloats + first * panels(width) * panelWidth, k: count, n: width,
                    panels: 0 ..< panels(width), into: values, stride: width, accumulates: first > 0)
            }
            kernels.softmax_end(target + query * rowWidth + head * width, rowWidth, values, sums, rows, width)
        }
        return result
    }
}
