package import SwanDiagnostics
package import SwanTensor

/// A kernel with its defines, and the grid that covers a shape: arithmetic that needs no device.
package struct KernelPlan: Sendable, Hashable {
    /// What is compiled.
    package let request: KernelRequest
    /// How it is started.
    package let shape: LaunchShape

    /// The only architecture that the kernel is written for; nil for all of ``architectures``.
    package var onlyArchitecture: String? { request.name.hasSuffix("_sm90") ? "sm_90a" : nil }
}

/// The name of an element type in the kernels' text.
func kernelType(_ dtype: DType) throws(SwanError) -> String {
    switch dtype {
    case .float32: return "float"
    case .bfloat16: return "bfloat16"
    case .float16: return "float16"
    case .float8E4M3: return "float8"
    case .int8: return "int8"
    default: throw SwanError(.cudaUnsupported, "There are no kernels for elements of type \(dtype).")
    }
}

extension Activation {
    /// The name in the kernels' text.
    var kernelName: String {
        switch self {
        case .identity: "IDENTITY"
        case .geluTanh: "GELU_TANH"
        case .silu: "SILU"
        }
    }
}

func divided(_ count: Int, by size: Int) -> Int { (count + size - 1) / size }

extension KernelPlan {
    private init(
        _ name: String, _ defines: [String: any CustomStringConvertible & Sendable] = [:], _ shape: LaunchShape
    ) {
        request = KernelRequest(name, defines)
        self.shape = shape
    }

    /// One thread for each vector of `count` elements.
    private static func flat(
        _ name: String, _ defines: [String: any CustomStringConvertible & Sendable], count: Int, vector: Int
    ) -> KernelPlan {
        var defines = defines
        defines["VECTOR"] = vector
        return KernelPlan(name, defines, LaunchShape(max(1, divided(count, by: vector * 256)), block: 256))
    }

    // Rows ----------------------------------------------------------------------------------------

    /// Threads of a block that holds a row in registers: 24 values each at most, or 32 where that takes more than 512.
    ///
    /// - Throws: `cuda.unsupported` for rows that no block can hold.
    private static func rowThreads(_ width: Int) throws(SwanError) -> Int {
        guard width <= 32 * 1024 else {
            throw SwanError(.cudaUnsupported, "Rows of \(width) values are not supported, at most 32768 are.")
        }
        var threads = 32
        while threads < 512, threads * 24 < width { threads *= 2 }
        // Blocks of 1024 threads leave a multiprocessor waiting for one row: 13824 values to fp8 took 0.53 ms, with 448
        // threads 0.33 (H200, 32,760 rows).
        return threads * 24 < width ? divided(width, by: 32 * 32) * 32 : threads
    }

    /// - Parameter coding: how the rows are stored in eight bits; nil where they are not.
    private static func rows(
        _ name: String, rows: Int, width: Int, vector: Int,
        _ more: [String: any CustomStringConvertible & Sendable] = [:], as coding: EightBitCoding? = nil,
        threads: Int? = nil
    ) throws(SwanError) -> KernelPlan {
        let threads = if let threads { threads } else { try rowThreads(width) }
        var defines = more.merging(["WIDTH": width, "THREADS": threads, "VECTOR": vector]) { $1 }
        if let block = coding?.block(of: width), block > 1 {
            // Threads of a warp exchange a block's values. Rows of layers are multiples of 16 values in whole
            // allocations, so they always are.
            guard block <= 32 * vector else {
                throw SwanError(
                    .cudaUnsupported,
                    "Rows of \(width) values that begin at no multiple of 16 bytes cannot be stored as \(EightBitCoding.rotatedInt8.rawValue)."
                )
            }
            defines["ROTATION"] = block
        }
        return KernelPlan(name, defines, LaunchShape(rows, block: threads))
    }

    /// - Parameter coding: nil for bfloat16.
    static func layerNorm(
        rows: Int, width: Int, _ coding: EightBitCoding? = nil, isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        try Self.rows(
            "layer_norm", rows: rows, width: width, vector: isAligned && width % 4 == 0 ? 4 : 1,
            ["OUTPUT": kernelType(coding?.format.dtype ?? .bfloat16)], as: coding)
    }

