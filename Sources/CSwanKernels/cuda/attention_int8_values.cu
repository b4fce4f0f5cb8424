// attention_int8_values: values of eight-bit attention: rounded, transposed, keys in the order of the kernel's registers.
//
//   y[c, h, key'] = round((v[key, h, c] - middle[h, c]) / step[h, c])
//   key' of each 16 keys: 0 1 8 9 2 3 10 11 4 5 12 13 6 7 14 15 are where 0 to 15 of y come from
//
// Shapes    v bfloat16 [keys, heads, 128] · channels float32 [3, heads, 128]: middle is the second, step the third ·
//           y int8 [128, heads, pitch], zero beyond the last key
// Launch    grid = (pitch / 128, heads), block = 256; no dynamic shared memory. Pointers are multiples of 16 bytes.
// Sums      none: the same bits on every run.
// Traffic   3 bytes per element. 32,760 x 5120: 0.5 GB, 0.12 ms at 4.2 TB/s.

#include <swan_device.cuh>

#define KEYS 128

// Where the four keys from 4 `four` on of a channel lie in shared memory, in words. The groups of four words of a channel
// change places by its eighth, or all sixteen threads that store at a time would meet in one bank: 0.19 -> 0.175 ms.
__device__ __forceinline__ unsigned place_of(unsigned channel, unsigned four) {
    return channel * (KEYS / 4) + (four / 4 ^ channel / 8 % 8) * 4 + four % 4;
}

extern "C" __global__ void __launch_bounds__(256, 3)
attention_int8_values(const bfloat16 *__restrict__ v, const float *__restrict__ channels, int8 *__restrict__ y,
                      unsigned keys, unsigned heads, unsigned pitch) {
    __shared__ __align__(16) unsigned tile[128 * KEYS / 4];
    const unsigned head = blockIdx.y, first_key = blockIdx.x * KEYS;
    // Eight channels of four keys, which are neighbours in y.
    const unsigned part = threadIdx.x % 16, channel = head * 128 + part * 8;
    float middle[8], inverse[8];
    load(channels + heads * 128 + channel, middle);
    load(channels + 2 * heads * 128 + channel, inverse);
#pragma unroll
    for (int i = 0; i < 8; i++) inverse[i] = inverse[i] == 0.f ? 0.f : 1.f / inverse[i];
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const unsigned four = n * 16 + threadIdx.x / 16, key = four / 4 * 16 + four % 4 * 2;
        float values[4][8];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const unsigned row = first_key + key + i / 2 * 8 + i % 2;
            if (row < keys) {
                load(v + (index_t)row * heads * 128 + channel, values[i]);
#pragma unroll
                for (int j = 0; j < 8; j++) values[i][j] = (values[i][j] - middle[j]) * inverse[j];
            } else {
#pragma unroll
                for (int j = 0; j < 8; j++) values[i][j] = 0.f;
            }
        }
#pragma unroll
        for (int j = 0; j < 8; j++)
            tile[place_of(part * 8 + j, four)] =
                pack_four((const int8 *)0, values[0][j], values[1][j], values[2][j], values[3][j]);
    }
    barrier();
#pragma unroll
    for (int n = 0; n < 4; n++) {
        const unsigned row = n * 32 + threadIdx.x / 8, place = threadIdx.x % 8;
        *(uint4 *)(y + ((index_t)row * heads + head) * pitch + first_key + place * 16) =
            *(const uint4 *)(tile + place_of(row, place * 4));
    }
}
