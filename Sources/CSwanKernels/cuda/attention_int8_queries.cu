// attention_int8_queries: queries of eight-bit attention, rotated and rounded, with a scale for each row of a head.
//
//   y and s as in attention_int8_rows.cuh,   scales = s * factor
//
// Shapes    x bfloat16 [rows, heads, 128] · y int8 [rows, heads, 128] · scales float32 [heads, rows]
// Launch    grid = (ceil(rows / 128), heads), block = 256: 4 threads for two rows that are 8 apart; no dynamic shared memory.
//           Pointers are multiples of 16 bytes.
// Sums      the rotation in float32, in an order of its own: the same bits on every run.
// Traffic   3 bytes per element. 32,760 x 5120: 0.5 GB, 0.12 ms at 4.2 TB/s.

#include <attention_int8_rows.cuh>

extern "C" __global__ void __launch_bounds__(256, 2)
attention_int8_queries(const bfloat16 *__restrict__ x, int8 *__restrict__ y, float *__restrict__ scales, unsigned rows,
                       unsigned heads, float factor) {
    const unsigned head = blockIdx.y, first = tile_row(blockIdx.x);
    const index_t pitch = (index_t)heads * 128;
    HeadRow head_rows[2];
    load_tile(head_rows, x + head * 128, first, rows, pitch);
    float values[2][32];
    rotate_rows(head_rows, values);
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const unsigned row = first + 8 * n, largest = largest_of(values[n]);
        if (row < rows) {
            const float scale = write_head(y + row * pitch + head * 128, values[n], largest);
            if (threadIdx.x % 4 == 0) scales[(index_t)head * rows + row] = scale * factor;
        }
    }
}
