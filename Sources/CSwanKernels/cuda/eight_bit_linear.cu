// eight_bit_linear: a matrix product of rows in eight bits on the matrix units of sm_80 and later.
//
//   y[r, n] = (sum_k x[r, k] * w[n, k]) * row_scales[r] * column_scales[n] + bias[n]
//
// Shapes    x ELEMENT [rows, inputs] · row_scales float32 [rows] · w ELEMENT [outputs, inputs] · column_scales float32
//           [outputs] · bias float32 [outputs], read if HAS_BIAS · y OUTPUT [rows, outputs]; inputs a multiple of 16, x
//           and w at multiples of 16 bytes
// Launch    grid = (ceil(outputs / COLUMNS), ceil(rows / ROWS)), block = 32 ROW_WARPS COLUMN_WARPS; dynamic shared
//           memory STAGES (ROWS + COLUMNS) 80 bytes, with ROWS = 16 ROW_TILES ROW_WARPS and COLUMNS = 8 COLUMN_TILES
//           COLUMN_WARPS.
// Defines   ELEMENT: int8 or float8 · OUTPUT: float or bfloat16 · HAS_BIAS: 1 or 0 · ROW_TILES, COLUMN_TILES: tiles of
//           16 rows and 8 columns of a warp, COLUMN_TILES even · ROW_WARPS, COLUMN_WARPS · STAGES: 2 or more tiles of 64
//           values in shared memory. Registers per thread: 4 ROW_TILES COLUMN_TILES sums, and some 60.
// Sums      int8: whole numbers, exact. float8: in float32 as the matrix units keep them, k in order. The same bits on
//           every run.
// Traffic   every row of x is read outputs / COLUMNS times and every row of w rows / ROWS times, from L2: blocks that
//           follow each other share rows of x, and w as a whole fits L2. 2 rows inputs outputs operations bound it.
//
// Where matrix units know no float8 (sm_80, sm_86), the numbers are widened to float16 on their way: a float8's bits are
// those of a float16 that is 256 times smaller, so that products are 65,536 times smaller and nothing is rounded. Which k
// a fragment's register holds does not matter as long as x and w agree.
//
// Rows in shared memory take 80 bytes instead of 64: the eight rows that a matrix load takes then start in different
// banks.

#include <swan_device.cuh>

constexpr int THREADS = 32 * ROW_WARPS * COLUMN_WARPS;
constexpr int ROWS = 16 * ROW_TILES * ROW_WARPS, COLUMNS = 8 * COLUMN_TILES * COLUMN_WARPS;
constexpr int DEPTH = 64, STRIDE = DEPTH + 16, STAGE = (ROWS + COLUMNS) * STRIDE;
static_assert(COLUMN_TILES % 2 == 0 && STAGES >= 2, "two tiles of columns are loaded at once");

struct int8_product {
    typedef int sum;
    static constexpr float unit = 1.f;
    static __device__ __forceinline__ void add(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        multiply_add(d, a, b0, b1);
    }
};

struct float8_product {
    typedef float sum;
#if FLOAT8_PRODUCTS
    static constexpr float unit = 1.f;
    static __device__ __forceinline__ void add(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        multiply_add_float8(d, a, b0, b1);
    }
#else
    static constexpr float unit = 65536.f;
    static __device__ __forceinline__ void add(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
        unsigned low[4], high[4], c[4];
        float8_as_float16(a[0], low[0], low[2]);
        float8_as_float16(a[1], low[1], low[3]);
        float8_as_float16(a[2], high[0], high[2]);
        float8_as_float16(a[3], high[1], high[3]);
        float8_as_float16(b0, c[0], c[1]);
        float8_as_float16(b1, c[2], c[3]);
        multiply_add_float16(d, low, c[0], c[1]);
        multiply_add_float16(d, high, c[2], c[3]);
    }
#endif
};

template <class Element>
struct product_of;
template <>
struct product_of<int8> {
    typedef int8_product type;
};
template <>
struct product_of<float8> {
    typedef float8_product type;
};
typedef product_of<ELEMENT>::type product;

__device__ __forceinline__ void store_pair(bfloat16 *target, float a, float b) {
    *(unsigned *)target = pack_bfloat16(a, b);
}

__device__ __forceinline__ void store_pair(float *target, float a, float b) { target[0] = a, target[1] = b; }

