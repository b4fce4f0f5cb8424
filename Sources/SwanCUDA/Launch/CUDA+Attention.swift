public import SwanDiagnostics
public import SwanTensor

extension CUDABackend {
    /// See ``AttentionOps/attention(q:k:v:scale:bias:)``: by the first of the device's ``AttentionKernel``s that takes
    /// the shapes.
    public func attention(q: Tensor, k: Tensor, v: Tensor, scale: Float, bias: Tensor?) throws(SwanError) -> Tensor {
        let call = AttentionCall(
            shapes: try AttentionShapes(q: q, k: k, v: v, bias: bias, activation: activationType), q: try address(q),
            k: try address(k), v: try address(v),
            bias: try bias.map { (tensor) throws(SwanError) in try address(tensor) },
            o: try allocate(q.shape, activationType), scale: scale)
        let isAligned = try isAligned(q, k, v, call.o)
        var kernels = attentionKernels
        if call.shapes.keys < AttentionKernel.fewKeys, let hopper = kernels.firstIndex(of: .flashSM90),
            let library = kernels.firstIndex(of: .cudnn), hopper < library, !(isAttentionNamed && hopper == 0)
        {
            kernels.swapAt(hopper, library)
        }
        for kernel in kernels
        where kernel.takes(
            width: call.shapes.width, heads: call.shapes.heads, keys: call.shapes.keys, hasBias: bias != nil,
            isAligned: isAligned, scale: scale
        ) {
            guard try run(kernel, call) else { continue }
            note(kernel, call.shapes)
            break
        }
        return call.o
    }

    /// One attention, as addresses.
    struct AttentionCall {
        let shapes: AttentionShapes
        let q, k, v: UInt64
        let bias: UInt64?
        let o: Tensor
        let scale: Float
    }

    /// Enqueues an attention; false, with nothing enqueued, where the kernel has no form for its shapes.
    private func run(_ kernel: AttentionKernel, _ call: AttentionCall) throws(SwanError) -> Bool {
        let shapes = call.shapes
        let (queries, keys, heads, width) = (shapes.queries, shapes.keys, shapes.heads, shapes.width)
        let o = try address(call.o)
        let tensors = [call.q, call.k, call.v, call.bias ?? o, o]
        let strides: [KernelArgument] = [
            .index(shapes.biasHeadStride), .index(shapes.biasQueryStride), .float(call.scale),
        ]
        switch kernel {
        case .flashSM90:
            func tiles(_ address: UInt64, rows: Int, tileRows: Int) -> KernelArgument {
                .tiles(TileMap(address: address, rows: rows, heads: heads, width: width, tileRows: tileRows))
            }
            try executor.launch(
                .attentionSM90(queries: queries, heads: heads),
                [
                    tiles(call.q, rows: queries, tileRows: KernelPlan.attentionSM90Queries),
                    tiles(call.k, rows: keys, tileRows: KernelPlan.attentionSM90Keys),
                    tiles(call.v, rows: keys, tileRows: KernelPlan.attentionSM90Keys), .address(o), .count(queries),
                    .count(keys), .count(heads), .float(call.scale * Self.log2e),
                ], on: .compute)
        case .cudnn:
            return try executor.execute(
                .attention(queries: queries, keys: keys, heads: heads, width: width), [call.q, call.k, call.v, o],
                scale: call.scale, workspace: workspace())
        case .flashSM80:
            guard
                let plan = KernelPlan.attention(
                    queries: queries, heads: heads, width: width, hasBias: call.bias != nil,
                    sharedMemoryPerBlock: sharedMemoryPerBlock)
            else { return false }
            try launch(plan, tensors, [.count(queries), .count(keys), .count(heads)] + strides)
        case .plain:
            try launch(
                .plainAttention(queries: queries, heads: heads, width: width, hasBias: call.bias != nil), tensors,
                [.count(keys), .count(heads), .count(width)] + strides)
        case .int8SM90: try attentionInt8(call)
        }
        return true
    }

    /// Of a softmax whose powers are those of 2.
    static let log2e: Float = 1.442695041

    /// Remembers what computed the largest attention so far.
    private func note(_ kernel: AttentionKernel, _ shapes: AttentionShapes) {
        let work = shapes.queries * shapes.keys * shapes.heads * shapes.width
        if work > largestAttention.work { largestAttention = (work, kernel) }
    }

    /// See ``AttentionOps/attentionKernel``.
    public var attentionKernel: String { (largestAttention.kernel ?? attentionKernels[0]).rawValue }

    /// See ``AttentionOps/isAttentionExact``.
    public var isAttentionExact: Bool { attentionKernels[0].isExact }

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
