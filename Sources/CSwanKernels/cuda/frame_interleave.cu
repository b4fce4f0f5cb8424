// frame_interleave: double the frames; the first half of a frame's channels comes before the second.
//
//   y[2t + h, p, c] = x[t, p, h * CHANNELS + c],   h = 0, 1
//
// Shapes    x bfloat16 [frames, positions, 2 CHANNELS] · y bfloat16 [2 frames, positions, CHANNELS]
// Launch    grid = ceil(elements / (VECTOR * block)), any block; no shared memory.
// Defines   CHANNELS · VECTOR: 8 where CHANNELS is a multiple of it, else 1.
// Traffic   4 bytes per element.
// Source    Wan2.2 wan/modules/vae2_1.py, Resample.forward, upsample3d.

#include <swan_device.cuh>

extern "C" __global__ void frame_interleave(const bfloat16 *__restrict__ x, bfloat16 *__restrict__ y, index_t frames,
                                            index_t positions) {
    const index_t i = first_of_vector<VECTOR>();
    if (i >= 2 * frames * positions * CHANNELS) return;
    const index_t channel = i % CHANNELS, position = i / CHANNELS % positions;
    const index_t frame = i / (CHANNELS * positions);
    float values[VECTOR];
    load(x + ((frame / 2 * positions + position) * 2 + frame % 2) * CHANNELS + channel, values);
    store(y + i, values);
}
