// layer_norm_modulate: normalise each row, then shift and scale it by its group's timestep.
//
//   y[r, c] = (x[r, c] - mean[r]) * rstd[r] * (1 + scale[g, c]) + shift[g, c],   g = r / rows_per_group
//   rstd[r] = 1 / sqrt(mean((x[r] - mean[r])^2) + eps)
//
// Shapes    x float32 [rows, WIDTH] · shift, scale float32 [groups, WIDTH] · y OUTPUT [rows, WIDTH] · scales float32
//           [rows], written where OUTPUT has eight bits
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   OUTPUT: bfloat16, float8 or int8 · WIDTH: at most 32 THREADS · THREADS: multiple of 32, at most 1024 · VECTOR: 4
//           where WIDTH is a multiple of it, else 1 · ROTATION: of rows in eight bits, see row_norm.cuh.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run.
// Traffic   6 bytes per element, 5 in eight bits: reads x once, writes y once. Group rows come from L2, since
//           consecutive blocks share them. 75,600 x 5120 moves 2.32 GB: 0.48 ms at 4.8 TB/s.
// Source    Wan2.2 wan/modules/model.py, WanAttentionBlock.forward, norm1 and norm2.
//
// Why the row stays in registers: see layer_norm.cu.

#include <row_norm.cuh>

// As in add_gated_layer_norm.cu. Where float8 is made by arithmetic, it takes a register more than 1024 threads leave.
#if __CUDA_ARCH__ < 890
#define MOST_THREADS 768
#else
#define MOST_THREADS 1024
#endif

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_WITH(WIDTH > 20 * THREADS ? 640 : MOST_THREADS))
layer_norm_modulate(const float *__restrict__ x, const float *__restrict__ shift, const float *__restrict__ scale,
                    OUTPUT *__restrict__ y, float *__restrict__ scales, unsigned rows_per_group, float eps) {
    const index_t row = (index_t)blockIdx.x * WIDTH;
    Row<float> values(x + row);
    values.standardize(eps);
    const index_t group = (index_t)(blockIdx.x / rows_per_group) * WIDTH;
    shift += group, scale += group;
#pragma unroll
    for (int i = 0; i < Row<float>::VECTORS; i++) {
        const int column = Row<float>::column(i);
        if (column < WIDTH) {
            float a[VECTOR], b[VECTOR];
            load(scale + column, a);
            load(shift + column, b);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) values.at[i][j] = values.at[i][j] * (1.f + a[j]) + b[j];
        }
    }
    values.write(y + row, scales + blockIdx.x);
}
