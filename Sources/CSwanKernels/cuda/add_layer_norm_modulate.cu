// add_layer_norm_modulate: a branch onto the residual stream, in place, and the norm of each row, shifted and scaled by
// its group's timestep.
//
//   x[r, c] += y[r, c], with GATED y[r, c] * gate[g, c],   g = r / rows_per_group
//   h[r, c] = (x[r, c] - mean[r]) * rstd[r] * (1 + scale[g, c]) + shift[g, c]
//   rstd[r] = 1 / sqrt(mean((x[r] - mean[r])^2) + eps)
//
// Shapes    y bfloat16 [rows, WIDTH] · gate float32 [groups, WIDTH], which is read with GATED alone · x float32
//           [rows, WIDTH], which overlaps nothing else · shift, scale float32 [groups, WIDTH] · h OUTPUT [rows, WIDTH] ·
//           scales float32 [rows], written where OUTPUT has eight bits
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   OUTPUT: bfloat16, float8 or int8 · GATED: 1 or 0 · WIDTH: at most 32 THREADS · THREADS: multiple of 32, at
//           most 1024 · VECTOR: 4 where WIDTH is a multiple of it, else 1 · ROTATION: of rows in eight bits, see
//           row_norm.cuh.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run, and those of add or add_gated, and layer_norm_modulate.
// Traffic   12 bytes per element, 11 in eight bits: reads x and y once, writes x and h once. add and layer_norm_modulate
//           move 16, since the second reads x again. Group rows come from L2, since consecutive blocks share them.
// Source    Wan2.2 wan/modules/model.py, WanAttentionBlock.forward, between cross-attention and feed-forward, and with a
//           gate between that and the next block.
//
// Why the row stays in registers: see layer_norm.cu.

#include <row_norm.cuh>

// As in add_gated_layer_norm.cu, but for 768 threads, which leave 80 registers for each: with 64 one spills on some
// architectures.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_WITH(WIDTH > 20 * THREADS ? 640 : 768))
add_layer_norm_modulate(const bfloat16 *__restrict__ y, const float *__restrict__ gate, float *__restrict__ x,
                        const float *__restrict__ shift, const float *__restrict__ scale, OUTPUT *__restrict__ h,
                        float *__restrict__ scales, unsigned rows_per_group, float eps) {
    const index_t row = (index_t)blockIdx.x * WIDTH;
    const index_t group = (index_t)(blockIdx.x / rows_per_group) * WIDTH;
    Row<float> values(x + row);
    if constexpr (GATED) {
        values.add(y + row, gate + group, x + row);
    } else {
        values.add(y + row, x + row);
    }
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
    values.write(h + row, scales + blockIdx.x);
}
