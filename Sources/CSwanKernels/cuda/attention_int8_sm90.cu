// attention_int8_sm90: softmax(q k^T * scale) v of eight-bit numbers, for heads of 128 channels, on Hopper's own
// instructions. Not exact: what it costs is in docs/attention.md.
//
//   o[i, h, c] = middle[h, c] + step[h, c] * sum_j p[i, j] v[j, h, c] / sum_j p[i, j]
//   p[i, j] = round(255 * 2^(l[i, j] - max of l[i, .] in the tile of j)) * 2^(that maximum),
//   l[i, j] = q_scales[h, i] * k_scales[h, tile of j] * (q[i, h] . k[j, h])
//
// Shapes    q int8 [queries, heads, 128] · k int8 [keys, heads, 128] · v int8 [128, heads, pitch], the keys of each 16 in
//           the order 0 1 8 9 2 3 10 11 4 5 12 13 6 7 14 15 · q_scales float32 [heads, queries], with the softmax's
//           scale and log2 e in them · k_scales float32 [heads, tiles of 128 keys] · channels float32 [3, heads, 128]:
//           of these middle is the second and step the third · o bfloat16 [queries, heads, 128]
// Launch    grid = (ceil(queries / 128) rounded up to even, heads), clusters of 2 blocks, block = 384 threads; dynamic
//           shared memory 128 * 128 * (1 + 2 * 4) + 1024 bytes. Maps of q with tiles of 128 bytes and 128 rows, of k and
//           v with 128 bytes and 64 rows, all with the 128-byte swizzle.
// Sums      both products in whole numbers, exact; a tile's are added in float32. The same bits on every run.
// Traffic   per cluster of 256 queries: k and v once, from L2.
// Source    Zhang et al., "SageAttention2", 2024: eight-bit logits, k less its mean. Shah et al., "FlashAttention-3",
//           2024: warps with roles, rotations. Weights in eight bits with a scale for each tile and row are ours: values of
//           int8 with a scale for each channel have a third of float8's error, and with whole sums there is a new scale in
//           every tile anyway.
//
// Weights of a row in a tile are rounded to 1/255 of the largest among them, so small weights lose nothing because of a
// large one in another tile. The order of keys in v is that in which the first product's sums lie in the registers of a
// thread: packed, they are the second product's operand.
//
// Roles and clusters as in attention_sm90.cu. What limits it is arithmetic, not products (1,490 TFLOP/s with next to none):
// 565 instructions of a warp for 64 exponentials of a thread, half of them at half rate. Therefore:
// - Only one of the two groups computes at a time, while the other's products run (735 to 807 -> 870 TFLOP/s).
// - A turn begins behind the search for the largest logits, which needs no exponentials (876 -> 909).
// - The copying thread asks for free stages with pauses (897 -> 909), and the compiler knows that a group's number is one for
//   its warps (909 -> 924).
// - What branches stands at the beginning of a round, so that its rest is one block in which the compiler mixes exponentials,
//   conversions and sums: 803 -> 887 with the rescaling taken out of the middle.
// Tried without gain, in docs/attention.md: products under every part of a group's own work, logits that begin as the bits
// of a float, a quarter of the exponentials by polynomials, q in registers.

#include <attention_sm90.cuh>
#include <swan_device.cuh>
#include <swan_hopper.cuh>

#define WIDTH 128
#define QUERIES 128
#define KEYS 128
#define STAGES 4

constexpr unsigned TILE = KEYS * WIDTH, HALF = TILE / 2;  // bytes of a tile of k or v, and what a block fetches of it

