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
//           of these middle is the second and step the third · o RESULT [queries, heads, 128] · bounds float32
//           [ceil(heads / 2)], none of |v| above the largest, and scales float32 [queries]: of a RESULT of eight bits alone
// Launch    grid = (ceil(queries / 128) rounded up to even, heads), clusters of 2 blocks, block = 384 threads; dynamic
//           shared memory 128 * 128 * (1 + 2 * 4) + 1024 bytes. Maps of q with tiles of 128 bytes and 128 rows, of k and
//           v with 128 bytes and 64 rows, all with the 128-byte swizzle.
// Defines   RESULT: bfloat16, or float8, which times scales is o: the same scale for all rows, largest bound / 448
// Sums      both products in whole numbers, exact; a tile's are added in float32. The same bits on every run.
// Traffic   per cluster of 256 queries: k and v once, from L2.
// Source    Zhang et al., "SageAttention2", 2024: eight-bit logits, k less its mean. Shah et al., "FlashAttention-3",
//           2024: warps with roles, rotations. Weights in eight bits with a scale for each tile and row are ours: values of
//           int8 with a scale for each channel have a third of float8's error, and with whole sums there is a new scale in
//           every tile anyway.
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

#include <attention_int8_weights.cuh>
#include <attention_sm90.cuh>
#include <swan_device.cuh>
#include <swan_hopper.cuh>

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

// Adds a tile's sums.
__device__ __forceinline__ void add_all(float (&totals)[WIDTH / 8][4], const int (&sums)[WIDTH / 8][4],
                                        const Factors (&factors)[2]) {
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++) add(totals[n], sums[n], factors);
}

// Attention of one group's 64 queries.
__device__ __forceinline__ void attend(const Places &at, const float *__restrict__ q_scales,
                                       const float *__restrict__ k_scales, const float *__restrict__ channels,
                                       RESULT *__restrict__ o, const float *__restrict__ bounds,
                                       float *__restrict__ scales, unsigned group, unsigned first_query, unsigned queries,
                                       unsigned keys, unsigned tiles, unsigned head, unsigned heads) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32 % 4;
    const unsigned first_row = first_query + group * 64 + warp * 16 + lane / 4;
    const unsigned long long q = matrix_at(at.q + group * 64 * WIDTH, 0);
    const unsigned long long k = matrix_at(at.k, 0), v = matrix_at(at.v, 0);
    k_scales += (index_t)head * tiles;
    float row_scales[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const unsigned row = first_row + half * 8;
        row_scales[half] = row < queries ? q_scales[(index_t)head * queries + row] : 0.f;
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
    hide_logits(logits, existing, lane);
    find_most(logits, most);
    weigh(logits, most, weights, rows, factors, row_scales[0] * k_scale, row_scales[1] * k_scale);
    hide_weights(weights, existing, lane);
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
        weigh(logits, most, weights, rows, factors, row_scales[0] * k_scale, row_scales[1] * k_scale);
        wait_for_products<0>();
        settle(sums);
        release(at.v_empty + 8 * last_stage, lane);
        add_all(totals, sums, last);
        pack(p, weights, rows, factors);
        give_turn(group);
    }
    if (group == 0) take_turn(group);
    wait_for(at.v_full + 8 * stage, parity);
    move(totals, factors);
    start_sums(sums, p, v + stage * (TILE >> 4));
    wait_for_products<0>();
    settle(sums);
    add_all(totals, sums, factors);

    finish(totals, rows, channels, o, bounds, scales, first_row, queries, head, heads, lane);
}

extern "C" __global__ void __cluster_dims__(2, 1, 1) __launch_bounds__(384, 1)
attention_int8_sm90(const __grid_constant__ TileMap q_map, const __grid_constant__ TileMap k_map,
                    const __grid_constant__ TileMap v_map, const float *__restrict__ q_scales,
                    const float *__restrict__ k_scales, const float *__restrict__ channels, RESULT *__restrict__ o,
                    const float *__restrict__ bounds, float *__restrict__ scales, unsigned queries, unsigned keys,
                    unsigned heads) {
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
        attend(at, q_scales, k_scales, channels, o, bounds, scales, group - 1, first_query, queries, keys, tiles, head, heads);
    }
    cluster_barrier();  // no block may end while the other still writes to it
}