    /// - Parameter coding: nil for bfloat16.
    static func layerNormModulate(
        tokens: Int, width: Int, _ coding: EightBitCoding? = nil, isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        try rows(
            "layer_norm_modulate", rows: tokens, width: width, vector: isAligned && width % 4 == 0 ? 4 : 1,
            ["OUTPUT": kernelType(coding?.format.dtype ?? .bfloat16)], as: coding)
    }

    static func rmsNorm(
        rows: Int, width: Int, input: DType, isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        let wide = input == .bfloat16 ? 8 : 4
        return try Self.rows(
            "rms_norm", rows: rows, width: width, vector: isAligned && width % wide == 0 ? wide : 1,
            ["INPUT": kernelType(input)])
    }

    static func rmsNormRope(
        tokens: Int, width: Int, pairs: Int, isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        let vector = isAligned && pairs % 4 == 0 ? 8 : 2
        // Vectors that all threads have as many of, where there is such a number: 5120 values by 160 threads take 0.172 ms,
        // by 256 0.191 (H200, 32,760 rows).
        let most = try rowThreads(width)
        let threads = stride(from: most, to: 0, by: -32).first {
            width % (vector * $0) == 0 && width <= 32 * $0
        }
        return try rows(
            "rms_norm_rope", rows: tokens, width: width, vector: vector, ["PAIRS": pairs], threads: threads ?? most)
    }

    static func addGated(tokens: Int, width: Int, isAligned: Bool = true) -> KernelPlan {
        let vector = isAligned && width % 4 == 0 ? 4 : 1
        return KernelPlan(
            "add_gated", ["WIDTH": width, "VECTOR": vector],
            LaunchShape(divided(width, by: vector * 256), min(tokens, 65535), block: 256))
    }

    static func addGatedLayerNorm(
        tokens: Int, width: Int, _ coding: EightBitCoding? = nil, isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        try rows(
            "add_gated_layer_norm", rows: tokens, width: width, vector: isAligned && width % 4 == 0 ? 4 : 1,
            ["OUTPUT": kernelType(coding?.format.dtype ?? .bfloat16)], as: coding)
    }

    static func addLayerNormModulate(
        tokens: Int, width: Int, isGated: Bool, _ coding: EightBitCoding? = nil, isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        try rows(
            "add_layer_norm_modulate", rows: tokens, width: width, vector: isAligned && width % 4 == 0 ? 4 : 1,
            ["OUTPUT": kernelType(coding?.format.dtype ?? .bfloat16), "GATED": isGated ? 1 : 0], as: coding)
    }

    static func quantizeRows(
        rows: Int, width: Int, input: DType, _ coding: EightBitCoding, _ activation: Activation, isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        let wide = input == .float32 ? 4 : 8
        return try Self.rows(
            "quantize_rows", rows: rows, width: width, vector: isAligned && width % wide == 0 ? wide : 1,
            ["INPUT": kernelType(input), "OUTPUT": kernelType(coding.format.dtype), "FUNCTION": activation.kernelName],
            as: coding)
    }

    /// - Parameters:
    ///   - output: bfloat16, float32, or the type of `coding`.
    ///   - coding: nil where the result is not in eight bits.
    static func rescaleProduct(
        rows: Int, width: Int, output: DType, _ coding: EightBitCoding? = nil, hasBias: Bool, _ activation: Activation,
        isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        try Self.rows(
            "rescale_product", rows: rows, width: width, vector: isAligned && width % 4 == 0 ? 4 : 1,
            ["OUTPUT": kernelType(output), "HAS_BIAS": hasBias ? 1 : 0, "FUNCTION": activation.kernelName], as: coding)
    }

    static func gateColumns(width: Int, hasBias: Bool) -> KernelPlan {
        KernelPlan("gate_columns", ["HAS_BIAS": hasBias ? 1 : 0], LaunchShape(divided(width, by: 256), block: 256))
    }