// Fetches this block's half of every tile of k and v for both blocks, last tile first: half of the keys, and half of the
// channels.
__device__ __forceinline__ void fetch(const TileMap &q_map, const TileMap &k_map, const TileMap &v_map,
                                      const Places &at, unsigned first_query, unsigned head, unsigned tiles) {
    const unsigned rank = cluster_rank(), half = rank * HALF, first = rank * 64;
    announce(at.q_full, QUERIES * WIDTH);
    copy_tile(at.q, &q_map, at.q_full, 0, head, first_query);
    unsigned stage = 0, parity = 1;
#pragma unroll 1
    for (unsigned tile = tiles; tile-- > 0;) {
        wait_patiently(at.k_empty + 8 * stage, parity);
        announce(at.k_full + 8 * stage, TILE);
        copy_tile_to(3, at.k + stage * TILE + half, &k_map, at.k_full + 8 * stage, 0, head, tile * KEYS + first);
        wait_patiently(at.v_empty + 8 * stage, parity);
        announce(at.v_full + 8 * stage, TILE);
        copy_tile_to(3, at.v + stage * TILE + half, &v_map, at.v_full + 8 * stage, tile * KEYS, head, first);
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
    }
}

// Starts logits = q k^T of 64 queries and a tile of keys.
__device__ __forceinline__ void start_logits(int (&logits)[KEYS / 8][4], unsigned long long q, unsigned long long k) {
    begin_products();
#pragma unroll
    for (int depth = 0; depth < WIDTH / 32; depth++) multiply(logits, q + depth * 2, k + depth * 2, depth > 0);
    commit_products();
}

// Starts sums = p v of 64 queries and a tile of keys.
__device__ __forceinline__ void start_sums(int (&sums)[WIDTH / 8][4], const unsigned (&p)[KEYS / 32][4],
                                           unsigned long long v) {
    begin_products();
#pragma unroll
    for (int n = 0; n < KEYS / 32; n++) multiply(sums, p[n], v + n * 2, n > 0);
    commit_products();
}

// One row: the exponent that its sums are multiples of 2 to the power of, the same in the four threads that share it, and
// its weights' sum in this thread.
struct Row {
    float exponent, weight;
};

// What earlier sums of a row have to be multiplied with, and those of the tile that was just weighed.
struct Factors {
    float earlier, tile;
};

// The largest of two rows' logits in a tile.
__device__ __forceinline__ void find_most(const int (&logits)[KEYS / 8][4], int (&most)[2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int even = logits[0][2 * half], odd = logits[0][2 * half + 1];
#pragma unroll
        for (int n = 1; n < KEYS / 8; n++) {
            even = max(even, logits[n][2 * half]);
            odd = max(odd, logits[n][2 * half + 1]);
        }
        most[half] = max(even, odd);
    }
#pragma unroll
    for (int mask = 1; mask < 4; mask *= 2) {
#pragma unroll
        for (int half = 0; half < 2; half++)
            most[half] = max(most[half], (int)shuffle_xor((unsigned)most[half], mask));
    }
}

// Makes the weights of two rows' logits in a tile, which are whole numbers of `factor`: as float16, 1024 + weight, whose
// lower byte is the weight.
__device__ __forceinline__ void weigh(const int (&logits)[KEYS / 8][4], const int (&most)[2],
                                      unsigned (&weights)[2][KEYS / 8], Row (&rows)[2], Factors (&factors)[2],
                                      float first_factor, float second_factor) {
    float scale[2], origin[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float factor = half == 0 ? first_factor : second_factor, top = (float)most[half] * factor;
        // The largest weight must not become more than 1 by the rounding of its logit. Beyond these, far more than eight
        // bits can tell apart, a power of two stands for the factor, with which no product has an error.
        scale[half] = fabsf(top) > 32768.f ? __int_as_float(__float_as_int(factor) & 0x7F800000) : factor;
        origin[half] = (float)most[half] * scale[half];
        // Sums of 2^64 are far from float32's end, so that few tiles have to change the exponent.
        const float exponent = top > rows[half].exponent + 64.f ? top : rows[half].exponent;
        factors[half].earlier = exp2_fast(rows[half].exponent - exponent);
        rows[half].exponent = exponent;
        factors[half].tile = exp2_fast(top - rows[half].exponent);
    }
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float even = exp2_fast((float)logits[n][2 * half] * scale[half] - origin[half]);
            const float odd = exp2_fast((float)logits[n][2 * half + 1] * scale[half] - origin[half]);
            // 255 p + 1024
            weights[half][n] = multiply_add_float16_pairs(pack_float16(even, odd), 0x5BF85BF8u, 0x64006400u);
        }
    }
}

