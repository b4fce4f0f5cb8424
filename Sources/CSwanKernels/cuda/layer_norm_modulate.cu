// layer_norm_modulate: normalise each row, then shift and scale it by its group's timestep.
//
//   y[r, c] = (x[r, c] - mean[r]) * rstd[r] * (1 + scale[g, c]) + shift[g, c],   g = r / rows_per_group
//   rstd[r] = 1 / sqrt(mean((x[r] - mean[r])^2) + eps)
//
// Shapes    x float32 [rows, WIDTH] · shift, scale float32 [groups, WIDTH] · y bfloat16 [rows, WIDTH]
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   WIDTH: at most 32 THREADS · THREADS: multiple of 32, at most 1024 · VECTOR: 4 where WIDTH is
//           a multiple of it, else 1.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run.
// Traffic   6 bytes per element: reads x once, writes y once. Group rows come from L2, since
//           consecutive blocks share them. 75,600 x 5120 moves 2.32 GB: 0.48 ms at 4.8 TB/s.
// Source    Wan2.2 wan/modules/model.py, WanAttentionBlock.forward, norm1 and norm2.
//
// Why the row stays in registers: see layer_norm.cu.

#include <row_norm.cuh>

extern "C" __global__ void __launch_bounds__(THREADS)
layer_norm_modulate(const float *__restrict__ x, const float *__restrict__ shift, const float *__restrict__ scale,
                    bfloat16 *__restrict__ y, unsigned rows_per_group, float eps) {
    const index_t row = (index_t)blockIdx.x * WIDTH;
    const index_t group = (index_t)(blockIdx.x / rows_per_group) * WIDTH;
    Row<float> values(x + row);
    values.standardize(eps);
#pragma unroll
    for (int i = 0; i < Row<float>::VECTORS; i++) {
        const int column = Row<float>::column(i);
        if (column < WIDTH) {
            float a[VECTOR], b[VECTOR];
            load(scale + group + column, a);
            load(shift + group + column, b);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) a[j] = values.at[i][j] * (1.f + a[j]) + b[j];
            store(y + row + column, a);
        }
    }
}