    static func modulation(parts: Int, groups: Int, width: Int) -> KernelPlan {
        KernelPlan("modulation", [:], LaunchShape(divided(width, by: 256), groups, parts, block: 256))
    }

    static func distanceBias(tokens: Int, heads: Int) -> KernelPlan {
        KernelPlan("distance_bias", [:], LaunchShape(divided(tokens, by: 128), tokens, heads, block: 128))
    }

    // Elements ------------------------------------------------------------------------------------

    static func add(count: Int, input: DType, isAligned: Bool) throws(SwanError) -> KernelPlan {
        flat("add", ["INPUT": try kernelType(input)], count: count, vector: isAligned && count % 4 == 0 ? 4 : 1)
    }

    static func activate(count: Int, type: DType, _ activation: Activation, isAligned: Bool) throws(SwanError)
        -> KernelPlan
    {
        flat(
            "activate", ["TYPE": try kernelType(type), "FUNCTION": activation.kernelName], count: count,
            vector: isAligned && count % 8 == 0 ? 8 : 1)
    }

    static func geluGate(count: Int, isAligned: Bool) -> KernelPlan {
        flat("gelu_gate", [:], count: count, vector: isAligned && count % 8 == 0 ? 8 : 1)
    }

    static func convert(count: Int, from source: DType, to target: DType, isAligned: Bool) throws(SwanError)
        -> KernelPlan
    {
        flat(
            "convert", ["SOURCE": try kernelType(source), "TARGET": try kernelType(target)], count: count,
            vector: isAligned && count % 8 == 0 ? 8 : 1)
    }

    static func gatherRows(rows: Int, width: Int, from source: DType, to target: DType) throws(SwanError) -> KernelPlan
    {
        KernelPlan(
            "gather_rows", ["SOURCE": try kernelType(source), "TARGET": try kernelType(target)],
            LaunchShape(divided(width, by: 256), rows, block: 256))
    }

    static func noise(count: Int, type: DType, isAligned: Bool) throws(SwanError) -> KernelPlan {
        flat("noise", ["TYPE": try kernelType(type)], count: count, vector: isAligned && count % 8 == 0 ? 8 : 1)
    }

    /// Terms that one launch adds.
    static let mostTerms = 5

    static func linearCombination(count: Int, terms: Int, isAligned: Bool) -> KernelPlan {
        flat("linear_combination", ["TERMS": terms], count: count, vector: isAligned && count % 4 == 0 ? 4 : 1)
    }

    // Latents and frames --------------------------------------------------------------------------

    private static func patch(_ patch: PatchSize) -> [String: any CustomStringConvertible & Sendable] {
        ["PF": patch.frames, "PH": patch.height, "PW": patch.width]
    }

    static func patchify(count: Int, patch: PatchSize) -> KernelPlan {
        KernelPlan("patchify", Self.patch(patch), LaunchShape(divided(count, by: 256), block: 256))
    }

    static func unpatchify(count: Int, patch: PatchSize, input: DType) throws(SwanError) -> KernelPlan {
        let defines = Self.patch(patch).merging(["INPUT": try kernelType(input)]) { $1 }
        return KernelPlan("unpatchify", defines, LaunchShape(divided(count, by: 256), block: 256))
    }

    static func channelsLast(channels: Int, positions: Int) -> KernelPlan {
        KernelPlan(
            "channels_last", [:], LaunchShape(divided(positions, by: 32), divided(channels, by: 32), block: 32, 8))
    }

    static func channelsFirst(channels: Int, positions: Int) -> KernelPlan {
        KernelPlan(
            "channels_first", [:], LaunchShape(divided(positions, by: 32), divided(channels, by: 32), block: 32, 8))
    }

    /// - Parameter positions: those of the result, history among them.
    static func normSiLU(
        positions: Int, channels: Int, isActivated: Bool, isAligned: Bool = true
    ) throws(SwanError) -> KernelPlan {
        let vector = isAligned && channels % 8 == 0 ? 8 : 1
        guard channels <= 32 * 64 else {
            throw SwanError(.cudaUnsupported, "Frames of \(channels) channels are not supported, at most 2048 are.")
        }
        // Three or four vectors a thread: enough in flight, few registers.
        var lanes = 1
        while lanes < 32, lanes * vector * 4 < channels { lanes *= 2 }
        return KernelPlan(
            "norm_silu", ["CHANNELS": channels, "LANES": lanes, "VECTOR": vector, "SILU_APPLIED": isActivated ? 1 : 0],
            LaunchShape(divided(positions * lanes, by: 256), block: 256))
    }