// Starts copying values first ... first + DEPTH - 1 of COUNT rows; zeros beyond the end of a row or of the rows.
template <int COUNT>
__device__ __forceinline__ void copy_rows(unsigned char *target, const ELEMENT *source, index_t first_row,
                                          index_t rows, unsigned first, unsigned inputs) {
    constexpr int CHUNKS = DEPTH / 16;
#pragma unroll
    for (int i = 0; i < (COUNT * CHUNKS + THREADS - 1) / THREADS; i++) {
        const int chunk = i * THREADS + (int)threadIdx.x;
        if ((COUNT * CHUNKS) % THREADS == 0 || chunk < COUNT * CHUNKS) {
            const int line = chunk / CHUNKS, column = chunk % CHUNKS * 16;
            const bool exists = first_row + line < rows && first + column < inputs;
            copy_async((bfloat16 *)(target + line * STRIDE + column),
                       (const bfloat16 *)(source + (exists ? (first_row + line) * inputs + first + column : 0)), exists);
        }
    }
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
eight_bit_linear(const ELEMENT *__restrict__ x, const float *__restrict__ row_scales, const ELEMENT *__restrict__ w,
                 const float *__restrict__ column_scales, const float *__restrict__ bias, OUTPUT *__restrict__ y,
                 index_t rows, unsigned inputs, unsigned outputs) {
    SHARED_MEMORY(memory);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int warp_row = warp % ROW_WARPS * ROW_TILES * 16, warp_column = warp / ROW_WARPS * COLUMN_TILES * 8;
    const index_t first_row = (index_t)blockIdx.y * ROWS, first_column = (index_t)blockIdx.x * COLUMNS;
    const unsigned steps = (inputs + DEPTH - 1) / DEPTH;

    typename product::sum sums[ROW_TILES][COLUMN_TILES][4];
#pragma unroll
    for (int m = 0; m < ROW_TILES; m++) {
#pragma unroll
        for (int n = 0; n < COLUMN_TILES; n++) {
#pragma unroll
            for (int i = 0; i < 4; i++) sums[m][n][i] = 0;
        }
    }
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) {
        copy_rows<ROWS>(memory + stage * STAGE, x, first_row, rows, stage * DEPTH, inputs);
        copy_rows<COLUMNS>(memory + stage * STAGE + ROWS * STRIDE, w, first_column, outputs, stage * DEPTH, inputs);
        commit_copies();
    }
    // Where this lane's row lies in the matrices that a warp loads: see load_matrices and multiply_add.
    const int x_place = (warp_row + lane % 16) * STRIDE + lane / 16 * 16;
    const int w_place = (ROWS + warp_column + lane % 8 + lane / 16 * 8) * STRIDE + lane / 8 % 2 * 16;

    for (unsigned step = 0; step < steps; step++) {
        wait_for_copies<STAGES - 2>();
        barrier();  // this tile is there; everyone is done with the last one, whose place the next copy takes
        const unsigned next = step + STAGES - 1;
        unsigned char *const place = memory + next % STAGES * STAGE;
        // Beyond the end there is nothing to copy, but the groups are counted.
        if (next < steps) {
            copy_rows<ROWS>(place, x, first_row, rows, next * DEPTH, inputs);
            copy_rows<COLUMNS>(place + ROWS * STRIDE, w, first_column, outputs, next * DEPTH, inputs);
        }
        commit_copies();
        const unsigned char *const tile = memory + step % STAGES * STAGE;
#pragma unroll
        for (int depth = 0; depth < DEPTH; depth += 32) {
            unsigned a[ROW_TILES][4];
#pragma unroll
            for (int m = 0; m < ROW_TILES; m++)
                load_matrices(a[m], (const bfloat16 *)(tile + x_place + m * 16 * STRIDE + depth));
#pragma unroll
            for (int n = 0; n < COLUMN_TILES; n += 2) {
                unsigned b[4];
                load_matrices(b, (const bfloat16 *)(tile + w_place + n * 8 * STRIDE + depth));
#pragma unroll
                for (int m = 0; m < ROW_TILES; m++) {
                    product::add(sums[m][n], a[m], b[0], b[1]);
                    product::add(sums[m][n + 1], a[m], b[2], b[3]);
                }
            }
        }
    }

#pragma unroll
    for (int m = 0; m < ROW_TILES; m++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const index_t row = first_row + warp_row + m * 16 + half * 8 + lane / 4;
            if (row < rows) {
                const float row_scale = row_scales[row] * product::unit;
#pragma unroll
                for (int n = 0; n < COLUMN_TILES; n++) {
                    const unsigned column = (unsigned)first_column + warp_column + n * 8 + lane % 4 * 2;
float values[2] = {};
#pragma unroll
                    for (int i = 0; i < 2; i++) {
                        if (column + i < outputs) {
                            values[i] = (float)sums[m][n][2 * half + i] * (row_scale * column_scales[column + i]);
                            if (HAS_BIAS) values[i] += bias[column + i];
                        }
                    }
                    OUTPUT *const target = y + row * outputs + column;
                    if (outputs % 2 == 0) {
                        if (column < outputs) store_pair(target, values[0], values[1]);
                    } else {
                        if (column < outputs) narrow(values[0], target[0]);
                        if (column + 1 < outputs) narrow(values[1], target[1]);
                    }
                }
            }
        }
    }
}
