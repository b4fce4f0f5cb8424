// rms_norm_rope: root-mean-square normalisation over the whole row, then each head's rotary embedding.
//
//   n[c]                 = x[r, c] / sqrt(mean(x[r]^2) + eps) * weight[c]
//   y[r, 2p], y[r, 2p+1] = n[2p] cos - n[2p+1] sin, n[2p] sin + n[2p+1] cos
//   cos, sin             = cosines[r, p % PAIRS], sines[r, p % PAIRS]
//
// Shapes    x bfloat16 [rows, WIDTH] · weight float32 [WIDTH] · cosines, sines float32 [rows, PAIRS] ·
//           y bfloat16 [rows, WIDTH]
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   WIDTH: a multiple of 2 PAIRS, at most 32 THREADS · PAIRS · THREADS: multiple of 32, at most
//           1024 · VECTOR: 8 where PAIRS is a multiple of 4, else 2.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run.
// Traffic   4 bytes per element; a row of the tables is read once per row and then by all heads from L1.
// Source    Wan2.2 wan/modules/model.py, WanSelfAttention.forward and rope_apply.

#include <row_norm.cuh>

extern "C" __global__ void __launch_bounds__(THREADS)
rms_norm_rope(const bfloat16 *__restrict__ x, const float *__restrict__ weight, const float *__restrict__ cosines,
              const float *__restrict__ sines, bfloat16 *__restrict__ y, float eps) {
    static_assert(WIDTH % (2 * PAIRS) == 0 && (2 * PAIRS) % VECTOR == 0, "a vector lies in one head");
    const index_t row = (index_t)blockIdx.x * WIDTH, angles = (index_t)blockIdx.x * PAIRS;
    Row<bfloat16> values(x + row);
    values.divide_by_root_mean_square(eps);
#pragma unroll
    for (int i = 0; i < Row<bfloat16>::VECTORS; i++) {
        const int column = Row<bfloat16>::column(i);
        if (column < WIDTH) {
            float w[VECTOR], cosine[VECTOR / 2], sine[VECTOR / 2];
            const int pair = column / 2 % PAIRS;
            load(weight + column, w);
            load(cosines + angles + pair, cosine);
            load(sines + angles + pair, sine);
#pragma unroll
            for (int j = 0; j < VECTOR; j += 2) {
                w[j] *= values.at[i][j];
                w[j + 1] *= values.at[i][j + 1];
                turn(w[j], w[j + 1], cosine[j / 2], sine[j / 2]);
            }
            store(y + row + column, w);
        }
    }
}
