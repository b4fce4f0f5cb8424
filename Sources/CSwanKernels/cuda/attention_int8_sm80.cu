// attention_int8_sm80: softmax(q k^T * scale) v of eight-bit numbers, for heads of 128 channels, on the matrix units of
// sm_80 and later. The same bits as attention_int8_sm90.cu, which says what they are of; not exact, see docs/attention.md.
//
// Shapes    as there: q int8 [queries, heads, 128] · k int8 [keys, heads, 128] · v int8 [128, heads, pitch], the keys of
//           each 16 in the order 0 1 8 9 2 3 10 11 4 5 12 13 6 7 14 15 · q_scales float32 [heads, queries] · k_scales
//           float32 [heads, tiles of 128 keys] · channels float32 [3, heads, 128] · o RESULT [queries, heads, 128] ·
//           bounds float32 [ceil(heads / 2)] · scales float32 [queries]
// Launch    grid = (ceil(queries / 128), heads), block = 256; dynamic shared memory 5 * 128 * 144 bytes. Pointers are
//           multiples of 16 bytes.
// Defines   RESULT: bfloat16 or float8
// Sums      both products in whole numbers, exact; a tile's are added in float32. The same bits on every run.
// Traffic   per block of 128 queries: k and v once, from L2. 4 queries keys 128 operations per head bound it: on paper
//           twice the rate of bfloat16 for both products on sm_80, 86, 89 and 120.
// Source    Zhang et al., "SageAttention2", 2024: eight-bit logits, k less its mean, on these instructions.
//
// A warp has 16 queries, whose numbers stay in registers. Unlike Hopper's, these instructions take 8 columns at a time:
// the sums of 16 channels are made and added while their total is at hand, and no thread holds all of them twice. While a
// tile is computed the next one arrives. Rows in shared memory are 16 bytes longer than they need to be, so that the eight
// rows that a matrix load takes start in different banks.

#include <attention_int8_weights.cuh>
#include <swan_device.cuh>

constexpr int STRIDE = WIDTH + 16;  // bytes from row to row

// Starts copying 128 rows of 128 bytes; zeros for those from `count` on.
__device__ __forceinline__ void copy_rows(unsigned char *target, const int8 *source, index_t pitch, unsigned count) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const unsigned row = (threadIdx.x + i * 256) / 8, byte = threadIdx.x % 8 * 16;
        const bool exists = row < count;
        copy_async((bfloat16 *)(target + row * STRIDE + byte),
                   (const bfloat16 *)(source + (exists ? row : 0) * pitch + byte), exists);
    }
}

extern "C" __global__ void __launch_bounds__(256, 1)
attention_int8_sm80(const int8 *__restrict__ q, const int8 *__restrict__ k, const int8 *__restrict__ v,
                    const float *__restrict__ q_scales, const float *__restrict__ k_scales,
                    const float *__restrict__ channels, RESULT *__restrict__ o, const float *__restrict__ bounds,
                    float *__restrict__ scales, unsigned queries, unsigned keys, unsigned heads) {
    SHARED_MEMORY(memory);
    constexpr int TILE = 128 * STRIDE;  // bytes; q, then two stages of k and v
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned head = blockIdx.y, first_query = blockIdx.x * QUERIES;
    const unsigned tiles = (keys + KEYS - 1) / KEYS;
    const index_t stride = (index_t)heads * WIDTH, pitch = (index_t)heads * tiles * KEYS;
    k += (index_t)head * WIDTH;
    v += (index_t)head * tiles * KEYS;
    k_scales += (index_t)head * tiles;

    // The last tile comes first, so that only this one may have keys that do not exist.
    copy_rows(memory, q + first_query * stride + (index_t)head * WIDTH, stride, queries - first_query);
    copy_rows(memory + TILE, k + (tiles - 1) * (index_t)KEYS * stride, stride, keys - (tiles - 1) * KEYS);
    copy_rows(memory + 2 * TILE, v + (tiles - 1) * KEYS, pitch, WIDTH);
    commit_copies();

    const unsigned first_row = first_query + warp * 16 + lane / 4;
    float row_scales[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const unsigned row = first_row + half * 8;
        row_scales[half] = row < queries ? q_scales[(index_t)head * queries + row] : 0.f;
    }
    float totals[WIDTH / 8][4];
#pragma unroll
    for (int n = 0; n < WIDTH / 8; n++) totals[n][0] = totals[n][1] = totals[n][2] = totals[n][3] = 0.f;
    Row rows[2] = {{-INFINITY, 0.f}, {-INFINITY, 0.f}};
    unsigned rounded[WIDTH / 32][4];  // q
    // Where this lane's row lies in the matrices that a warp loads: see load_matrices and multiply_add.
    const unsigned q_place = (warp * 16 + lane % 16) * STRIDE + lane / 16 * 16;
    const unsigned place = (lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 16;

#pragma unroll 1
    for (unsigned i = 0; i < tiles; i++) {
        const unsigned tile = tiles - 1 - i;
        unsigned char *const k_tile = memory + TILE + i % 2 * 2 * TILE, *const v_tile = k_tile + TILE;
        wait_for_copies<0>();
        barrier();  // this tile is there, and everyone is done with the last
        if (tile > 0) {
            unsigned char *const next = memory + TILE + (i + 1) % 2 * 2 * TILE;
            copy_rows(next, k + (tile - 1) * (index_t)KEYS * stride, stride, KEYS);
            copy_rows(next + TILE, v + (tile - 1) * KEYS, pitch, WIDTH);
        }
        commit_copies();
        if (i == 0) {
#pragma unroll
            for (int depth = 0; depth < WIDTH / 32; depth++)
                load_matrices(rounded[depth], (const bfloat16 *)(memory + q_place + depth * 32));
        }

        int logits[KEYS / 8][4];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++) logits[n][0] = logits[n][1] = logits[n][2] = logits[n][3] = 0;
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++) {
#pragma unroll
            for (int depth = 0; depth < WIDTH / 32; depth++) {
                unsigned b[4];
                load_matrices(b, (const bfloat16 *)(k_tile + place + n * 16 * STRIDE + depth * 32));
                multiply_add(logits[2 * n], rounded[depth], b[0], b[1]);
                multiply_add(logits[2 * n + 1], rounded[depth], b[2], b[3]);
            }
        }

        const float k_scale = k_scales[tile];
        const unsigned existing = keys - tile * KEYS;
        int most[2];
        unsigned weights[2][KEYS / 8], p[KEYS / 32][4];
        Factors factors[2];
        if (i == 0) hide_logits(logits, existing, lane);
        find_most(logits, most);
        weigh(logits, most, weights, rows, factors, row_scales[0] * k_scale, row_scales[1] * k_scale);
        if (i == 0) hide_weights(weights, existing, lane);
        pack(p, weights, rows, factors);
        move(totals, factors);

#pragma unroll
        for (int n = 0; n < WIDTH / 16; n++) {
            int sums[2][4] = {};
#pragma unroll
            for (int part = 0; part < KEYS / 32; part++) {
                unsigned b[4];
                load_matrices(b, (const bfloat16 *)(v_tile + place + n * 16 * STRIDE + part * 32));
                multiply_add_unsigned(sums[0], p[part], b[0], b[1]);
                multiply_add_unsigned(sums[1], p[part], b[2], b[3]);
            }
            add(totals[2 * n], sums[0], factors);
            add(totals[2 * n + 1], sums[1], factors);
        }
    }
    finish(totals, rows, channels, o, bounds, scales, first_row, queries, head, heads, lane);
}
