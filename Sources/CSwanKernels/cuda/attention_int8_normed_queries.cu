// attention_int8_normed_queries: queries of eight-bit attention from before their norm: normalised over all heads, turned by
// the rotary embedding, rotated and rounded, with a scale for each row of a head.
//
//   y and s of what rms_norm_rope.cu gives as in attention_int8_rows.cuh,   scales = s * factor
//
// Shapes    x bfloat16 [rows, HEADS, 128] · weight float32 [HEADS, 128] · cosines, sines float32 [rows, 64] ·
//           y int8 [rows, HEADS, 128] · scales float32 [HEADS, rows]
// Launch    grid = ceil(rows / ROWS), block = THREADS; no dynamic shared memory. Pointers are multiples of 16 bytes.
// Defines   HEADS: at most THREADS / 4 · THREADS: a multiple of 32, at most 1024 · ROWS: of a block, one after the other
// Sums      float32: per thread, then butterfly in the warp, then the warps in order; the same bits on every run.
// Traffic   3 bytes per element, where rms_norm_rope and attention_int8_queries move 7.
// Source    Wan2.2 wan/modules/model.py, WanSelfAttention.forward and rope_apply.

#include <attention_int8_rows.cuh>

extern "C" __global__ void __launch_bounds__(THREADS)
attention_int8_normed_queries(const bfloat16 *__restrict__ x, const float *__restrict__ weight,
                              const float *__restrict__ cosines, const float *__restrict__ sines, int8 *__restrict__ y,
                              float *__restrict__ scales, unsigned rows, float eps, float factor) {
    constexpr index_t PITCH = HEADS * 128;
    // Threads beyond the last head do what those of the last do, and store nothing.
    const bool exists = threadIdx.x / 4 < HEADS;
    const unsigned head = exists ? threadIdx.x / 4 : HEADS - 1;
    const unsigned first = blockIdx.x * ROWS, end = min(first + ROWS, rows);
#pragma unroll 1
    for (unsigned row = first; row < end; row++) {
        const index_t place = row * PITCH + head * 128, angle = (index_t)row * 64;
        HeadRow head_rows[1];
        head_rows[0].load_from(x + place);
        // Divided before they are added: a sum of squares overflows long before their mean does.
        float sum[1] = {exists ? head_rows[0].sum_of_squares() / PITCH : 0.f};
        block_sum<THREADS>(sum);
        head_rows[0].norm_and_turn<false>(1.f / sqrtf(sum[0] + eps), weight + head * 128, cosines + angle, sines + angle,
                                          nullptr);
        float values[1][32];
        rotate_rows(head_rows, values);
        const unsigned largest = largest_of(values[0]);
        if (exists) {
            const float scale = write_head(y + place, values[0], largest);
            if (threadIdx.x % 4 == 0) scales[(index_t)head * rows + row] = scale * factor;
        }
    }
}
