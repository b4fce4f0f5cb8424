// attention_int8_ranges: of each channel of keys and values, what eight-bit attention needs to know, for a part of the keys.
//
//   parts[p, 0, c] = sum_i k[8 i, c],  parts[p, 1, c] = min_j v[j, c],  parts[p, 2, c] = max_j v[j, c],   j and 8 i in part p
//   With NORMED, k is normalised and turned before, as by rms_norm_rope.cu, and not rounded between.
//
// Shapes    k, v bfloat16 [keys, WIDTH] · factors float32 [keys], weight float32 [WIDTH], cosines, sines float32 [keys, 64]:
//           read with NORMED alone · parts float32 [ceil(keys / PART), 3, WIDTH]
// Launch    grid = (ceil(WIDTH / 256), parts), block = 256 threads: 32 vectors of channels by 8 keys; no dynamic shared
//           memory. Pointers are multiples of 16 bytes.
// Defines   WIDTH: channels of all heads, a multiple of 128 · PART: keys of a part, a multiple of 8 · NORMED: 1 or 0
// Sums      in float32, each thread's keys in order, then the eight threads in order: the same bits on every run.
// Traffic   reads v and an eighth of k once: 32,760 x 5120 are 377 MB, 0.09 ms at 4.2 TB/s. Whatever all keys are moved by
//           changes no weight, so their mean may be that of some.

#include <swan_device.cuh>

struct Ranges {
    float sum[8], least[8], most[8];
};

extern "C" __global__ void __launch_bounds__(256)
attention_int8_ranges(const bfloat16 *__restrict__ k, const float *__restrict__ factors,
                      const float *__restrict__ weight, const float *__restrict__ cosines,
                      const float *__restrict__ sines, const bfloat16 *__restrict__ v, float *__restrict__ parts,
                      unsigned keys) {
    __shared__ Ranges shared[256];
    const unsigned lane = threadIdx.x % 32, row = threadIdx.x / 32;
    const unsigned channel = (blockIdx.x * 32 + lane) * 8;
    const unsigned first = blockIdx.y * PART, end = min(first + PART, keys);
    Ranges ranges;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        ranges.sum[i] = 0.f;
        ranges.least[i] = INFINITY;
        ranges.most[i] = -INFINITY;
    }
    if (channel < WIDTH) {
        float values[8];
#pragma unroll 8
        for (unsigned key = first + row; key < end; key += 8) {
            load(v + (index_t)key * WIDTH + channel, values);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                ranges.least[i] = min_or_nan(ranges.least[i], values[i]);
                ranges.most[i] = max_or_nan(ranges.most[i], values[i]);
            }
        }
        float w[8];
        if constexpr (NORMED) load(weight + channel, w);
#pragma unroll 8
        for (unsigned key = first + row * 8; key < end; key += 64) {
            load(k + (index_t)key * WIDTH + channel, values);
            if constexpr (NORMED) {
                const index_t angle = (index_t)key * 64 + channel % 128 / 2;
                const float factor = factors[key];
                float cosine[4], sine[4];
                load(cosines + angle, cosine);
                load(sines + angle, sine);
#pragma unroll
                for (int i = 0; i < 8; i += 2) {
                    values[i] *= factor * w[i];
                    values[i + 1] *= factor * w[i + 1];
                    turn(values[i], values[i + 1], cosine[i / 2], sine[i / 2]);
                }
            }
#pragma unroll
            for (int i = 0; i < 8; i++) ranges.sum[i] += values[i];
        }
    }
    shared[threadIdx.x] = ranges;
    barrier();
    if (row > 0 || channel >= WIDTH) return;
    for (unsigned other = 1; other < 8; other++) {
        const Ranges &theirs = shared[other * 32 + lane];
#pragma unroll
        for (int i = 0; i < 8; i++) {
            ranges.sum[i] += theirs.sum[i];
            ranges.least[i] = min_or_nan(ranges.least[i], theirs.least[i]);
            ranges.most[i] = max_or_nan(ranges.most[i], theirs.most[i]);
        }
    }
    float *const target = parts + (index_t)blockIdx.y * 3 * WIDTH + channel;
    store(target, ranges.sum);
    store(target + WIDTH, ranges.least);
    store(target + 2 * WIDTH, ranges.most);
}
