// attention_sm90: exact softmax(q k^T * scale) v, for heads of 128 channels, on Hopper's own instructions.
//
//   o[i, h] = sum_j p[j] v[j, h] / sum_j p[j],   p[j] = e^(logit[j] - max logit),
//   logit[j] = scale * (q[i, h] . k[j, h])
//
// Shapes    q, o bfloat16 [queries, heads, 128] · k, v bfloat16 [keys, heads, 128] · scale_log2 = scale * log2 e, above 0
// Launch    grid = (ceil(queries / 128) rounded up to even, heads), clusters of 2 blocks, block = 384 threads;
//           dynamic shared memory 128 * 256 + 4 * 176 * 256 + 1024 bytes. Maps of q with tiles of 64 columns and 128
//           rows, of k and v with 64 columns and 176 rows, all with the 128-byte swizzle.
// Sums      q k^T, the weights' sum and p v in float32; p is rounded to bfloat16 for the second product. Keys from the
//           last tile to the first; the four threads of a row at the end by a butterfly. The same bits on every run.
// Traffic   per cluster of 256 queries: k and v once, from L2. 4 queries keys 128 operations per head bound it.
// Source    Shah et al., "FlashAttention-3", 2024: warps with roles, softmax under products.
//
// Roles: one thread of the first four warps keeps the copy engine busy; two groups of four warps have 64 queries each.
// A group issues the products of the next tile's logits and of this tile's weights with the values together, so that the
// softmax of a tile runs while the values of the one before are still being added. The two groups run free of each other:
// letting them take turns (FlashAttention-3's ping-pong) gained nothing here (647 against 633 TFLOP/s, H100).
//
// The two blocks of a cluster work on the same head. Each fetches half of the channels of every tile for both: k and v
// cross from L2 to the multiprocessors half as often. On a card at its power limit bytes that do not move become clock:
// 666 -> 680 TFLOP/s.
//
// Sums are only rescaled where a row's maximum has grown, which is seldom after the first tiles.
//
// Small things that add up to 657 -> 683 TFLOP/s (H200, one run, cuDNN 9.19 in it 573): no branch while weights are made;
// the copying thread asks for free stages with pauses; the compiler knows that a group's number is one for its warps.
//
// Tiles of 176 keys leave 20 of a thread's 240 registers and 18 KB of shared memory. Tried and slower on H100 (one run,
// TFLOP/s): 128 keys 638, three stages of 128 keys 623, clusters of four 602-616, three groups of 64 queries with 80 keys
// 636, with 96 keys (spills) 547; 176 keys 647; cuDNN 9.19 in the same run 547.

#include <attention_sm90.cuh>
#include <swan_device.cuh>
#include <swan_hopper.cuh>

#define WIDTH 128
#define QUERIES 128
#define KEYS 176
#define STAGES 2

constexpr unsigned Q_HALF = QUERIES * 128, HALF = KEYS * 128, TILE = 2 * HALF;  // bytes; a half is 64 channels

// Fetches this block's half of every tile of k and v for both blocks, last tile first.
__device__ __forceinline__ void fetch(const TileMap &q_map, const TileMap &k_map, const TileMap &v_map,
                                      const Places &at, unsigned first_query, unsigned head, unsigned tiles) {
    const unsigned rank = cluster_rank(), half = rank * HALF, column = rank * 64;
    announce(at.q_full, 2 * Q_HALF);
    copy_tile(at.q, &q_map, at.q_full, 0, head, first_query);
    copy_tile(at.q + Q_HALF, &q_map, at.q_full, 64, head, first_query);
    unsigned stage = 0, parity = 1;
#pragma unroll 1
    for (unsigned tile = tiles; tile-- > 0;) {
        wait_patiently(at.k_empty + 8 * stage, parity);
        announce(at.k_full + 8 * stage, TILE);
        copy_tile_to(3, at.k + stage * TILE + half, &k_map, at.k_full + 8 * stage, column, head, tile * KEYS);
        wait_patiently(at.v_empty + 8 * stage, parity);
        announce(at.v_full + 8 * stage, TILE);
        copy_tile_to(3, at.v + stage * TILE + half, &v_map, at.v_full + 8 * stage, column, head, tile * KEYS);
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
    }
}

