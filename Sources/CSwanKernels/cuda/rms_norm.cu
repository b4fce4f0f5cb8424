// rms_norm: divide each row by its root mean square, with a weight for each column.
//
//   y[r, c] = x[r, c] / sqrt(mean(x[r]^2) + eps) * weight[c]
//
// Shapes    x INPUT [rows, WIDTH] · weight float32 [WIDTH] · y bfloat16 [rows, WIDTH]
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   INPUT: bfloat16 or float · WIDTH: at most 32 THREADS · THREADS: multiple of 32, at most 1024 ·
//           VECTOR: 8 (bfloat16) or 4 (float) where WIDTH is a multiple of it, else 1.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run.
// Traffic   4 (bfloat16) or 6 (float) bytes per element.
// Source    Wan2.2 wan/modules/model.py, WanRMSNorm; transformers' T5LayerNorm.

#include <row_norm.cuh>

extern "C" __global__ void __launch_bounds__(THREADS)
rms_norm(const INPUT *__restrict__ x, const float *__restrict__ weight, bfloat16 *__restrict__ y, float eps) {
    const index_t row = (index_t)blockIdx.x * WIDTH;
    Row<INPUT> values(x + row);
    values.divide_by_root_mean_square(eps);
#pragma unroll
    for (int i = 0; i < Row<INPUT>::VECTORS; i++) {
        const int column = Row<INPUT>::column(i);
        if (column < WIDTH) {
            float w[VECTOR];
            load(weight + column, w);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) w[j] *= values.at[i][j];
            store(y + row + column, w);
        }
    }
}
