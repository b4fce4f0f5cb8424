// rescale_product: what a product of int8 rows in whole numbers still lacks: scales, bias, a function, another type.
//
//   z[r, n] = f(x[r, n] * row_scales[r] * column_scales[n] + bias[n]),   y = z, or z in eight bits as in quantize_rows
//
// Shapes    x int32 [rows, WIDTH] · row_scales float32 [rows] · column_scales float32 [WIDTH] · bias float32 [WIDTH],
//           read if HAS_BIAS · y OUTPUT [rows, WIDTH] · scales float32 [rows], written where OUTPUT has eight bits
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   OUTPUT: float, bfloat16, float8 or int8 · HAS_BIAS: 1 or 0 · FUNCTION: IDENTITY, GELU_TANH or SILU · WIDTH:
//           at most 32 THREADS · THREADS: multiple of 32, at most 1024 · VECTOR: 4 where WIDTH is a multiple of it, else
//           1 · ROTATION: of rows in eight bits, see row_norm.cuh.
// Sums      none: each value is rounded where float32 rounds it, and once to y's type.
// Traffic   6 bytes per element (bfloat16), 5 (eight bits): reads x once, writes y once; column scales and bias come from
//           L2.

#include <row_norm.cuh>

extern "C" __global__ void __launch_bounds__(THREADS, 1)
rescale_product(const int *__restrict__ x, const float *__restrict__ row_scales,
                const float *__restrict__ column_scales, const float *__restrict__ bias, OUTPUT *__restrict__ y,
                float *__restrict__ scales) {
    const index_t row = (index_t)blockIdx.x * WIDTH;
    const float row_scale = row_scales[blockIdx.x];
    Row<int> values(x + row);
#pragma unroll
    for (int i = 0; i < Row<int>::VECTORS; i++) {
        const int column = Row<int>::column(i);
        if (column < WIDTH) {
            float a[VECTOR], b[VECTOR];
            load(column_scales + column, a);
            if (HAS_BIAS) load(bias + column, b);
#pragma unroll
            for (int j = 0; j < VECTOR; j++) {
                values.at[i][j] *= row_scale * a[j];
                if (HAS_BIAS) values.at[i][j] += b[j];
            }
        }
    }
    values.template apply<FUNCTION>();
    values.write(y + row, scales + blockIdx.x);
}