// Starts logits = q k^T of 64 queries and a tile of keys.
__device__ __forceinline__ void start_logits(float (&logits)[KEYS / 8][4], unsigned long long q,
                                             unsigned long long k) {
    begin_products();
#pragma unroll
    for (int depth = 0; depth < WIDTH / 16; depth++)
        multiply(logits, q + depth / 4 * (Q_HALF >> 4) + depth % 4 * 2, k + depth / 4 * (HALF >> 4) + depth % 4 * 2,
                 depth > 0);
    commit_products();
}

// Starts sums += p v of 64 queries and a tile of keys.
__device__ __forceinline__ void start_sums(float (&sums)[WIDTH / 8][4], const unsigned (&p)[KEYS / 16][4],
                                           unsigned long long v) {
    begin_products();
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++) multiply_add(sums, p[n], v + n * (16 * 128 >> 4));
    commit_products();
}

// One row: its largest logit so far, the same in the four threads that share it, and its weights' sum in this thread.
struct Row {
    float largest, weight;
};

// A row's weights are 2^(logit * scale - origin). The product's rounding error stays in, so origin may be no larger than
// leaves it without effect; beyond that the next power of two below stands for the scale, with which no product has an
// error. Logits that large are further apart than any exponent reaches.
struct Exponent {
    float scale, origin;
    __device__ __forceinline__ Exponent(float largest, float scale_log2) {
        const float bound = 67108864.f;  // 2^26: an error of at most 4
        scale = fabsf(largest * scale_log2) < bound ? scale_log2
                                                    : __int_as_float(__float_as_int(scale_log2) & 0x7F800000);
        // Where every key so far is at minus infinity no exponent may be infinity less infinity.
        origin = largest == -INFINITY ? 0.f : largest * scale;
    }
};

// Makes weights of a row's logits, in place. Returns what earlier sums have to be multiplied with.
template <int Half>
__device__ __forceinline__ float weigh(float (&logits)[KEYS / 8][4], Row &row, float scale_log2) {
    float even = logits[0][2 * Half], odd = logits[0][2 * Half + 1];
#pragma unroll
    for (int n = 1; n < KEYS / 8; n++) {
        even = fmaxf(even, logits[n][2 * Half]);
        odd = fmaxf(odd, logits[n][2 * Half + 1]);
    }
    float largest = fmaxf(even, odd);
    largest = fmaxf(largest, shuffle_xor(largest, 1));
    largest = fmaxf(largest, shuffle_xor(largest, 2));
    // Without a branch, which would keep the compiler from mixing what comes before and after it; one where nothing grew.
    const Exponent before(row.largest, scale_log2), after(fmaxf(row.largest, largest), scale_log2);
    const float shrink = row.largest == -INFINITY ? 0.f : exp2_fast(before.origin - after.origin);
    row.largest = fmaxf(row.largest, largest);
    row.weight *= shrink;
    even = odd = 0.f;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
        logits[n][2 * Half] = exp2_fast(logits[n][2 * Half] * after.scale - after.origin);
        logits[n][2 * Half + 1] = exp2_fast(logits[n][2 * Half + 1] * after.scale - after.origin);
        even += logits[n][2 * Half];
        odd += logits[n][2 * Half + 1];
    }
    row.weight += even + odd;
    return shrink;
}

// The sums' layout of two 64x8 tiles is the operand's layout of one 64x16.
__device__ __forceinline__ void pack(unsigned (&p)[KEYS / 16][4], const float (&weights)[KEYS / 8][4]) {
#pragma unroll
    for (int n = 0; n < KEYS / 16; n++) {
        p[n][0] = pack_bfloat16(weights[2 * n][0], weights[2 * n][1]);
        p[n][1] = pack_bfloat16(weights[2 * n][2], weights[2 * n][3]);
        p[n][2] = pack_bfloat16(weights[2 * n + 1][0], weights[2 * n + 1][1]);
        p[n][3] = pack_bfloat16(weights[2 * n + 1][2], weights[2 * n + 1][3]);
    }
}

