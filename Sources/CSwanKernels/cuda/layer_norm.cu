// layer_norm: normalise each row, with affine weights.
//
//   y[r, c] = (x[r, c] - mean[r]) * rstd[r] * weight[c] + bias[c]
//   rstd[r] = 1 / sqrt(mean((x[r] - mean[r])^2) + eps)
//
// Shapes    x float32 [rows, WIDTH] · weight, bias float32 [WIDTH] · y bfloat16 [rows, WIDTH]
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   WIDTH: at most 32 THREADS · THREADS: multiple of 32, at most 1024 · VECTOR: 4 where WIDTH is
//           a multiple of it, else 1.
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on
//           every run.
// Traffic   6 bytes per element: reads x once, writes y once; weight and bias come from L2.
// Source    Wan2.2 wan/modules/model.py, WanLayerNorm with elementwise_affine, norm3.
//
// The row stays in registers between the sums, because the variance is taken around the mean:
// E[x^2] - E[x]^2 loses its digits in rows whose mean is far larger than their spread. The second sum
// also finds what rounding left of the mean; without it a row of mean 1000 and spread 1 is shifted as
// a whole.

#include <row_norm.cuh>

extern "C" __global__ void __launch_bounds__(THREADS)
layer_norm(const float *__restrict__ x, const float *__restrict__ weight, const float *__restrict__ bias,
           bfloat16 *__restrict__ y, float eps) {
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
            for (int j = 0; j < VECTOR; j++) w[j] = values.at[i][j] * w[j] + b[j];
            store(y + row + column, w);
        }
    }
}
