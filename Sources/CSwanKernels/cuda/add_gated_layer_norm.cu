// add_gated_layer_norm: a branch that the timestep opens onto the residual stream, in place, and the norm of each row
// with affine weights.
//
//   x[r, c] += y[r, c] * gate[g, c],   g = r / rows_per_group
//   h[r, c] = (x[r, c] - mean[r]) * rstd[r] * weight[c] + bias[c]
//   rstd[r] = 1 / sqrt(mean((x[r] - mean[r])^2) + eps)
//
// Shapes    y bfloat16 [rows, WIDTH] · gate float32 [groups, WIDTH] · x float32 [rows, WIDTH], which overlaps nothing
//           else · weight, bias float32 [WIDTH] · h OUTPUT [rows, WIDTH] · scales float32 [rows], written where OUTPUT
//           has eight bits
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   OUTPUT: bfloat16, float8 or int8 · WIDTH: at most 32 THREADS · THREADS: multiple of 32, at most 1024 ·
//           VECTOR: 4 where WIDTH is a multiple of it, else 1 ·
//           ROTATION: of rows in eight bits, see row_norm.cuh.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run, and those of add_gated and layer_norm.
// Traffic   12 bytes per element, 11 in eight bits: reads x and y once, writes x and h once. add_gated and layer_norm move 16, since
//           the second reads x again. Gate, weight and bias come from L2.
// Source    Wan2.2 wan/modules/model.py, WanAttentionBlock.forward, between self-attention and cross-attention.
//
// Why the row stays in registers: see layer_norm.cu.

#include <row_norm.cuh>

// 1024 threads of a multiprocessor leave 64 registers for each, which is enough for up to 20 values of a row and as many of
// a gate, and 640 leave 96, for 24 values. By itself the compiler takes 48 and spills.
extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_WITH(WIDTH > 20 * THREADS ? 640 : 1024))
add_gated_layer_norm(const bfloat16 *__restrict__ y, const float *__restrict__ gate, float *__restrict__ x,
                     const float *__restrict__ weight, const float *__restrict__ bias, OUTPUT *__restrict__ h,
                     float *__restrict__ scales, unsigned rows_per_group, float eps) {
    const index_t row = (index_t)blockIdx.x * WIDTH;
    const index_t group = (index_t)(blockIdx.x / rows_per_group) * WIDTH;
    Row<float> values(x + row);
    values.add(y + row, gate + group, x + row);
    values.standardize(eps);
#pragma unroll
    for (int i = 0; i < Row<float>::VECTORS; i++) {
        const int column = Row<float>::column(i);
        if (column < WIDTH) {
            float w[VECTOR], b[VECTOR];
            load(weight + column, w);
            load(bias + column, b);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) values.at[i][j] = values.at[i][j] * w[j] + b[j];
        }
    }
    values.write(h + row, scales + blockIdx.x);
}
