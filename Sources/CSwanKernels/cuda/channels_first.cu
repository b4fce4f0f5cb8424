// channels_first: scale and shift frames by channel, and move the channels first; the way back.
//
//   y[c, p] = x[p, c] * scale[c] + shift[c],   p over frames, rows and columns; c < taken
//
// Shapes    x bfloat16 [positions, channels] · scale, shift float32 [taken] · y float32 [taken, positions]
// Launch    grid = (ceil(positions / 32), ceil(taken / 32)), block = (32, 8); static shared memory.
// Traffic   6 bytes per element, both sides coalesced through a tile of 32 x 32 with rows of 33 words.

#include <swan_device.cuh>

extern "C" __global__ void __launch_bounds__(256)
channels_first(const bfloat16 *__restrict__ x, const float *__restrict__ scale, const float *__restrict__ shift,
               float *__restrict__ y, unsigned channels, unsigned taken, index_t positions) {
    __shared__ float tile[32][33];
    const index_t first = (index_t)blockIdx.x * 32;
    const unsigned channel = blockIdx.y * 32;
    for (unsigned p = threadIdx.y; p < 32; p += 8) {
        if (channel + threadIdx.x < taken && first + p < positions)
            tile[p][threadIdx.x] = widen(x[(first + p) * channels + channel + threadIdx.x]);
    }
    barrier();
    for (unsigned c = threadIdx.y; c < 32; c += 8) {
        if (channel + c < taken && first + threadIdx.x < positions)
            y[(channel + c) * positions + first + threadIdx.x] =
                tile[threadIdx.x][c] * scale[channel + c] + shift[channel + c];
    }
}
