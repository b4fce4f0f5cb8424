// attention: exact softmax(q k^T * scale + bias) v, for every head, on the matrix units of sm_80 and later.
//
//   o[i, h] = sum_j p[j] v[j, h] / sum_j p[j],   p[j] = e^(logit[j] - max logit),
//   logit[j] = scale * (q[i, h] . k[j, h]) + bias[h, i, j]
//
// Shapes    q, o bfloat16 [queries, heads, WIDTH] · k, v bfloat16 [keys, heads, WIDTH] · bias float32, read
//           at h * bias_head_stride + i * bias_query_stride + j (0 where heads or queries share it)
// Launch    grid = (ceil(queries / (16 ROW_TILES WARPS)), heads, WIDTH / PART), block = 32 WARPS;
//           dynamic shared memory 2 (16 ROW_TILES WARPS (WIDTH + 8) + KEYS (WIDTH + 8) + KEYS (PART + 8))
//           bytes.
// Defines   WIDTH: multiple of 16 · PART: columns of v of one block, divides WIDTH, multiple of 16 · WARPS ·
//           ROW_TILES: 16-row tiles of a warp · KEYS: keys of a tile, multiple of 16 · BIAS: 1 or 0.
//           Registers per thread: 4 ROW_TILES (PART / 8 + KEYS / 8) sums, and some 60.
// Sums      q k^T, the weights' sum and p v in float32; p is rounded to bfloat16 for the second product.
//           Keys in order, tile after tile; the four threads of a row at the end by a butterfly. The same
//           bits on every run.
// Traffic   per block of 16 ROW_TILES WARPS queries: k and v once, from L2, since the blocks of a head run
//           together. 4 queries keys WIDTH operations per head bound it, not bytes.
// Source    Dao, "FlashAttention-2", 2023, algorithm 1 (online softmax, split over queries).
//
// Rows in shared memory are 16 bytes longer than they need to be: the eight rows that a matrix load takes
// then start in different banks, for every WIDTH that is a multiple of 16. While a tile's logits are
// computed its values arrive; while its values are added the next tile's keys do.
//
// Heads too wide for one thread's sums are cut along v: each part computes all logits again. That costs
// (WIDTH / PART + 1) / 2 times the arithmetic and no memory.

#include <swan_device.cuh>

#define QUERIES (16 * ROW_TILES * WARPS)

constexpr int THREADS = 32 * WARPS;
constexpr int STRIDE = WIDTH + 8;
constexpr int PART_STRIDE = PART + 8;
static_assert(WIDTH % 16 == 0 && PART % 16 == 0 && WIDTH % PART == 0 && KEYS % 16 == 0, "whole tiles");

