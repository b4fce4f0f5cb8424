// A row of WIDTH values in the registers of a block of THREADS, and its statistics: what the kernels
// that normalise rows share. Defines as in layer_norm.cu.

#pragma once

#include <swan_device.cuh>

// Neighbouring columns that are turned together in rows of eight-bit numbers: a power of two that divides WIDTH, at most
// 32 VECTOR; 1 where rows stay as they are.
#ifndef ROTATION
#define ROTATION 1
#endif

// The blocks of a multiprocessor that have so many threads together, for __launch_bounds__: no architecture holds fewer than
// 16 blocks.
#define BLOCKS_WITH(threads) ((threads) < THREADS ? 1 : (threads) / (THREADS < 64 ? 64 : THREADS))

// 1 / sqrt(n) of a power of two.
__device__ constexpr float inverse_root(int n) {
    return n == 1 ? 1.f : n == 2 ? 0.70710678118654752f : inverse_root(n / 4) / 2.f;
}

// The Rudin-Shapiro sequence, as a float's sign: negative where pairs of ones that stand side by side in a place's binary
// digits are odd in number.
__device__ __forceinline__ unsigned sign_bit(unsigned place) { return (unsigned)__popc(place & place >> 1) << 31; }

template <class Element>
struct Row {
    static constexpr int VECTORS = (WIDTH + THREADS * VECTOR - 1) / (THREADS * VECTOR);
    static_assert(WIDTH % VECTOR == 0, "a row is made of whole vectors");
    static_assert(VECTORS * VECTOR <= 32, "a row fits the registers");

    float at[VECTORS][VECTOR];

    // The column of this thread's vector i; beyond the row for the last ones.
    static __device__ __forceinline__ int column(int i) { return (i * THREADS + (int)threadIdx.x) * VECTOR; }

