// attention_int8_keys: keys of eight-bit attention, less their mean, rotated and rounded, with a scale for each tile of 128
// rows of a head.
//
//   y and s of x - mean as in attention_int8_rows.cuh, s of all rows of a tile together;   scales = s
//   With NORMED, x is normalised and turned before, as by rms_norm_rope.cu, and not rounded between.
//
// Shapes    x bfloat16 [rows, heads, 128] · factors float32 [rows], weight float32 [heads, 128], cosines, sines float32
//           [rows, 64]: read with NORMED alone · means float32 [heads, 128] · y int8 [rows, heads, 128] ·
//           scales float32 [heads, ceil(rows / 128)]
// Launch    grid = (ceil(rows / 128), heads), block = 256: 4 threads for two rows that are 8 apart; no dynamic shared memory.
//           Pointers are multiples of 16 bytes.
// Defines   NORMED: 1 or 0
// Sums      the rotation in float32, in an order of its own: the same bits on every run.
// Traffic   3 bytes per element, and of angles 4 from the second cache level. 32,760 x 5120: 0.5 GB, 0.12 ms at 4.2 TB/s.

#include <attention_int8_rows.cuh>

extern "C" __global__ void __launch_bounds__(256, 2)
attention_int8_keys(const bfloat16 *__restrict__ x, const float *__restrict__ factors, const float *__restrict__ weight,
                    const float *__restrict__ cosines, const float *__restrict__ sines, const float *__restrict__ means,
                    int8 *__restrict__ y, float *__restrict__ scales, unsigned rows, unsigned heads) {
    const unsigned head = blockIdx.y, first = tile_row(blockIdx.x);
    const index_t pitch = (index_t)heads * 128;
    // In shared memory they take no registers, of which there would be too many.
    __shared__ __align__(16) float shared_weight[128], shared_means[128];
    if (threadIdx.x < 128) {
        if constexpr (NORMED) shared_weight[threadIdx.x] = weight[head * 128 + threadIdx.x];
        shared_means[threadIdx.x] = means[head * 128 + threadIdx.x];
    }
    HeadRow head_rows[2];
    load_tile(head_rows, x + head * 128, first, rows, pitch);
    barrier();
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const unsigned row = first + 8 * n;
        if (row >= rows) continue;
        if constexpr (NORMED) {
            const index_t angle = (index_t)row * 64;
            head_rows[n].norm_and_turn<true>(factors[row], shared_weight, cosines + angle, sines + angle, shared_means);
        } else {
            head_rows[n].subtract(shared_means);
        }
    }
    float values[2][32];
    rotate_rows(head_rows, values);
    const unsigned largest = block_max<256>(max(largest_of(values[0]), largest_of(values[1])));
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const unsigned row = first + 8 * n;
        if (row >= rows) continue;
        const float scale = write_head(y + row * pitch + head * 128, values[n], largest);
        if (row % 128 == 0 && threadIdx.x % 4 == 0) scales[head * gridDim.x + blockIdx.x] = scale;
    }
}