// The weights' bytes: those of columns 2 t, 2 t + 1 of two neighbouring tiles of 8 columns.
__device__ __forceinline__ unsigned bytes(unsigned first, unsigned second) {
    return select_bytes(first, second, 0x6420u);
}

// Packs two rows' weights for the second product and adds them up.
__device__ __forceinline__ void pack(unsigned (&p)[KEYS / 32][4], const unsigned (&weights)[2][KEYS / 8],
                                     Row (&rows)[2], const Factors (&factors)[2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        unsigned sum = 0;
#pragma unroll
        for (int n = 0; n < KEYS / 32; n++) {
            p[n][half] = bytes(weights[half][4 * n], weights[half][4 * n + 1]);
            p[n][2 + half] = bytes(weights[half][4 * n + 2], weights[half][4 * n + 3]);
            sum = add_bytes(p[n][half], add_bytes(p[n][2 + half], sum));
        }
        rows[half].weight = rows[half].weight * factors[half].earlier + (float)sum * factors[half].tile;
    }
}

// Adds a tile's sums.
__device__ __forceinline__ void add(float (&totals)[WIDTH / 8][4], const int (&sums)[WIDTH / 8][4],
                                    const Factors (&factors)[2]) {
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++) {
        totals[n][0] += (float)sums[n][0] * factors[0].tile;
        totals[n][1] += (float)sums[n][1] * factors[0].tile;
        totals[n][2] += (float)sums[n][2] * factors[1].tile;
        totals[n][3] += (float)sums[n][3] * factors[1].tile;
    }
}

// Moves the sums of all tiles before the last one weighed to its exponent.
__device__ __forceinline__ void move(float (&totals)[WIDTH / 8][4], const Factors (&factors)[2]) {
    if (any_lane(factors[0].earlier != 1.f || factors[1].earlier != 1.f)) {
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) {
            totals[n][0] *= factors[0].earlier;
            totals[n][1] *= factors[0].earlier;
            totals[n][2] *= factors[1].earlier;
            totals[n][3] *= factors[1].earlier;
        }
    }
}

// Attention of one group's 64 queries.
__device__ __forceinline__ void attend(const Places &at, const float *__restrict__ q_scales,
                                       const float *__restrict__ k_scales, const float *__restrict__ channels,
                                       bfloat16 *__restrict__ o, unsigned group, unsigned first_query, unsigned queries,
                                       unsigned keys, unsigned tiles, unsigned head, unsigned heads) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    const unsigned first_row = first_query + group * 64 + warp * 16 + lane / 4;
    const unsigned long long q = matrix_at(at.q + group * 64 * WIDTH, 0);
    const unsigned long long k = matrix_at(at.k, 0), v = matrix_at(at.v, 0);
    k_scales += (index_t)head * tiles;
    float scales[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const unsigned row = first_row + half * 8;
        scales[half] = row < queries ? q_scales[(index_t)head * queries + row] : 0.f;
    }
    int logits[KEYS / 8][4], sums[WIDTH / 8][4];
    float totals[WIDTH / 8][4];
    unsigned p[KEYS / 32][4], weights[2][KEYS / 8];
    int most[2];
    Row rows[2] = {{-INFINITY, 0.f}, {-INFINITY, 0.f}};
    Factors factors[2];
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++) totals[n][0] = totals[n][1] = totals[n][2] = totals[n][3] = 0.f;

    // The last tile comes first, so that only this one may have keys that do not exist.
    float k_scale = k_scales[tiles - 1];
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
            if (n * 8 + lane % 4 * 2 + i % 2 >= existing) logits[n][i] = -(1 << 30);
        }
    }
    find_most(logits, most);
    weigh(logits, most, weights, rows, factors, scales[0] * k_scale, scales[1] * k_scale);
    // However small the factor: keys that do not exist have no weight.
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
        const unsigned column = n * 8 + lane % 4 * 2;
        const unsigned mask = column + 1 < existing ? 0xFFFFFFFFu : column < existing ? 0xFFFFu : 0u;
        weights[0][n] &= mask;
        weights[1][n] &= mask;
    }

    pack(p, weights, rows, factors);

    if (group == 1) give_turn(group);
    unsigned stage = 0, parity = 0;
