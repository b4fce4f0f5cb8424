// unpatchify: put tokens together to a latent.
//
//   y[c, i * PF + f, j * PH + r, k * PW + s] = x[(i * h + j) * w + k, ((f * PH + r) * PW + s) * channels + c]
//   with the grid h = height / PH, w = width / PW; the channel is the fastest feature, unlike in patchify
//
// Shapes    x INPUT [tokens, PF * PH * PW * channels] · y float32 [channels, frames, height, width]
// Launch    grid = ceil(count / block), any block; a thread for each element of y; no shared memory.
// Defines   INPUT: bfloat16 or float · PF, PH, PW: the patch's frames, rows, columns.
// Traffic   6 or 8 bytes per element, some megabytes for a whole clip: not worth vectors.
// Source    Wan2.2 wan/modules/model.py, WanModel.unpatchify.

#include <swan_device.cuh>

extern "C" __global__ void unpatchify(const INPUT *__restrict__ x, float *__restrict__ y, unsigned channels,
                                      unsigned frames, unsigned height, unsigned width) {
    const index_t i = first_of_vector<1>();
    const index_t positions = (index_t)height * width;
    if (i >= channels * frames * positions) return;
    const index_t channel = i / (frames * positions), frame = i / positions % frames;
    const index_t row = i / width % height, column = i % width;
    const index_t token = (frame / PF * (height / PH) + row / PH) * (width / PW) + column / PW;
    const index_t place = (frame % PF * PH + row % PH) * PW + column % PW;
    y[i] = widen(x[(token * (PF * PH * PW) + place) * channels + channel]);
}