    static func withHistory(zeros: Int, kept: Int, count: Int, isAligned: Bool) -> KernelPlan {
        let isWide = isAligned && zeros % 8 == 0 && kept % 8 == 0 && count % 8 == 0
        return flat("with_history", [:], count: zeros + kept + count, vector: isWide ? 8 : 1)
    }

    static func frameInterleave(count: Int, channels: Int, isAligned: Bool = true) -> KernelPlan {
        flat("frame_interleave", ["CHANNELS": channels], count: count, vector: isAligned && channels % 8 == 0 ? 8 : 1)
    }

    static func phaseInterleave(count: Int, channels: Int) -> KernelPlan {
        flat("phase_interleave", ["CHANNELS": channels], count: count, vector: channels % 8 == 0 ? 8 : 1)
    }

    static func framesToRGB8(count: Int, isAligned: Bool) -> KernelPlan {
        flat("frames_to_rgb8", [:], count: count, vector: isAligned && count % 8 == 0 ? 8 : 1)
    }

    static func biasResidual(count: Int, channels: Int, input: DType, hasResidual: Bool, isAligned: Bool = true)
        throws(SwanError) -> KernelPlan
    {
        flat(
            "bias_residual",
            ["INPUT": try kernelType(input), "CHANNELS": channels, "RESIDUAL": hasResidual ? 1 : 0], count: count,
            vector: isAligned && channels % 4 == 0 ? 4 : 1)
    }

    // Products ------------------------------------------------------------------------------------

    static func plainLinear(
        rows: Int, outputs: Int, input: DType, weight: DType = .bfloat16, output: DType, hasBias: Bool,
        _ activation: Activation
    ) throws(SwanError) -> KernelPlan {
        KernelPlan(
            "plain_linear",
            [
                "INPUT": try kernelType(input), "WEIGHT": try kernelType(weight), "OUTPUT": try kernelType(output),
                "HAS_BIAS": hasBias ? 1 : 0, "FUNCTION": activation.kernelName,
            ], LaunchShape(divided(outputs, by: 32), min(divided(rows, by: 32), 65535), block: 16, 16))
    }

    static func linearRows(
        rows: Int, inputs: Int, outputs: Int, input: DType, weight: DType = .bfloat16, output: DType, hasBias: Bool,
        _ activation: Activation
    ) throws(SwanError) -> KernelPlan {
        let together = min(rows, 4)
        return KernelPlan(
            "linear_rows",
            [
                "INPUT": try kernelType(input), "WEIGHT": try kernelType(weight), "OUTPUT": try kernelType(output),
                "ROWS": together, "VECTOR": inputs % 8 == 0 ? 8 : 1, "HAS_BIAS": hasBias ? 1 : 0,
                "FUNCTION": activation.kernelName,
            ], LaunchShape(divided(outputs, by: 4), divided(rows, by: together), block: 128))
    }

    /// A product of rows in eight bits on the matrix units: tiles of 128 × 256, as many in flight as fit.
    package static func eightBitLinear(
        rows: Int, outputs: Int, _ format: EightBitFormat, output: DType, hasBias: Bool, sharedMemoryPerBlock: Int
    ) throws(SwanError) -> KernelPlan {
        let stage = (128 + 256) * 80
        let stages = max(2, min(4, sharedMemoryPerBlock / stage))
        return KernelPlan(
            "eight_bit_linear",
            [
                "ELEMENT": try kernelType(format.dtype), "OUTPUT": try kernelType(output), "HAS_BIAS": hasBias ? 1 : 0,
                "ROW_TILES": 4, "COLUMN_TILES": 8, "ROW_WARPS": 2, "COLUMN_WARPS": 4, "STAGES": stages,
            ],
            LaunchShape(
                divided(outputs, by: 256), divided(rows, by: 128), block: 256, sharedBytes: stages * stage))
    }

