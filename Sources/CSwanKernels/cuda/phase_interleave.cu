// phase_interleave: put the four phases of a doubled frame together.
//
//   y[t, 2r + i, 2s + j, c] = x[2i + j, t, r, s, c],   i, j = 0, 1
//
// Shapes    x bfloat16 [4, frames, height, width, CHANNELS] · y bfloat16 [frames, 2 height, 2 width, CHANNELS]
// Launch    grid = ceil(elements / (VECTOR * block)), any block; no shared memory.
// Defines   CHANNELS · VECTOR: 8 where CHANNELS is a multiple of it, else 1.
// Traffic   4 bytes per element.
//
// Nearest doubling and a 3x3 convolution equal four 2x2 convolutions on the small frame, one for each
// phase, at 4/9 of the arithmetic; their results lie behind one another until this puts them in place.

#include <swan_device.cuh>

extern "C" __global__ void phase_interleave(const bfloat16 *__restrict__ x, bfloat16 *__restrict__ y, unsigned frames,
                                            unsigned height, unsigned width) {
    const index_t i = first_of_vector<VECTOR>();
    const index_t rows = 2 * (index_t)height, columns = 2 * (index_t)width;
    if (i >= frames * rows * columns * CHANNELS) return;
    const index_t channel = i % CHANNELS, column = i / CHANNELS % columns;
    const index_t row = i / (CHANNELS * columns) % rows, frame = i / (CHANNELS * columns * rows);
    const index_t phase = row % 2 * 2 + column % 2;
    float values[VECTOR];
    load(x + (((phase * frames + frame) * height + row / 2) * width + column / 2) * CHANNELS + channel, values);
    store(y + i, values);
}
