import SwanCUDA
import SwanDiagnostics
import SwanTensor
import Testing

/// Guards the memory of attention in eight bits, without a GPU: what a kernel has written is still there when another reads
/// it. Tensors that nothing names any more give theirs to the next.
@Suite("Attention in eight bits on a GPU")
struct SelfAttentionTests {
    private static let facts = DeviceFacts(
        ordinal: 0, name: "a card", capability: ComputeCapability(9, 0), multiprocessors: 100,
        sharedMemoryPerBlock: 227 << 10, cacheBytes: 50 << 20, memoryBytes: 24 << 30)

    /// What lies where, by who has written it last.
    private struct Memory {
        private var writes: [(range: Range<UInt64>, what: String)] = []

        mutating func write(_ what: String, _ address: UInt64, _ bytes: Int) {
            writes.append((address ..< address + UInt64(bytes), what))
        }

        /// What has been written over a range since it was written as `what`; nil where it never was.
        func spoilt(_ what: String, _ address: UInt64, _ bytes: Int) -> [String]? {
            let range = address ..< address + UInt64(bytes)
            guard let last = writes.lastIndex(where: { $0.what == what && $0.range == range }) else { return nil }
            return writes[(last + 1)...].filter { $0.range.overlaps(range) }.map(\.what)
        }
    }

    /// The arguments of each kernel that are memory: what it reads (`>` behind a name: what it writes), or `-`.
    private static let arguments: [String: [String]] = [
        "rms_factors": ["k", "factors>"],
        "attention_int8_ranges": ["k", "factors", "-", "-", "-", "v", "ranges>"],
        "attention_int8_channels": ["ranges", "channels>", "bounds>"],
        "attention_int8_normed_queries": ["q", "-", "-", "-", "q8>", "q scales>"],
        "attention_int8_queries": ["q", "q8>", "q scales>"],
        "attention_int8_keys": ["k", "factors", "-", "-", "-", "channels", "k8>", "k scales>"],
        "attention_int8_values": ["v", "channels", "v8>"],
        "attention_int8_sm90": ["q8", "k8", "v8", "q scales", "k scales", "channels", "o>", "bounds", "scales>"],
        "attention_int8_sm80": ["q8", "k8", "v8", "q scales", "k scales", "channels", "o>", "bounds", "scales>"],
    ]

    /// What multiplies, whether norms are made too, and whether the result is fp8.
    private struct Way {
        let kernel: AttentionKernel
        let hasNorms, isNarrow: Bool

        init(_ kernel: AttentionKernel, hasNorms: Bool = true, isNarrow: Bool = false) {
            (self.kernel, self.hasNorms, self.isNarrow) = (kernel, hasNorms, isNarrow)
        }
    }

    @Test(
        "no tensor is written over before it is read", arguments: [(2100, 9), (2048, 1), (2050, 40)],
        [
            Way(.int8SM90), Way(.int8SM90, hasNorms: false), Way(.int8SM90, isNarrow: true), Way(.int8SM80),
            Way(.int8SM80, isNarrow: true),
        ])
    private func memory(size: (tokens: Int, heads: Int), way: Way) throws {
        let ((tokens, heads), hasNorms) = (size, way.hasNorms)
        let backend = try CUDABackend(rehearsing: Self.facts, attention: way.kernel)
        #expect(backend.fusesSelfAttention(tokens: tokens, heads: heads, width: 128))
        #expect(!backend.fusesSelfAttention(tokens: tokens, heads: heads, width: 64))
        let (all, tiles) = (heads * 128, (tokens + 127) / 128)
        let bytes = [
            "q": 2 * tokens * all, "k": 2 * tokens * all, "v": 2 * tokens * all,
            "o": (way.isNarrow ? 1 : 2) * tokens * all, "scales": way.isNarrow ? 4 * tokens : 0,
            "bounds": 4 * ((all + 255) / 256),
            "factors": 4 * tokens, "ranges": 4 * 3 * all * ((tokens + 511) / 512), "channels": 4 * 3 * all,
            "q8": tokens * all, "k8": tokens * all, "v8": all * 128 * tiles, "q scales": 4 * tokens * heads,
            "k scales": 4 * heads * tiles,
        ]
        let shape: Shape = [tokens, heads, 128]
        let (q, k, v) = (
            try backend.allocate(shape, .bfloat16), try backend.allocate(shape, .bfloat16),
            try backend.allocate(shape, .bfloat16)
        )
        let norm = RowNorm(weight: try backend.allocate([all], .float32), eps: 1e-6)
        let angles = try backend.allocate([tokens, 64], .float32)
        var (memory, kernels): (Memory, [String]) = (Memory(), [])
        backend.watchRehearsal { kernel, addresses in
            kernels.append(kernel)
            guard let names = Self.arguments[kernel], names.count == addresses.count else {
                Issue.record("\(kernel) has \(addresses.count) tensors")
                return
            }
            // Where there are no norms, nothing reads what norms need.
            for (name, address) in zip(names, addresses)
            where name != "-" && !name.hasSuffix(">") && (hasNorms || name != "factors") {
                // What the caller brings is written by nobody here.
                if ["q", "k", "v"].contains(name) { continue }
                let spoilt = memory.spoilt(name, address, bytes[name] ?? 0)
                #expect(spoilt == [], "\(kernel) reads \(name)")
            }
            for (name, address) in zip(names, addresses) where name.hasSuffix(">") {
                memory.write(String(name.dropLast()), address, bytes[String(name.dropLast())] ?? 0)
            }
        }
        // A hole in the arena, as earlier operations leave them: what fits is put there.
        _ = try backend.allocate([64, 1024], .float32)
        let rope = RotaryTable(cosines: angles, sines: angles)
        if way.isNarrow {
            let rows = try backend.selfAttention(
                q: q, k: k, v: v, queryNorm: norm, keyNorm: norm, rope: rope, scale: 0.1, to: .fp8)
            #expect(rows.values.shape == [tokens, all] && rows.scales.shape == [tokens])
        } else {
            let o =
                hasNorms
                ? try backend.selfAttention(
                    q: q, k: k, v: v, queryNorm: norm, keyNorm: norm, rope: rope, scale: 0.1)
                : try backend.attention(q: q, k: k, v: v, scale: 0.1, bias: nil)
            #expect(o.shape == shape)
        }
        let queries = hasNorms ? "attention_int8_normed_queries" : "attention_int8_queries"
        #expect(
            kernels == (hasNorms ? ["rms_factors"] : []) + [
                "attention_int8_ranges", "attention_int8_channels", queries, "attention_int8_keys",
                "attention_int8_values", way.kernel == .int8SM90 ? "attention_int8_sm90" : "attention_int8_sm80",
            ])
    }
}
