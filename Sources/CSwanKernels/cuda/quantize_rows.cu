// quantize_rows: each row through a function, with a ROTATION rotated, and rounded to eight bits with a scale of its own.
//
//   y[r, c] = round(f(x[r, c]) * (L / a[r])),   scales[r] = a[r] / L,   a[r] = max_c |f(x[r, c])|
//   L: the largest number of y's type. Row<...>::write says what becomes of tiny rows, of NaNs and of rotated rows.
//
// Shapes    x INPUT [rows, WIDTH] · y OUTPUT [rows, WIDTH] · scales float32 [rows]
// Launch    grid = rows, block = THREADS; no dynamic shared memory.
// Defines   INPUT: float, bfloat16 or float16 · OUTPUT: float8 or int8 · FUNCTION: IDENTITY, GELU_TANH or SILU · WIDTH:
//           at most 32 THREADS · THREADS: multiple of 32, at most 1024 · VECTOR: 8 or 4 where WIDTH is a multiple of it
//           and the pointers are multiples of a vector, else 1 ·
//           ROTATION: of rows in eight bits, see row_norm.cuh.
// Sums      the rotation's, in an order that is the same everywhere: the same bits on every run, and for IDENTITY those of
//           the host.
// Traffic   3 (bfloat16) or 5 (float) bytes per element: reads x once, writes y once. 32,760 x 13824 in bfloat16 move
//           1.36 GB: 0.32 ms at 4.2 TB/s.

#include <row_norm.cuh>

extern "C" __global__ void __launch_bounds__(THREADS, 1)
quantize_rows(const INPUT *__restrict__ x, OUTPUT *__restrict__ y, float *__restrict__ scales) {
    const index_t row = (index_t)blockIdx.x * WIDTH;
    Row<INPUT> values(x + row);
    values.template apply<FUNCTION>();
    values.write(y + row, scales + blockIdx.x);
}
