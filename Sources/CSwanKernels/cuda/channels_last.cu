// channels_last: scale and shift a latent by channel, and move its channels last.
//
//   y[p, c] = x[c, p] * scale[c] + shift[c],   p over frames, rows and columns
//
// Shapes    x float32 [channels, positions] · scale, shift float32 [channels] · y bfloat16 [positions,
//           channels]
// Launch    grid = (ceil(positions / 32), ceil(channels / 32)), block = (32, 8); static shared memory.
// Traffic   6 bytes per element, both sides coalesced through a tile of 32 x 32; its rows are one word
//           longer, so that neither direction meets a bank twice.

#include <swan_device.cuh>

extern "C" __global__ void __launch_bounds__(256)
channels_last(const float *__restrict__ x, const float *__restrict__ scale, const float *__restrict__ shift,
              bfloat16 *__restrict__ y, unsigned channels, index_t positions) {
    __shared__ float tile[32][33];
    const index_t first = (index_t)blockIdx.x * 32;
    const unsigned channel = blockIdx.y * 32;
    for (unsigned c = threadIdx.y; c < 32; c += 8) {
        if (channel + c < channels && first + threadIdx.x < positions)
            tile[c][threadIdx.x] =
                x[(channel + c) * positions + first + threadIdx.x] * scale[channel + c] + shift[channel + c];
    }
    barrier();
    for (unsigned p = threadIdx.y; p < 32; p += 8) {
        if (channel + threadIdx.x < channels && first + p < positions)
            narrow(tile[threadIdx.x][p], y[(first + p) * channels + channel + threadIdx.x]);
    }
}