// Starts copying rows first ... first + ROWS - 1 of one head, COLUMNS of each; zeros beyond `count`.
template <int ROWS, int COLUMNS>
__device__ __forceinline__ void copy_rows(bfloat16 *target, const bfloat16 *head, index_t row_stride, unsigned first,
                                          unsigned count) {
    constexpr int CHUNKS = COLUMNS / 8;
    // Not unrolled: the addresses of all chunks would take the registers of the sums.
#pragma unroll 1
    for (int i = 0; i < (ROWS * CHUNKS + THREADS - 1) / THREADS; i++) {
        const int chunk = i * THREADS + (int)threadIdx.x;
        if ((ROWS * CHUNKS) % THREADS == 0 || chunk < ROWS * CHUNKS) {
            const int row = chunk / CHUNKS, column = chunk % CHUNKS * 8;
            const bool exists = first + row < count;
            copy_async(target + row * (COLUMNS + 8) + column,
                       head + (exists ? first + row : 0) * row_stride + column, exists);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS)
attention(const bfloat16 *__restrict__ q, const bfloat16 *__restrict__ k, const bfloat16 *__restrict__ v,
          const float *__restrict__ bias, bfloat16 *__restrict__ o, unsigned queries, unsigned keys, unsigned heads,
          index_t bias_head_stride, index_t bias_query_stride, float scale) {
    SHARED_MEMORY(memory);
    bfloat16 *const q_tile = (bfloat16 *)memory;
    bfloat16 *const k_tile = q_tile + QUERIES * STRIDE;
    bfloat16 *const v_tile = k_tile + KEYS * STRIDE;

    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned first_query = blockIdx.x * QUERIES;
    const index_t row_stride = (index_t)heads * WIDTH, head = (index_t)blockIdx.y * WIDTH;
    const index_t part = head + (index_t)blockIdx.z * PART;
    constexpr float LOG2_E = 1.4426950408889634f;

    copy_rows<QUERIES, WIDTH>(q_tile, q + head, row_stride, first_query, queries);
    copy_rows<KEYS, WIDTH>(k_tile, k + head, row_stride, 0, keys);
    commit_copies();

    float sums[ROW_TILES][PART / 8][4];
    float largest[ROW_TILES][2], weight[ROW_TILES][2];
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++) {
#pragma unroll
        for (int n = 0; n < PART / 8; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) sums[m][n][i] = 0.f;
        }
        largest[m][0] = largest[m][1] = -INFINITY;
        weight[m][0] = weight[m][1] = 0.f;
    }

    // Where this lane's row lies in the matrices that a warp loads: see load_matrices and multiply_add.
    const bfloat16 *const q_row = q_tile + (warp * ROW_TILES * 16 + lane % 16) * STRIDE + lane / 16 * 8;
    const bfloat16 *const k_row = k_tile + (lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 8;
    const bfloat16 *const v_row = v_tile + (lane % 16) * PART_STRIDE + lane / 16 * 8;

    for (unsigned first_key = 0; first_key < keys; first_key += KEYS) {
        wait_for_copies<0>();
        barrier();  // q and this tile's keys are there; everyone is done with the last tile's values
        copy_rows<KEYS, PART>(v_tile, v + part, row_stride, first_key, keys);
        commit_copies();

        float logits[ROW_TILES][KEYS / 8][4];
#pragma unroll
        for (int m = 0; m < ROW_TILES; m++) {
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int i = 0; i < 4; i++) logits[m][n][i] = 0.f;
            }
        }
#pragma unroll
        for (int depth = 0; depth < WIDTH; depth += 16) {
            unsigned a[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; m++) load_matrices(a[m], q_row + m * 16 * STRIDE + depth);
#pragma unroll
            for (int n = 0; n < KEYS / 16; n++) {
                unsigned b[4];
                load_matrices(b, k_row + n * 16 * STRIDE + depth);
#pragma unroll
                for (int m = 0; m < ROW_TILES; m++) {
                    multiply_add(logits[m][2 * n], a[m], b[0], b[1]);
                    multiply_add(logits[m][2 * n + 1], a[m], b[2], b[3]);
                }
            }
        }
        barrier();  // everyone is done with this tile's keys
        if (first_key + KEYS < keys) copy_rows<KEYS, WIDTH>(k_tile, k + head, row_stride, first_key + KEYS, keys);
        commit_copies();

        // Logits times log2 e: the weights are powers of two.
        const bool is_last = first_key + KEYS > keys;
#pragma unroll
        for (int m = 0; m < ROW_TILES; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float maximum = largest[m][half];
#if BIAS
                unsigned row = first_query + (warp * ROW_TILES + m) * 16 + half * 8 + lane / 4;
                if (row >= queries) row = queries - 1;
                const float *const biases = bias + blockIdx.y * bias_head_stride + row * bias_query_stride;
#endif
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        const unsigned key = first_key + n * 8 + lane % 4 * 2 + i % 2;
                        float logit = logits[m][n][i] * scale;
#if BIAS
                        if (key < keys) logit += biases[key];
#endif
                        logit *= LOG2_E;
                        if (is_last && key >= keys) logit = -INFINITY;
                        logits[m][n][i] = logit;
                        maximum = fmaxf(maximum, logit);
                    }
                }
                maximum = fmaxf(maximum, shuffle_xor(maximum, 1));
                maximum = fmaxf(maximum, shuffle_xor(maximum, 2));
                // As long as every key is removed, no exponent may be infinity less infinity.
                const float origin = maximum == -INFINITY ? 0.f : maximum;
                const float shrink = exp2_fast(largest[m][half] - origin);
                largest[m][half] = maximum;
                float sum = 0.f;
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        logits[m][n][i] = exp2_fast(logits[m][n][i] - origin);
                        sum += logits[m][n][i];
                    }
                }
                weight[m][half] = weight[m][half] * shrink + sum;
#pragma unroll
                for (int n = 0; n < PART / 8; n++) {
                    sums[m][n][2 * half] *= shrink;
                    sums[m][n][2 * half + 1] *= shrink;
                }
            }
        }

        wait_for_copies<1>();
        barrier();  // this tile's values are there
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++) {
            // The sums' layout of two 16x8 tiles is the operand's layout of one 16x16.
            unsigned p[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; m++) {
                p[m][0] = pack_bfloat16(logits[m][2 * n][0], logits[m][2 * n][1]);
                p[m][1] = pack_bfloat16(logits[m][2 * n][2], logits[m][2 * n][3]);
                p[m][2] = pack_bfloat16(logits[m][2 * n + 1][0], logits[m][2 * n + 1][1]);
                p[m][3] = pack_bfloat16(logits[m][2 * n + 1][2], logits[m][2 * n + 1][3]);
            }
#pragma unroll
            for (int column = 0; column < PART; column += 16) {
                unsigned b[4];
                load_matrices_transposed(b, v_row + n * 16 * PART_STRIDE + column);
#pragma unroll
                for (int m = 0; m < ROW_TILES; m++) {
                    multiply_add(sums[m][column / 8], p[m], b[0], b[1]);
                    multiply_add(sums[m][column / 8 + 1], p[m], b[2], b[3]);
                }
            }
        }
    }

#pragma unroll
    for (int m = 0; m < ROW_TILES; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const unsigned row = first_query + (warp * ROW_TILES + m) * 16 + half * 8 + lane / 4;
            // Without any key this is 0 / 0, which is the NaN that the contract asks for.
            const float total = lane_sum<4>(weight[m][half]);
            if (row < queries) {
                bfloat16 *const target = o + row * row_stride + part + lane % 4 * 2;
#pragma unroll
                for (int n = 0; n < PART / 8; n++)
                    *(unsigned *)(target + n * 8) =
                        pack_bfloat16(sums[m][n][2 * half] / total, sums[m][n][2 * half + 1] / total);
            }
        }
    }
}