    __device__ __forceinline__ explicit Row(const Element *row) {
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            if (column(i) < WIDTH) load(row + column(i), at[i]);
        }
    }

    // Adds a row y, and stores the sums in x.
    __device__ __forceinline__ void add(const bfloat16 *y, Element *x) {
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            if (column(i) < WIDTH) {
                float b[VECTOR];
                load(y + column(i), b);
#pragma unroll
                for (int j = 0; j < VECTOR; j++) at[i][j] += b[j];
                store(x + column(i), at[i]);
            }
        }
    }

    // Adds a row y times a gate for each column, and stores the sums in x.
    __device__ __forceinline__ void add(const bfloat16 *y, const float *gate, Element *x) {
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            if (column(i) < WIDTH) {
                float b[VECTOR], g[VECTOR];
                load(y + column(i), b);
                load(gate + column(i), g);
#pragma unroll
                for (int j = 0; j < VECTOR; j++) at[i][j] += b[j] * g[j];
                store(x + column(i), at[i]);
            }
        }
    }

    // Each value through a function, before it is rounded to few bits.
    template <int Function>
    __device__ __forceinline__ void apply() {
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            if (column(i) < WIDTH) {
#pragma unroll
                for (int j = 0; j < VECTOR; j++) at[i][j] = activated_fast<Function>(at[i][j]);
            }
        }
    }

    // Each block of ROTATION columns times H D: D has the signs of the Rudin-Shapiro sequence on its diagonal, H is the
    // Hadamard matrix of 1 and -1. H spreads a large value over its block; D keeps what the columns have in common from
    // coming together in one.
    __device__ __forceinline__ void rotate_blocks() {
        static_assert(WIDTH % ROTATION == 0 && THREADS % 32 == 0, "a row is made of whole blocks");
        // A place in a block is one of a thread and one in its vector, whose signs are multiplied; where the last digit of
        // the former and the first of the latter are a pair, the product has another one. Signs that are known while
        // the row is loaded would spill.
        const unsigned first = reread_thread() * VECTOR % ROTATION;
        const unsigned sign = sign_bit(first), upper_sign = sign ^ (first & VECTOR ? 0x80000000u : 0u);
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
#pragma unroll
            for (int j = 0; j < VECTOR; j++) {
                const unsigned own = (j & VECTOR / 2 ? upper_sign : sign) ^ sign_bit(j % ROTATION);
                at[i][j] = __uint_as_float(__float_as_uint(at[i][j]) ^ own);
            }
            // Lanes beyond the row are whole blocks of their own.
            rotate<ROTATION>(at[i]);
        }
    }

    // Stores the row: rounded, or, in types with eight bits, by a scale that makes the row's largest magnitude a (at
    // least 2^-100) their largest number L: round(value * (L / a)), and scale = a / L. With a ROTATION the values are those
    // of H D, and scale = a / L / sqrt(ROTATION). A row with a NaN or an infinity has a scale that is none.
    template <class Output>
    __device__ __forceinline__ void write(Output *y, float *scale) {
        constexpr float LARGEST = largest_number<Output>::value;
        if constexpr (LARGEST > 0.f) {
            if constexpr (ROTATION > 1) rotate_blocks();
            // Magnitudes are ordered like their bits, and those of infinity and NaNs are above all others.
            unsigned magnitude = 0;
#pragma unroll
            for (int i = 0; i < VECTORS; i++) {
                if (column(i) < WIDTH) {
#pragma unroll
                    for (int j = 0; j < VECTOR; j++)
                        magnitude = max(magnitude, __float_as_uint(at[i][j]) & 0x7FFFFFFFu);
                }
            }
            magnitude = block_max<THREADS>(magnitude);
            float largest = fmaxf(__uint_as_float(magnitude), 0x1p-100f);
            if (magnitude >= 0x7F800000u) largest = __uint_as_float(0x7FC00000u);
            const float factor = LARGEST / largest;
            constexpr float UNIT = inverse_root(ROTATION);
            if (threadIdx.x == 0) *scale = largest / LARGEST * UNIT;
#pragma unroll
            for (int i = 0; i < VECTORS; i++) {
                if (column(i) < WIDTH) {
                    float values[VECTOR];
#pragma unroll
                    for (int j = 0; j < VECTOR; j++) values[j] = at[i][j] * factor;
                    store(y + column(i), values);
                }
            }
        } else {
#pragma unroll
            for (int i = 0; i < VECTORS; i++) {
                if (column(i) < WIDTH) store(y + column(i), at[i]);
            }
        }
    }

    // (x - mean) / sqrt(variance + eps)
    __device__ __forceinline__ void standardize(float eps) {
        float sum[1] = {0.f};
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            if (column(i) < WIDTH) {
#pragma unroll
                for (int j = 0; j < VECTOR; j++) sum[0] += at[i][j];
            }
        }
        block_sum<THREADS>(sum);
        const float mean = sum[0] / WIDTH;
        float rest[2] = {0.f, 0.f};  // of the differences and of their squares
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            if (column(i) < WIDTH) {
#pragma unroll
                for (int j = 0; j < VECTOR; j++) {
                    at[i][j] -= mean;
                    rest[0] += at[i][j];
                    rest[1] += at[i][j] * at[i][j];
                }
            }
        }
        // Divided before they are added: a sum of squares overflows long before their mean does.
        rest[0] /= WIDTH;
        rest[1] /= WIDTH;
        block_sum<THREADS>(rest);
        const float correction = rest[0];
        const float variance = fmaxf(rest[1] - correction * correction, 0.f);
        // fmaxf takes the number of two: a NaN must stay one, so it comes back through the sum.
        const float factor = 1.f / sqrtf(variance + eps) + (rest[1] - rest[1]);
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
#pragma unroll
            for (int j = 0; j < VECTOR; j++) at[i][j] = (at[i][j] - correction) * factor;
        }
    }

    // x / sqrt(mean(x^2) + eps)
    __device__ __forceinline__ void divide_by_root_mean_square(float eps) {
        float sum[1] = {0.f};
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            if (column(i) < WIDTH) {
#pragma unroll
                for (int j = 0; j < VECTOR; j++) sum[0] += at[i][j] * at[i][j];
            }
        }
        sum[0] /= WIDTH;
        block_sum<THREADS>(sum);
        const float factor = 1.f / sqrtf(sum[0] + eps);
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
#pragma unroll
            for (int j = 0; j < VECTOR; j++) at[i][j] *= factor;
        }
    }
};
