// attention_int8_channels: what attention_int8_ranges found, put together: by what keys are moved and values are rounded.
//
//   channels[0, c] = mean of k[8 i, c],  channels[1, c] = (least + most) / 2 of v[., c],
//   channels[2, c] = (most - least) / 2 / 127; 0 where the values hardly differ
//   bounds[b] = the largest |v[., c]| of 256 channels, which no result is above
//
// Shapes    parts float32 [count, 3, WIDTH] · channels float32 [3, WIDTH] · bounds float32 [ceil(WIDTH / 256)]
// Launch    grid = ceil(WIDTH / 256), block = 256; no dynamic shared memory.
// Defines   WIDTH: channels of all heads
// Sums      in float32, the parts in order: the same bits on every run.
// Traffic   reads parts once: some megabytes.

#include <swan_device.cuh>

extern "C" __global__ void __launch_bounds__(256)
attention_int8_channels(const float *__restrict__ parts, float *__restrict__ channels, float *__restrict__ bounds,
                        unsigned count, unsigned keys) {
    const unsigned own = blockIdx.x * 256 + threadIdx.x;
    // Threads without a channel take the last one too.
    const unsigned channel = min(own, WIDTH - 1u);
    float sum = 0.f, least = INFINITY, most = -INFINITY;
    parts += channel;
#pragma unroll 16
    for (unsigned part = 0; part < count; part++, parts += 3 * WIDTH) {
        sum += parts[0];
        least = min_or_nan(least, parts[WIDTH]);
        most = max_or_nan(most, parts[2 * WIDTH]);
    }
    // Halves first: the sum of two large numbers may have no room.
    const float reach = 0.5f * most - 0.5f * least;
    // Magnitudes are ordered like their bits, and those of infinity and NaNs are above all others.
    const unsigned magnitude = max(__float_as_uint(least) & 0x7FFFFFFFu, __float_as_uint(most) & 0x7FFFFFFFu);
    const unsigned largest = block_max<256>(magnitude);
    if (threadIdx.x == 0) bounds[blockIdx.x] = __uint_as_float(largest);
    if (own >= WIDTH) return;
    channels[channel] = sum / (float)((keys + 7) / 8);
    channels[WIDTH + channel] = 0.5f * least + 0.5f * most;
    channels[2 * WIDTH + channel] = reach < 1e-30f ? 0.f : reach / 127.f;
}
