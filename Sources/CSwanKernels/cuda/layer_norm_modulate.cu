// layer_norm_modulate: normalise each row, then shift and scale it by its group's timestep.
//
//   y[r, c] = (x[r, c] - mean[r]) * rstd[r] * (1 + scale[g, c]) + shift[g, c],   g = r / rows_per_group
//   rstd[r] = 1 / sqrt(mean((x[r] - mean[r])^2) + eps)
//
// Shapes    x float32 [rows, WIDTH] · shift, scale float32 [groups, WIDTH] · y OUTPUT [rows, WIDTH] · scales float32
//           [rows], written where OUTPUT has eight bits
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   OUTPUT: bfloat16, float8 or int8 · EIGHT_BIT: 1 for the last two, else 0 · WIDTH: at most 32 THREADS ·
//           THREADS: multiple of 32, at most 1024 · VECTOR: 4 where WIDTH is a multiple of it, else 1 ·
//           ROTATION: of rows in eight bits, see row_norm.cuh.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run.
// Traffic   6 bytes per element, 5 in eight bits: reads x once, writes y once. Group rows come from L2, since
//           consecutive blocks share them. 75,600 x 5120 moves 2.32 GB: 0.48 ms at 4.8 TB/s.
// Source    Wan2.2 wan/modules/model.py, WanAttentionBlock.forward, norm1 and norm2.
//
// Why the row stays in registers: see layer_norm.cu.

#include <row_norm.cuh>

// With a scale to find, the compiler spills some registers where it is not told that it may take more.
#if EIGHT_BIT
#define BOUNDS __launch_bounds__(THREADS, 1)
#else
#define BOUNDS __launch_bounds__(THREADS)
#endif

extern "C" __global__ void BOUNDS
layer_norm_modulate(const float *__restrict__ x, const float *__restrict__ shift, const float *__restrict__ scale,
                    OUTPUT *__restrict__ y, float *__restrict__ scales, unsigned rows_per_group, float eps) {
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
            for (int j = 0; j < VECTOR; j++) values.at[i][j] = values.at[i][j] * (1.f + a[j]) + b[j];
        }
    }
    values.write(y + row, scales + blockIdx.x);
}