    /// A tile of ``addLowRank(rows:columns:from:factors:to:isAligned:)``.
    static let lowRankTile = (rows: 64, columns: 128)

    static func addLowRank(
        rows: Int, columns: Int, from source: DType, factors: DType, to target: DType, isAligned: Bool
    ) throws(SwanError) -> KernelPlan {
        KernelPlan(
            "add_low_rank",
            [
                "SOURCE": try kernelType(source), "FACTOR": try kernelType(factors), "TARGET": try kernelType(target),
                "VECTOR": isAligned && columns % 4 == 0 ? 4 : 1,
            ],
            LaunchShape(divided(columns, by: lowRankTile.columns), divided(rows, by: lowRankTile.rows), block: 256))
    }

    static func convolutionTaps(count: Int, source: DType) throws(SwanError) -> KernelPlan {
        flat("convolution_taps", ["SOURCE": try kernelType(source)], count: count, vector: 1)
    }

    static func upsampleTaps(count: Int, source: DType) throws(SwanError) -> KernelPlan {
        flat("upsample_taps", ["SOURCE": try kernelType(source)], count: count, vector: 1)
    }

    static func plainConvolution(_ geometry: ConvolutionShape, output: Shape, hasResidual: Bool) -> KernelPlan {
        let kernel = geometry.kernel
        return KernelPlan(
            "plain_convolution",
            [
                "KF": kernel.frames, "KH": kernel.height, "KW": kernel.width, "FRAME_STEP": geometry.frameStride,
                "STEP": geometry.stride, "RESIDUAL": hasResidual ? 1 : 0, "THREADS": 128,
            ], LaunchShape(output[2], output[1], output[0], block: 128))
    }

    // Attention -----------------------------------------------------------------------------------

    /// Attention on the matrix units; nil for heads that its tiles or the device's shared memory cannot hold.
    ///
    /// Two row tiles a warp let each value from shared memory serve two products; wider heads leave registers
    /// for one, and so does a bias.
    package static func attention(
        queries: Int, heads: Int, width: Int, hasBias: Bool, sharedMemoryPerBlock: Int
    ) -> KernelPlan? {
        guard width % 16 == 0 else { return nil }
        let isNarrow = width <= 128
        let parts =
            (1 ... width / 16).first { (count: Int) -> Bool in
                width % count == 0 && width / count <= 128 && (width / count) % 16 == 0
            } ?? 1
        let (part, warps, rowTiles) = (width / parts, 4, isNarrow && !hasBias ? 2 : 1)
        let mostKeys = isNarrow ? 64 : 32
        // A bytes' account as in the kernel's header.
        func sharedBytes(_ keys: Int) -> Int {
            let rows: Int = 16 * rowTiles * warps + keys
            return 2 * (rows * (width + 8) + keys * (part + 8))
        }
        let fitting = [64, 32, 16].first { $0 <= mostKeys && sharedBytes($0) <= sharedMemoryPerBlock }
        guard let keys = fitting else {
            return nil
        }
        return KernelPlan(
            "attention",
            [
                "WIDTH": width, "PART": part, "WARPS": warps, "ROW_TILES": rowTiles, "KEYS": keys,
                "BIAS": hasBias ? 1 : 0,
            ],
            LaunchShape(
                divided(queries, by: 16 * rowTiles * warps), heads, parts, block: 32 * warps,
                sharedBytes: sharedBytes(keys)))
    }

    /// Attention on Hopper's own instructions, for heads of 128 channels without a bias.
    package static func attentionSM90(queries: Int, heads: Int) -> KernelPlan {
        let tile = 128 * 2  // bytes of a row
        return KernelPlan(
            "attention_sm90", [:],
            // Two blocks of a cluster share a head's keys; the second may have no query.
            LaunchShape(
                divided(queries, by: 2 * attentionSM90Queries) * 2, heads, block: 384,
                sharedBytes: 1024 + tile * (attentionSM90Queries + 4 * attentionSM90Keys)))
    }

