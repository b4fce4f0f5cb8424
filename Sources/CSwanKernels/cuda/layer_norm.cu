// layer_norm: normalise each row, with affine weights.
//
//   y[r, c] = (x[r, c] - mean[r]) * rstd[r] * weight[c] + bias[c]
//   rstd[r] = 1 / sqrt(mean((x[r] - mean[r])^2) + eps)
//
// Shapes    x float32 [rows, WIDTH] · weight, bias float32 [WIDTH] · y OUTPUT [rows, WIDTH] · scales float32 [rows], written
//           where OUTPUT has eight bits
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   OUTPUT: bfloat16, float8 or int8 · WIDTH: at most 32 THREADS · THREADS: multiple of 32, at most 1024 · VECTOR: 4
//           where WIDTH is a multiple of it, else 1 · ROTATION: of rows in eight bits, see row_norm.cuh.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run.
// Traffic   6 bytes per element, 5 in eight bits: reads x once, writes y once; weight and bias come from L2.
// Source    Wan2.2 wan/modules/model.py, WanLayerNorm with elementwise_affine, norm3.
//
// The row stays in registers between the sums, because the variance is taken around the mean:
// E[x^2] - E[x]^2 loses its digits in rows whose mean is far larger than their spread. The second sum
// also finds what rounding left of the mean; without it a row of mean 1000 and spread 1 is shifted as
// a whole.

#include <row_norm.cuh>

extern "C" __global__ void __launch_bounds__(THREADS, BLOCKS_WITH(WIDTH > 20 * THREADS ? 640 : 1024))
layer_norm(const float *__restrict__ x, const float *__restrict__ weight, const float *__restrict__ bias,
           OUTPUT *__restrict__ y, float *__restrict__ scales, float eps) {
    const index_t row = (index_t)blockIdx.x * WIDTH;
    Row<float> values(x + row);
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
    values.write(y + row, scales + blockIdx.x);
}
