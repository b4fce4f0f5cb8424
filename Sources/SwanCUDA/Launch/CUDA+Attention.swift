public import SwanDiagnostics
public import SwanTensor

extension CUDABackend {
    /// See ``AttentionOps/attention(q:k:v:scale:bias:)``.
    ///
    /// cuDNN where it is installed and no bias is given; else Swan's kernel on the matrix units; else, for heads
    /// that fit neither, the plain kernel.
    public func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?) throws(SwanError) -> Tensor {
        let shapes = try AttentionShapes(q: q, k: k, v: v, bias: bias, activation: activationType)
        let (queries, keys, heads, width) = (shapes.queries, shapes.keys, shapes.heads, shapes.width)
        let o = try allocate(q.shape, activationType)
        let aligned = try isAligned(q, k, v, o)
        if bias == nil, aligned,
            try executor.execute(
                .attention(queries: queries, keys: keys, heads: heads, width: width),
                [address(q), address(k), address(v), address(o)], scale: scale, workspace: workspace())
        {
            return o
        }
        let tensors = [try address(q), try address(k), try address(v), try address(bias ?? o), try address(o)]
        let strides: [KernelArgument] = [.index(shapes.biasHeadStride), .index(shapes.biasQueryStride), .float(scale)]
        if aligned,
            let plan = KernelPlan.attention(
                queries: queries, heads: heads, width: width, hasBias: bias != nil,
                sharedMemoryPerBlock: sharedMemoryPerBlock)
        {
            try launch(plan, tensors, [.count(queries), .count(keys), .count(heads)] + strides)
        } else {
            try launch(
                .plainAttention(queries: queries, heads: heads, width: width, hasBias: bias != nil), tensors,
                [.count(keys), .count(heads), .count(width)] + strides)
        }
        return o
    }

    /// See ``AttentionOps/distanceBias(_:buckets:)``.
    public func distanceBias(_ table: Tensor, buckets: Tensor) throws(SwanError) -> Tensor {
        let shapes = try DistanceBiasShapes(table: table, buckets: buckets)
        let result = try allocate([shapes.heads, shapes.tokens, shapes.tokens], .float32)
        try launch(
            .distanceBias(tokens: shapes.tokens, heads: shapes.heads),
            [address(table), address(buckets), address(result)], [.count(shapes.buckets)])
        return result
    }
}