    /// Rows of a tile of q, and of one of k and v.
    static let attentionSM90Queries = 128, attentionSM90Keys = 176

    /// Attention of eight-bit numbers on Hopper's own instructions, for heads of 128 channels.
    ///
    /// - Parameter isNarrow: whether results are in eight bits too.
    package static func attentionInt8SM90(queries: Int, heads: Int, isNarrow: Bool) -> KernelPlan {
        KernelPlan(
            "attention_int8_sm90", ["RESULT": isNarrow ? "float8" : "bfloat16"],
            LaunchShape(
                divided(queries, by: 2 * int8Tile) * 2, heads, block: 384,
                sharedBytes: 1024 + int8Tile * 128 * (1 + 2 * 4)))
    }

    /// The same on the instructions of Ampere and later.
    package static func attentionInt8SM80(queries: Int, heads: Int, isNarrow: Bool) -> KernelPlan {
        KernelPlan(
            "attention_int8_sm80", ["RESULT": isNarrow ? "float8" : "bfloat16"],
            // Rows of 128 bytes and 16 more: a tile of q, two of k and of v.
            LaunchShape(divided(queries, by: int8Tile), heads, block: 256, sharedBytes: 5 * int8Tile * (128 + 16)))
    }

    /// What they have to know of the channels of keys and values.
    package static func attentionInt8Ranges(keys: Int, width: Int, hasNorm: Bool) -> KernelPlan {
        KernelPlan(
            "attention_int8_ranges", ["WIDTH": width, "PART": int8Part, "NORMED": hasNorm ? 1 : 0],
            LaunchShape(divided(width, by: 256), divided(keys, by: int8Part), block: 256))
    }

    package static func attentionInt8Channels(width: Int) -> KernelPlan {
        KernelPlan(
            "attention_int8_channels", ["WIDTH": width], LaunchShape(divided(width, by: int8Channels), block: 256))
    }

    /// Their queries.
    package static func attentionInt8Queries(rows: Int, heads: Int) -> KernelPlan {
        KernelPlan("attention_int8_queries", [:], LaunchShape(divided(rows, by: int8Tile), heads, block: 256))
    }

    /// Their queries from before their norm.
    package static func attentionInt8NormedQueries(rows: Int, heads: Int) -> KernelPlan {
        let (threads, each) = (divided(heads, by: 8) * 32, 8)
        return KernelPlan(
            "attention_int8_normed_queries", ["HEADS": heads, "THREADS": threads, "ROWS": each],
            LaunchShape(divided(rows, by: each), block: threads))
    }

    /// The most heads that a block of those has threads for.
    static let mostNormedHeads = 256

    /// Their keys; with a norm those from before it.
    package static func attentionInt8Keys(rows: Int, heads: Int, hasNorm: Bool) -> KernelPlan {
        KernelPlan(
            "attention_int8_keys", ["NORMED": hasNorm ? 1 : 0],
            LaunchShape(divided(rows, by: int8Tile), heads, block: 256))
    }

    package static func rmsFactors(rows: Int, width: Int) -> KernelPlan {
        KernelPlan("rms_factors", ["WIDTH": width], LaunchShape(divided(rows, by: 8), block: 256))
    }

    /// Their values.
    package static func attentionInt8Values(keys: Int, heads: Int) -> KernelPlan {
        KernelPlan("attention_int8_values", [:], LaunchShape(divided(keys, by: int8Tile), heads, block: 256))
    }

    /// Rows of a tile of eight-bit attention, keys of a part in which their channels' ranges are searched, and channels that
    /// have a bound in common.
    static let int8Tile = 128, int8Part = 512, int8Channels = 256

    package static func plainAttention(queries: Int, heads: Int, width: Int, hasBias: Bool) -> KernelPlan {
        KernelPlan(
            "plain_attention", ["THREADS": 128, "BIAS": hasBias ? 1 : 0],
            LaunchShape(queries, heads, block: 128, sharedBytes: 4 * (128 + width)))
    }
}
