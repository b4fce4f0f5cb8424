// A head's 128 channels of two rows in four neighbouring threads: what the kernels that round queries and keys of eight-bit
// attention share.
//
//   y = round(H x / s),   s = largest |H x| / 127,   H: a 128 x 128 Hadamard matrix of 1 and -1
//
// x is rounded to bfloat16 before. Where rows are zero, or nearly, y and s are zero; a NaN makes s one. Channels of x and of
// y are numbered as they lie in the registers of the matrix units, the same for queries and keys: products of rows do not
// depend on it.
//
// Source    Ashkboos et al., "QuaRot", 2024: H spreads a large channel over all; q H (k H)^T = 128 q k^T.
// H         is that of 16 by the matrix units, then that of 8 by sums of registers: without an exchange of threads. With five
//           steps of sums and two of exchanges, as elsewhere, rounding 32,760 x 5120 took 0.16 to 0.18 ms.

#pragma once

#include <swan_device.cuh>

// Where a thread's first channel of a part of x begins: with each of four parts, four threads read 64 bytes that stand side by
// side.
__device__ __forceinline__ unsigned part_channel(int part) { return part * 32 + threadIdx.x % 4 * 8; }

// The first of a thread's two rows of a tile of 128, which a block of 256 threads has; the other is 8 behind it.
__device__ __forceinline__ unsigned tile_row(unsigned tile) {
    return tile * 128 + threadIdx.x / 32 * 16 + threadIdx.x % 32 / 4;
}

// A thread's 32 channels of a row, in pairs of bfloat16.
struct HeadRow {
    unsigned pairs[16];

    __device__ __forceinline__ void load_from(const bfloat16 *__restrict__ x) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint4 part = *(const uint4 *)(x + part_channel(i));
            pairs[4 * i] = part.x, pairs[4 * i + 1] = part.y, pairs[4 * i + 2] = part.z, pairs[4 * i + 3] = part.w;
        }
    }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (int i = 0; i < 16; i++) pairs[i] = 0;
    }

    __device__ __forceinline__ float sum_of_squares() const {
        float sum = 0.f;
#pragma unroll
        for (int i = 0; i < 16; i++) {
            float a, b;
            unpack_bfloat16(pairs[i], a, b);
            sum += a * a;
            sum += b * b;
        }
        return sum;
    }

    // Times a factor of the row and a weight for each channel, then turned by the row's angles, as in rms_norm_rope.cu, less
    // the channels' means.
    template <bool HasMeans>
    __device__ __forceinline__ void norm_and_turn(float factor, const float *weight, const float *__restrict__ cosines,
                                                  const float *__restrict__ sines, const float *means) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const unsigned channel = part_channel(i);
            float w[8], cosine[4], sine[4], mean[8];
            load(weight + channel, w);
            load(cosines + channel / 2, cosine);
            load(sines + channel / 2, sine);
            if constexpr (HasMeans) load(means + channel, mean);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float a, b;
                unpack_bfloat16(pairs[4 * i + j], a, b);
                a *= factor * w[2 * j];
                b *= factor * w[2 * j + 1];
                turn(a, b, cosine[j], sine[j]);
                if constexpr (HasMeans) a -= mean[2 * j], b -= mean[2 * j + 1];
                pairs[4 * i + j] = pack_bfloat16(a, b);
            }
        }
    }

    __device__ __forceinline__ void subtract(const float *means) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float mean[8];
            load(means + part_channel(i), mean);
#pragma unroll
            for (int j = 0; j < 4; j++) {
                float a, b;
                unpack_bfloat16(pairs[4 * i + j], a, b);
                pairs[4 * i + j] = pack_bfloat16(a - mean[2 * j], b - mean[2 * j + 1]);
            }
        }
    }
};

// A thread's two rows of a tile, from `first` on; zeros where there is no row.
__device__ __forceinline__ void load_tile(HeadRow (&head_rows)[2], const bfloat16 *__restrict__ x, unsigned first,
                                          unsigned rows, index_t pitch) {
#pragma unroll
    for (int n = 0; n < 2; n++) {
        const unsigned row = first + 8 * n;
        if (row < rows) {
            head_rows[n].load_from(x + row * pitch);
        } else {
            head_rows[n].clear();
        }
    }
}

// Rows of a thread times H. All threads of a warp take part, each with rows of its own.
template <int Rows>
__device__ __forceinline__ void rotate_rows(const HeadRow (&rows)[Rows], float (&values)[Rows][32]) {
    static_assert(Rows == 1 || Rows == 2, "a thread has two rows of a matrix");
    // Of the matrix of 16, which is [[B, B], [B, -B]], a thread has a column's elements 2 t and 2 t + 1 of each half.
    const unsigned column = threadIdx.x / 4 % 8, row = threadIdx.x % 4 * 2;
    const unsigned base = 0x3F803F80u ^ (unsigned)(__popc(column & row) & 1) << 15 ^
                          (unsigned)(__popc(column & (row + 1)) & 1) << 31;
#pragma unroll
    for (int step = 0; step < 8; step++) {
        unsigned factors[4] = {};
#pragma unroll
        for (int n = 0; n < Rows; n++) {
            factors[n] = rows[n].pairs[2 * step];
            factors[2 + n] = rows[n].pairs[2 * step + 1];
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float sums[4] = {0.f, 0.f, 0.f, 0.f};
            multiply_add(sums, factors, base, half == 0 ? base : base ^ 0x80008000u);
#pragma unroll
            for (int n = 0; n < Rows; n++) {
                values[n][step * 4 + half * 2] = sums[2 * n];
                values[n][step * 4 + half * 2 + 1] = sums[2 * n + 1];
            }
        }
    }
#pragma unroll
    for (int n = 0; n < Rows; n++) {
#pragma unroll
        for (int distance = 4; distance < 32; distance *= 2) {
#pragma unroll
            for (int i = 0; i < 32; i++) {
                if (i & distance) continue;
                const float a = values[n][i], b = values[n][i + distance];
                values[n][i] = a + b;
                values[n][i + distance] = a - b;
            }
        }
    }
}

// The largest magnitude of a head's row, the same in its four threads, as a whole number: in those a NaN is larger than all.
__device__ __forceinline__ unsigned largest_of(const float (&values)[32]) {
    unsigned largest = 0;
#pragma unroll
    for (int i = 0; i < 32; i++) largest = max(largest, __float_as_uint(values[i]) & 0x7FFFFFFFu);
#pragma unroll
    for (int mask = 1; mask < 4; mask *= 2) largest = max(largest, shuffle_xor(largest, mask));
    return largest;
}

// Rounds this thread's part of a row; returns s.
__device__ __forceinline__ float write_head(int8 *__restrict__ y, float (&values)[32], unsigned largest) {
    const float most = __uint_as_float(largest);
    const bool is_nothing = most < 1e-30f;
    const float inverse = is_nothing ? 0.f : 127.f / most;
#pragma unroll
    for (int i = 0; i < 32; i++) values[i] *= inverse;
#pragma unroll
    for (int i = 0; i < 2; i++) store(y + i * 64 + threadIdx.x % 4 * 16, *(float (*)[16])(values + 16 * i));
    return is_nothing ? 0.f : most / 127.f;
}