#pragma unroll 1
    for (unsigned tile = 1; tile < tiles; tile++) {
        wait_for(at.v_full + 8 * stage, parity);
        const unsigned last_stage = stage;
        if (++stage == STAGES) {
            stage = 0;
            parity ^= 1;
        }
        k_scale = k_scales[tiles - 1 - tile];
        wait_for(at.k_full + 8 * stage, parity);
        move(totals, factors);

        start_logits(logits, q, k + stage * (TILE >> 4));
        start_sums(sums, p, v + last_stage * (TILE >> 4));
        wait_for_products<1>();
        settle(logits);
        release(at.k_empty + 8 * stage, lane);
        const Factors last[2] = {factors[0], factors[1]};
        find_most(logits, most);
        take_turn(group);
        weigh(logits, most, weights, rows, factors, scales[0] * k_scale, scales[1] * k_scale);
        wait_for_products<0>();
        settle(sums);
        release(at.v_empty + 8 * last_stage, lane);
        add(totals, sums, last);
        pack(p, weights, rows, factors);
        give_turn(group);
    }
    if (group == 0) take_turn(group);
    wait_for(at.v_full + 8 * stage, parity);
    move(totals, factors);
    start_sums(sums, p, v + stage * (TILE >> 4));
    wait_for_products<0>();
    settle(sums);
    add(totals, sums, factors);

    const float *const middle = channels + (heads + head) * WIDTH, *const step = middle + heads * WIDTH;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const unsigned row = first_row + half * 8;
        const float inverse = 1.f / lane_sum<4>(rows[half].weight);
        if (row < queries) {
            bfloat16 *const target = o + ((index_t)row * heads + head) * WIDTH + lane % 4 * 2;
#pragma unroll
            for (int n = 0; n < WIDTH / 8; n++) {
                const unsigned channel = n * 8 + lane % 4 * 2;
                *(unsigned *)(target + n * 8) =
                    pack_bfloat16(totals[n][2 * half] * inverse * step[channel] + middle[channel],
                                  totals[n][2 * half + 1] * inverse * step[channel + 1] + middle[channel + 1]);
            }
        }
    }
}

extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
attention_int8_sm90(const __grid_constant__ TileMap q_map, const __grid_constant__ TileMap k_map,
                    const __grid_constant__ TileMap v_map, const float *__restrict__ q_scales,
                    const float *__restrict__ k_scales, const float *__restrict__ channels, bfloat16 *__restrict__ o,
                    unsigned queries, unsigned keys, unsigned heads) {
    SHARED_MEMORY(memory);
    __shared__ __align__(8) unsigned long long barriers[1 + 4 * STAGES];
    const Places at = lay_out<STAGES>(shared_address(memory), shared_address(barriers), QUERIES * WIDTH, TILE);

    const unsigned tiles = (keys + KEYS - 1) / KEYS, group = same_in_warp(threadIdx.x / 128);
    const unsigned first_query = blockIdx.x * QUERIES, head = blockIdx.y;
    if (group == 0) {
        give_registers<24>();
        if (threadIdx.x == 0) fetch(q_map, k_map, v_map, at, first_query, head, tiles);
    } else {
        take_registers<240>();
        attend(at, q_scales, k_scales, channels, o, group - 1, first_query, queries, keys, tiles, head, heads);
    }
    cluster_barrier();  // no block may end while the other still writes to it
}
