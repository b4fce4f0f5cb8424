// add_low_rank: a matrix with low-rank changes merged in, as LoRAs have them.
//
//   y[r, c] = x[r, c] + sum_i sum_k (factor_i * up_i[first + r, k]) * down_i[k, c]
//
// Shapes    x SOURCE [rows, columns], some rows of a matrix from its row `first` on · y TARGET [rows, columns], which may
//           be x · values FACTOR: of each change up [all rows, rank] and behind it down [rank, columns] · list float32
//           [changes, 2]: rank and factor of each
// Launch    grid = (ceil(columns / 128), ceil(rows / 128)), block = 256; static shared memory of 17 KB.
// Defines   SOURCE, FACTOR: float, bfloat16 or float16 · TARGET: float or bfloat16 · VECTOR: 4 where columns is a multiple
//           of it and x and y are multiples of 16, else 1.
// Sums      float32, over changes and k in order, and x last; rounded once. The same bits on every run.
// Traffic   x once, y once; factors once for 128 columns or rows, from L2. 2 rows columns rank operations on the plain
//           float32 units bound it: 5120 x 5120 of rank 64 are 3.4 GFLOP, 0.1 ms at 34 TFLOP/s.
//
// A thread has 8 x 8 sums: rows and columns 0 ... 3 and 64 ... 67 behind its first, so that what a warp reads at once of
// shared memory lies together.

#include <swan_device.cuh>

constexpr int TILE = 128, DEPTH = 16, STRIDE = TILE + 4;

// Row or column j of a thread's eight.
__device__ __forceinline__ unsigned place(unsigned first, int j) { return first + j % 4 + j / 4 * (TILE / 2); }

extern "C" __global__ void __launch_bounds__(256, 2)
add_low_rank(const SOURCE *x, const FACTOR *__restrict__ values, const float *__restrict__ list, TARGET *y,
             unsigned changes, unsigned all_rows, unsigned first, unsigned rows, unsigned columns) {
    __shared__ __align__(16) float up_tile[DEPTH][STRIDE];
    __shared__ __align__(16) float down_tile[DEPTH][STRIDE];
    const unsigned first_row = blockIdx.y * TILE, first_column = blockIdx.x * TILE;
    const unsigned row = threadIdx.x / 16 * 4, column = threadIdx.x % 16 * 4;
    float sums[8][8] = {};
    for (unsigned change = 0; change < changes; change++) {
        const unsigned rank = (unsigned)list[2 * change];
        const float factor = list[2 * change + 1];
        const FACTOR *const up = values + (index_t)first * rank, *const down = values + (index_t)all_rows * rank;
        for (unsigned depth = 0; depth < rank; depth += DEPTH) {
            barrier();  // the last tiles have been read
#pragma unroll 4
            for (int i = 0; i < TILE * DEPTH / 256; i++) {
                const unsigned j = i * 256 + threadIdx.x;
                const unsigned k = j % DEPTH, r = j / DEPTH;
                const bool exists = depth + k < rank && first_row + r < rows;
                up_tile[k][r] = exists ? factor * widen(up[(index_t)(first_row + r) * rank + depth + k]) : 0.f;
            }
#pragma unroll 4
            for (int i = 0; i < TILE * DEPTH / 256; i++) {
                const unsigned j = i * 256 + threadIdx.x;
                const unsigned c = j % TILE, k = j / TILE;
                const bool exists = depth + k < rank && first_column + c < columns;
                down_tile[k][c] = exists ? widen(down[(index_t)(depth + k) * columns + first_column + c]) : 0.f;
            }
            barrier();
#pragma unroll 2
            for (int k = 0; k < DEPTH; k++) {
                float a[2][4], b[2][4];
                load(&up_tile[k][row], a[0]);
                load(&up_tile[k][row + TILE / 2], a[1]);
                load(&down_tile[k][column], b[0]);
                load(&down_tile[k][column + TILE / 2], b[1]);
#pragma unroll
                for (int i = 0; i < 8; i++) {
#pragma unroll
                    for (int j = 0; j < 8; j++) sums[i][j] += a[i / 4][i % 4] * b[j / 4][j % 4];
                }
            }
        }
        values = down + (index_t)rank * columns;
    }

#pragma unroll
    for (int i = 0; i < 8; i++) {
        const unsigned r = place(first_row + row, i);
        if (r < rows) {
#pragma unroll
            for (int j = 0; j < 8; j += VECTOR) {
                const unsigned c = place(first_column + column, j);
                if (c < columns) {
                    float part[VECTOR];
                    load(x + (index_t)r * columns + c, part);
#pragma unroll
                    for (int l = 0; l < VECTOR; l++) part[l] += sums[i][j + l];
                    store(y + (index_t)r * columns + c, part);
                }
            }
        }
    }
}
