package import SwanDiagnostics
import SwanTensor

extension KernelPlan {
    /// The architectures that Swan's kernels are written for.
    package static let architectures = ["sm_80", "sm_86", "sm_89", "sm_90a", "sm_100a", "sm_120a"]

    /// Every kernel with the defines that real models and odd shapes lead to: what is compiled where there is
    /// no GPU, to see that it can be.
    package static func examples() throws(SwanError) -> [KernelPlan] {
        var plans: [KernelPlan] = []
        // Widths of Wan2.2 A14B, TI2V-5B, Wan2.1 1.3B, UMT5, swan-tiny, and ones that are no multiple of a vector.
        for width in [5120, 3072, 1536, 4096, 384, 203] {
            plans.append(try layerNorm(rows: 100, width: width))
            plans.append(try layerNormModulate(tokens: 100, width: width))
            plans.append(try rmsNorm(rows: 100, width: width, input: .bfloat16))
            plans.append(try rmsNorm(rows: 100, width: width, input: .float32))
            plans.append(addGated(tokens: 100, width: width))
            plans.append(try addGatedLayerNorm(tokens: 100, width: width))
            for isGated in [false, true] {
                plans.append(try addLayerNormModulate(tokens: 100, width: width, isGated: isGated))
            }
            for coding in EightBitCoding.allCases {
                plans.append(try layerNorm(rows: 100, width: width, coding))
                plans.append(try layerNormModulate(tokens: 100, width: width, coding))
                plans.append(try addGatedLayerNorm(tokens: 100, width: width, coding))
                for isGated in [false, true] {
                    plans.append(try addLayerNormModulate(tokens: 100, width: width, isGated: isGated, coding))
                }
            }
        }
        try appendEightBitExamples(to: &plans)
        for target in [DType.bfloat16, .float32] {
            for source in [DType.bfloat16, .float16, .float32] {
                for factors in [DType.bfloat16, .float16, .float32] {
                    plans.append(
                        try addLowRank(
                            rows: 5120, columns: 5120, from: source, factors: factors, to: target, isAligned: true))
                }
            }
            plans.append(
                try addLowRank(rows: 100, columns: 203, from: target, factors: target, to: target, isAligned: false))
        }
        plans.append(try rmsNorm(rows: 1, width: 32768, input: .bfloat16))
        for (width, pairs) in [(5120, 64), (3072, 64), (384, 32), (70, 7)] {
            plans.append(try rmsNormRope(tokens: 100, width: width, pairs: pairs))
        }
        plans.append(modulation(parts: 6, groups: 21, width: 5120))
        for hasBias in [false, true] { plans.append(gateColumns(width: 5120, hasBias: hasBias)) }
        plans.append(distanceBias(tokens: 512, heads: 64))
        for source in [DType.float16, .bfloat16, .float32] {
            plans.append(try convolutionTaps(count: 1024, source: source))
            plans.append(try upsampleTaps(count: 1024, source: source))
        }
        for isAligned in [true, false] {
            for type in [DType.bfloat16, .float32] {
                plans.append(try add(count: 1024, input: type, isAligned: isAligned))
                plans.append(try noise(count: 1024, type: type, isAligned: isAligned))
                for source in [DType.float16, .bfloat16, .float32, .float8E4M3, .int8] {
                    plans.append(try convert(count: 1024, from: source, to: type, isAligned: isAligned))
                }
            }
            for activation in Activation.allCases {
                for type in [DType.bfloat16, .float32] {
                    plans.append(try activate(count: 1024, type: type, activation, isAligned: isAligned))
                }
            }
            plans.append(geluGate(count: 1024, isAligned: isAligned))
            for terms in 1 ... mostTerms {
                plans.append(linearCombination(count: 1024, terms: terms, isAligned: isAligned))
            }
            plans.append(withHistory(zeros: 8, kept: 8, count: 16, isAligned: isAligned))
            plans.append(framesToRGB8(count: 1024, isAligned: isAligned))
        }
        for type in [DType.bfloat16, .float32] {
            plans.append(try gatherRows(rows: 10, width: 4096, from: .bfloat16, to: type))
            plans.append(try unpatchify(count: 100, patch: PatchSize(frames: 1, height: 2, width: 2), input: type))
        }
        plans.append(patchify(count: 100, patch: PatchSize(frames: 1, height: 2, width: 2)))
        plans.append(channelsLast(channels: 16, positions: 100))
        plans.append(channelsFirst(channels: 16, positions: 100))
        for channels in [96, 160, 192, 384, 640, 1024, 3, 203] {
            for isActivated in [true, false] {
                plans.append(try normSiLU(positions: 100, channels: channels, isActivated: isActivated))
            }
        }
        for channels in [192, 384, 3] {
            plans.append(frameInterleave(count: 1000, channels: channels))
            plans.append(phaseInterleave(count: 1000, channels: channels))
            for type in [DType.bfloat16, .float32] {
                plans.append(try biasResidual(count: 1000, channels: channels, input: type, hasResidual: channels != 3))
            }
        }
        for activation in Activation.allCases {
            for input in [DType.bfloat16, .float32] {
                plans.append(
                    try plainLinear(
                        rows: 100, outputs: 100, input: input, output: .bfloat16, hasBias: input == .bfloat16,
                        activation))
                for (rows, inputs) in [(1, 5120), (4, 203), (21, 256)] {
                    plans.append(
                        try linearRows(
                            rows: rows, inputs: inputs, outputs: 5120, input: input, output: .float32, hasBias: true,
                            activation))
                }
            }
        }
        for (kernel, stride) in [((3, 3, 3), 1), ((1, 3, 3), 2), ((1, 2, 2), 1), ((3, 1, 1), 1), ((1, 1, 1), 1)] {
            plans.append(
                plainConvolution(
                    ConvolutionShape(inputs: 96, outputs: 96, kernel: kernel, stride: stride), output: [1, 8, 8, 96],
                    hasResidual: stride == 1))
        }
        plans.append(attentionSM90(queries: 32_760, heads: 40))
        for isNarrow in [false, true] {
            plans.append(attentionInt8SM90(queries: 32_760, heads: 40, isNarrow: isNarrow))
            plans.append(attentionInt8SM80(queries: 32_760, heads: 40, isNarrow: isNarrow))
        }
        plans.append(attentionInt8Values(keys: 32_760, heads: 40))
        plans.append(attentionInt8Queries(rows: 32_760, heads: 40))
        for heads in [40, 24, 12] {
            let width = heads * 128
            plans.append(attentionInt8Channels(width: width))
            plans.append(attentionInt8NormedQueries(rows: 32_760, heads: heads))
            plans.append(rmsFactors(rows: 32_760, width: width))
            for hasNorm in [false, true] {
                plans.append(attentionInt8Ranges(keys: 32_760, width: width, hasNorm: hasNorm))
                plans.append(attentionInt8Keys(rows: 32_760, heads: heads, hasNorm: hasNorm))
            }
        }
        for hasBias in [false, true] {
            for width in [16, 32, 64, 96, 112, 128, 208, 256, 384] {
                // The least shared memory of any of the architectures.
                if let plan = attention(
                    queries: 100, heads: 40, width: width, hasBias: hasBias, sharedMemoryPerBlock: 99 << 10)
                {
                    plans.append(plan)
                }
            }
            plans.append(plainAttention(queries: 100, heads: 3, width: 20, hasBias: hasBias))
        }
        var seen: Set<KernelRequest> = []
        return plans.filter { seen.insert($0.request).inserted }
    }

