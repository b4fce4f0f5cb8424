// patchify: cut a latent into tokens.
//
//   y[(i * h + j) * w + k, ((c * PF + f) * PH + r) * PW + s] = x[c, i * PF + f, j * PH + r, k * PW + s]
//   with the grid h = height / PH, w = width / PW
//
// Shapes    x float32 [channels, frames, height, width] · y bfloat16 [tokens, channels * PF * PH * PW]
// Launch    grid = ceil(count / block), any block; a thread for each element of y; no shared memory.
// Defines   PF, PH, PW: the patch's frames, rows, columns.
// Traffic   6 bytes per element, some megabytes for a whole clip: not worth vectors.
// Source    Wan2.2 wan/modules/model.py, WanModel.patch_embedding, a convolution whose kernel is its stride.

#include <swan_device.cuh>

extern "C" __global__ void patchify(const float *__restrict__ x, bfloat16 *__restrict__ y, unsigned channels,
                                    unsigned frames, unsigned height, unsigned width) {
    const index_t i = first_of_vector<1>();
    const index_t volume = PF * PH * PW, features = channels * volume;
    const index_t rows = height / PH, columns = width / PW;
    if (i >= (frames / PF) * rows * columns * features) return;
    const index_t token = i / features, feature = i % features;
    const index_t channel = feature / volume, place = feature % volume;
    const index_t frame = token / (rows * columns) * PF + place / (PH * PW);
    const index_t row = token / columns % rows * PH + place / PW % PH;
    const index_t column = token % columns * PW + place % PW;
    narrow(x[((channel * frames + frame) * height + row) * width + column], y[i]);
}
