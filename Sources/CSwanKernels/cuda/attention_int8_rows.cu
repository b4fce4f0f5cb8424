// attention_int8_rows: queries or keys of eight-bit attention: rotated and rounded, with a scale for each row, or for each
// tile of 128 rows of a head.
//
//   y = round(H (x - mean) / s),   s = largest |H (x - mean)| / 127,   H: the 128 x 128 Hadamard matrix of 1 and -1,
//   scales = s * factor
//
// Shapes    x bfloat16 [rows, heads, 128] · means float32 [heads, 128]: of keys · y int8 [rows, heads, 128] ·
//           scales float32 [heads, rows], or with TILES [heads, ceil(rows / 128)]
// Launch    grid = (ceil(rows / 128), heads), block = 256: 4 threads for a row, 64 rows at a time; no dynamic shared memory.
//           Pointers are multiples of 16 bytes.
// Defines   TILES: 1 for keys: less their mean, with a scale for each tile; 0 for queries
// Sums      the rotation in float32, in an order of its own: the same bits on every run. Where rows are zero, or nearly, y
//           and s are zero; a NaN makes s one.
// Traffic   3 bytes per element. 32,760 x 5120: 0.5 GB, 0.12 ms at 4.2 TB/s.
// Threads   Fewer of more channels exchange less: 8 threads of 16 channels take 0.24 ms for 32,760 x 5120, these 0.17.
// Source    Ashkboos et al., "QuaRot", 2024: H spreads a large channel over all; q H (k H)^T = 128 q k^T.

#include <swan_device.cuh>

// Thirty-two neighbouring channels of this thread, and those of the three others of the row.
__device__ __forceinline__ void rotate(float (&x)[32]) {
#pragma unroll
    for (int distance = 1; distance < 32; distance *= 2) {
#pragma unroll
        for (int i = 0; i < 32; i++) {
            if (i & distance) continue;
            const float a = x[i], b = x[i + distance];
            x[i] = a + b;
            x[i + distance] = a - b;
        }
    }
#pragma unroll
    for (int distance = 1; distance < 4; distance *= 2) {
        const float sign = threadIdx.x & distance ? -1.f : 1.f;
#pragma unroll
        for (int i = 0; i < 32; i++) x[i] = shuffle_xor(x[i], distance) + sign * x[i];
    }
}

extern "C" __global__ void __launch_bounds__(256)
attention_int8_rows(const bfloat16 *__restrict__ x, const float *__restrict__ means, int8 *__restrict__ y,
                    float *__restrict__ scales, unsigned rows, unsigned heads, float factor) {
    const unsigned lane = threadIdx.x % 4, head = blockIdx.y, channel = head * 128 + lane * 32;
    float values[2][32], mean[32];
    if constexpr (TILES) load(means + channel, mean);
    unsigned largest[2];
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const unsigned row = blockIdx.x * 128 + n * 64 + threadIdx.x / 4;
        if (row < rows) {
            load(x + (index_t)row * heads * 128 + channel, values[n]);
            if constexpr (TILES) {
#pragma unroll
                for (int i = 0; i < 32; i++) values[n][i] -= mean[i];
            }
        } else {
#pragma unroll
            for (int i = 0; i < 32; i++) values[n][i] = 0.f;
        }
        rotate(values[n]);
        // As whole numbers, in which a NaN is larger than all.
        largest[n] = 0;
#pragma unroll
        for (int i = 0; i < 32; i++) largest[n] = max(largest[n], __float_as_uint(values[n][i]) & 0x7FFFFFFFu);
#pragma unroll
        for (int mask = 1; mask < 4; mask *= 2) largest[n] = max(largest[n], shuffle_xor(largest[n], mask));
    }
    if constexpr (TILES) {
        const unsigned tile = block_max<256>(max(largest[0], largest[1]));
#pragma unroll
        for (int n = 0; n < 2; n++) largest[n] = tile;
    }
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const unsigned row = blockIdx.x * 128 + n * 64 + threadIdx.x / 4;
        if (row >= rows) continue;
        const float most = __uint_as_float(largest[n]);
        const bool is_nothing = most < 1e-30f;
        const float inverse = is_nothing ? 0.f : 127.f / most;
#pragma unroll
        for (int i = 0; i < 32; i++) values[n][i] *= inverse;
        store(y + (index_t)row * heads * 128 + channel, values[n]);
        if (lane == 0) {
            const float scale = is_nothing ? 0.f : most / 127.f * factor;
            if constexpr (!TILES) scales[(index_t)head * rows + row] = scale;
            if constexpr (TILES) {
                if (n == 0 && threadIdx.x == 0) scales[head * gridDim.x + blockIdx.x] = scale;
            }
        }
    }
}