    private static func appendEightBitExamples(to plans: inout [KernelPlan]) throws(SwanError) {
        for coding in EightBitCoding.allCases {
            // Widths as above, and of feed-forwards.
            for width in [5120, 13824, 1536, 8960, 192, 203, 32768] {
                for input in [DType.bfloat16, .float32, .float16] {
                    plans.append(try quantizeRows(rows: 100, width: width, input: input, coding, .identity))
                }
                for activation in Activation.allCases {
                    plans.append(try quantizeRows(rows: 100, width: width, input: .bfloat16, coding, activation))
                    guard width < 32768 else { continue }
                    plans.append(
                        try rescaleProduct(
                            rows: 100, width: width, output: coding.format.dtype, coding,
                            hasBias: activation != .silu, activation))
                }
            }
        }
        for format in EightBitFormat.allCases {
            for output in [DType.bfloat16, .float32] {
                plans.append(
                    try rescaleProduct(rows: 100, width: 5120, output: output, hasBias: true, .identity))
                // The shared memory of sm_86 and later, and of sm_80.
                for limit in [99 << 10, 163 << 10] {
                    for hasBias in [true, false] {
                        plans.append(
                            try eightBitLinear(
                                rows: 100, outputs: 100, format, output: output, hasBias: hasBias,
                                sharedMemoryPerBlock: limit))
                    }
                }
            }
        }
    }
}