// Attention of one group's 64 queries.
__device__ __forceinline__ void attend(const Places &at, bfloat16 *__restrict__ o, unsigned group,
                                       unsigned first_query, unsigned queries, unsigned keys, unsigned tiles,
                                       unsigned head, unsigned heads, float scale_log2) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    const unsigned long long q = matrix_at(at.q + group * 64 * 128, 0);
    const unsigned long long k = matrix_at(at.k, 0), v = matrix_at(at.v, HALF);
    float logits[KEYS / 8][4], sums[WIDTH / 8][4];
    unsigned p[KEYS / 16][4];
    Row rows[2] = {{-INFINITY, 0.f}, {-INFINITY, 0.f}};
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++) sums[n][0] = sums[n][1] = sums[n][2] = sums[n][3] = 0.f;

    // The last tile comes first, so that only this one may have keys that do not exist.
    wait_for(at.q_full, 0);
    wait_for(at.k_full, 0);
    start_logits(logits, q, k);
    wait_for_products<0>();
    settle(logits);
    release(at.k_empty, lane);
    const unsigned existing = keys - (tiles - 1) * KEYS;
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (n * 8 + lane % 4 * 2 + i % 2 >= existing) logits[n][i] = -INFINITY;
        }
    }
    weigh<0>(logits, rows[0], scale_log2);
    weigh<1>(logits, rows[1], scale_log2);
    pack(p, logits);

    unsigned stage = 0, parity = 0;
#pragma unroll 1
    for (unsigned tile = 1; tile < tiles; tile++) {
        const unsigned last_stage = stage, last_parity = parity;
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
        wait_for(at.k_full + 8 * stage, parity);
        start_logits(logits, q, k + stage * (TILE >> 4));
        wait_for(at.v_full + 8 * last_stage, last_parity);
        start_sums(sums, p, v + last_stage * (TILE >> 4));
        wait_for_products<1>();
        settle(logits);
        release(at.k_empty + 8 * stage, lane);

        const float first = weigh<0>(logits, rows[0], scale_log2);
        const float second = weigh<1>(logits, rows[1], scale_log2);

        wait_for_products<0>();
        settle(sums);
        release(at.v_empty + 8 * last_stage, lane);
        if (any_lane(first != 1.f || second != 1.f)) {
#pragma unroll
            for (int n = 0; n < WIDTH / 8; n++) {
                sums[n][0] *= first;
                sums[n][1] *= first;
                sums[n][2] *= second;
                sums[n][3] *= second;
            }
        }
        pack(p, logits);
    }
    wait_for(at.v_full + 8 * stage, parity);
    start_sums(sums, p, v + stage * (TILE >> 4));
    wait_for_products<0>();
    settle(sums);

#pragma unroll
    for (int half = 0; half < 2; half++) {
        const unsigned row = first_query + group * 64 + warp * 16 + half * 8 + lane / 4;
        // Without any key above minus infinity this is 0 / 0.
        const float inverse = 1.f / lane_sum<4>(rows[half].weight);
        if (row < queries) {
            bfloat16 *const target = o + ((index_t)row * heads + head) * WIDTH + lane % 4 * 2;
#pragma unroll
            for (int n = 0; n < WIDTH / 8; n++)
                *(unsigned *)(target + n * 8) = pack_bfloat16(sums[n][2 * half] * inverse, sums[n][2 * half + 1] * inverse);
        }
    }
}

extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
attention_sm90(const __grid_constant__ TileMap q_map, const __grid_constant__ TileMap k_map,
               const __grid_constant__ TileMap v_map, bfloat16 *__restrict__ o, unsigned queries, unsigned keys,
               unsigned heads, float scale_log2) {
    SHARED_MEMORY(memory);
    __shared__ __align__(8) unsigned long long barriers[1 + 4 * STAGES];
    const Places at = lay_out<STAGES>(shared_address(memory), shared_address(barriers), 2 * Q_HALF, TILE);

    const unsigned tiles = (keys + KEYS - 1) / KEYS, group = same_in_warp(threadIdx.x / 128);
    const unsigned first_query = blockIdx.x * QUERIES, head = blockIdx.y;
    if (group == 0) {
        give_registers<24>();
        if (threadIdx.x == 0) fetch(q_map, k_map, v_map, at, first_query, head, tiles);
    } else {
        take_registers<240>();
        attend(at, o, group - 1, first_query, queries, keys, tiles, head, heads, scale_log2);
    }
    cluster_barrier();  // no block may end while the other still writes to it
}
