public import SwanDiagnostics
public import SwanTensor

extension CUDABackend {
    /// See `AttentionOps.attention(q:k:v:scale:bias:)`: by the first of the device's ``AttentionKernel``s that takes
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

    /// See `AttentionOps.selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:)`: in one where the device's first kernel
    /// rounds queries and keys.
    public func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float
    ) throws(SwanError) -> Tensor {
        let fused = try fusedAttention(
            q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale
        ) { (shape) throws(SwanError) in (try allocate(shape, activationType), nil) }
        if let fused { return fused }
        return try attentionBehindNorms(
            q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale)
    }

    /// See `EightBitOps.selfAttention(q:k:v:queryNorm:keyNorm:rope:scale:to:)`: in one as well, with a scale that all rows
    /// have in common.
    public func selfAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float,
        to coding: EightBitCoding
    ) throws(SwanError) -> QuantizedRows {
        var rows: QuantizedRows?
        if coding == .fp8 {
            _ = try fusedAttention(
                q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale
            ) { (shape) throws(SwanError) in
                let made = try newRows([shape[0], shape[1] * shape[2]], coding)
                rows = made
                return (made.values, made.scales)
            }
        }
        if let rows { return rows }
        let o = try selfAttention(
            q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, scale: scale)
        return try quantizeRows(o.reshaped([o.shape[0], o.shape[1] * o.shape[2]]), to: coding)
    }

    /// Attention by the device's first kernel, where that rounds queries and keys; nil, with nothing enqueued, elsewhere.
    ///
    /// - Parameter result: makes the result of a shape, and of one in eight bits its scales.
    private func fusedAttention(
        q: Tensor, k: Tensor, v: Tensor, queryNorm: RowNorm, keyNorm: RowNorm, rope: RotaryTable, scale: Float,
        result: (Shape) throws(SwanError) -> (o: Tensor, scales: Tensor?)
    ) throws(SwanError) -> Tensor? {
        let shapes = try SelfAttentionShapes(
            q: q, k: k, v: v, queryNorm: queryNorm, keyNorm: keyNorm, rope: rope, activation: activationType)
        let (tokens, heads, width) = (shapes.attention.queries, shapes.attention.heads, shapes.attention.width)
        guard let kernel = fusingKernel(tokens: tokens, heads: heads, width: width), scale > 0,
            try isAligned(q, k, v, queryNorm.weight, keyNorm.weight, rope.cosines, rope.sines)
        else { return nil }
        let (o, scales) = try result(q.shape)
        let call = AttentionCall(
            shapes: shapes.attention, q: try address(q), k: try address(k), v: try address(v), bias: nil, o: o,
            scale: scale)
        try attentionInt8(
            kernel, call,
            AttentionNorms(
                queryWeight: address(queryNorm.weight), queryEps: queryNorm.eps, keyWeight: address(keyNorm.weight),
                keyEps: keyNorm.eps, cosines: address(rope.cosines), sines: address(rope.sines)), resultScales: scales)
        note(kernel, call.shapes)
        return o
    }

    /// See `AttentionOps.fusesSelfAttention(tokens:heads:width:)`.
    public func fusesSelfAttention(tokens: Int, heads: Int, width: Int) -> Bool {
        fusingKernel(tokens: tokens, heads: heads, width: width) != nil
    }

    /// The device's first kernel, if it rounds queries and keys and takes these.
    private func fusingKernel(tokens: Int, heads: Int, width: Int) -> AttentionKernel? {
        guard let kernel = attentionKernels.first, [.int8SM90, .int8SM80].contains(kernel),
            kernel.takes(width: width, heads: heads, keys: tokens, hasBias: false, isAligned: true, scale: 1),
            heads <= KernelPlan.mostNormedHeads
        else { return nil }
        return kernel
    }

    /// One attention, as addresses.
    struct AttentionCall {
        let shapes: AttentionShapes
        let q, k, v: UInt64
        let bias: UInt64?
        let o: Tensor
        let scale: Float
    }

    /// What queries and keys go through before, as addresses.
    struct AttentionNorms {
        let queryWeight: UInt64
        let queryEps: Float
        let keyWeight: UInt64
        let keyEps: Float
        let cosines, sines: UInt64
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
        case .int8SM90, .int8SM80: try attentionInt8(kernel, call)
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

    /// See `AttentionOps.attentionKernel`.
    public var attentionKernel: String { (largestAttention.kernel ?? attentionKernels[0]).rawValue }

    /// See `AttentionOps.isAttentionExact`.
    public var isAttentionExact: Bool { attentionKernels[0].isExact }

    /// See `AttentionOps.distanceBias(_:buckets:)`.
    public func distanceBias(_ table: Tensor, buckets: Tensor) throws(SwanError) -> Tensor {
        let shapes = try DistanceBiasShapes(table: table, buckets: buckets)
        let result = try allocate([shapes.heads, shapes.tokens, shapes.tokens], .float32)
        try launch(
            .distanceBias(tokens: shapes.tokens, heads: shapes.heads),
            [address(table), address(buckets), address(result)], [.count(shapes.buckets)])
        return result
    }
}
