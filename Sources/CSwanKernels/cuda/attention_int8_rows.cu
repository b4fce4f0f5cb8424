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

#define MEANS 36  // floats of shared memory for a thread's 32 means

// A row's part of this thread, less the means of its channels, rotated; zeros where there is no row.
__device__ __forceinline__ void load_row(float (&values)[32], const bfloat16 *__restrict__ x, bool exists,
                                         const float *means) {
    if (exists) {
        load(x, values);
        if constexpr (TILES) {
#pragma unroll
            for (int i = 0; i < 32; i += 4) {
                float mean[4];
                load(means + i, mean);
#pragma unroll
                for (int j = 0; j < 4; j++) values[i + j] -= mean[j];
            }
        }
    } else {
#pragma unroll
        for (int i = 0; i < 32; i++) values[i] = 0.f;
    }
    rotate<128>(values);  // 32 neighbouring channels of this thread, and those of three others
}

// The largest of a row, the same in its four threads, as a whole number: in those a NaN is larger than all.
__device__ __forceinline__ unsigned largest_of(const float (&values)[32]) {
    unsigned largest = 0;
#pragma unroll
    for (int i = 0; i < 32; i++) largest = max(largest, __float_as_uint(values[i]) & 0x7FFFFFFFu);
#pragma unroll
    for (int mask = 1; mask < 4; mask *= 2) largest = max(largest, shuffle_xor(largest, mask));
    return largest;
}

// Rounds a row's part of this thread; returns s.
__device__ __forceinline__ float write_row(int8 *__restrict__ y, float (&values)[32], unsigned largest) {
    const float most = __uint_as_float(largest);
    const bool is_nothing = most < 1e-30f;
    const float inverse = is_nothing ? 0.f : 127.f / most;
#pragma unroll
    for (int i = 0; i < 32; i++) values[i] *= inverse;
    store(y, values);
    return is_nothing ? 0.f : most / 127.f;
}

extern "C" __global__ void __launch_bounds__(256)
attention_int8_rows(const bfloat16 *__restrict__ x, const float *__restrict__ means, int8 *__restrict__ y,
                    float *__restrict__ scales, unsigned rows, unsigned heads, float factor) {
    const unsigned lane = threadIdx.x % 4, head = blockIdx.y, first = blockIdx.x * 128 + threadIdx.x / 4;
    const index_t pitch = (index_t)heads * 128, place = first * pitch + head * 128 + lane * 32;
    if constexpr (TILES) {
        // In shared memory they take no registers, of which there would be too many; 4 more keep the threads' in different
        // banks.
        __shared__ __align__(16) float shared_means[4 * MEANS];
        if (threadIdx.x < 128) shared_means[threadIdx.x / 32 * MEANS + threadIdx.x % 32] = means[head * 128 + threadIdx.x];
        barrier();
        float values[2][32];
        unsigned largest = 0;
#pragma unroll
        for (int n = 0; n < 2; n++) {
            load_row(values[n], x + place + n * 64 * pitch, first + n * 64 < rows, shared_means + lane * MEANS);
            largest = max(largest, largest_of(values[n]));
        }
        largest = block_max<256>(largest);
        float scale = 0.f;
#pragma unroll
        for (int n = 0; n < 2; n++) {
            if (first + n * 64 < rows) scale = write_row(y + place + n * 64 * pitch, values[n], largest);
        }
        // The first row of a tile exists.
        if (threadIdx.x == 0) scales[head * gridDim.x + blockIdx.x] = scale * factor;
    } else {
#pragma unroll 1
        for (int n = 0; n < 2; n++) {
            const unsigned row = first + n * 64;
            float values[32];
            load_row(values, x + place + n * 64 * pitch, row < rows, nullptr);
            const unsigned largest = largest_of(values);
            if (row >= rows) continue;
            const float scale = write_row(y + place + n * 64 * pitch, values, largest);
            if (lane == 0) scales[(index_t)head * rows + row] = scale * factor;
        }
    }
}
