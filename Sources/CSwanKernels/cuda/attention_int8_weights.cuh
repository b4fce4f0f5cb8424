// Weights of attention in eight bits: what attention_int8_sm90.cu and attention_int8_sm80.cu do between their two products.
// Both give the same bits.
//
// Registers of a thread are those of 16x8 tiles of a product's sums: [n] is a tile of 8 columns, of which a thread has
// columns 2t, 2t + 1 of row g (0, 1) and of row g + 8 (2, 3), with g = lane / 4 and t = lane % 4.
//
// Weights of a row in a tile of keys are rounded to 1/255 of the largest among them, so small weights lose nothing because
// of a large one in another tile. The order of keys in v is that in which the first product's sums lie in the registers of
// a thread: packed, they are the second product's operand.
#pragma once

#include <swan_device.cuh>

#define WIDTH 128
#define QUERIES 128
#define KEYS 128

// One row: the exponent that its sums are multiples of 2 to the power of, the same in the four threads that share it, and
// its weights' sum in this thread.
struct Row {
    float exponent, weight;
};

// What earlier sums of a row have to be multiplied with, and those of the tile that was just weighed.
struct Factors {
    float earlier, tile;
};

// Of a tile whose keys beyond `existing` do not exist: takes their logits out of the search for the largest.
__device__ __forceinline__ void hide_logits(int (&logits)[KEYS / 8][4], unsigned existing, unsigned lane) {
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (n * 8 + lane % 4 * 2 + i % 2 >= existing) logits[n][i] = -(1 << 30);
        }
    }
}

// The same: however small the factor of the logits is, they have no weight.
__device__ __forceinline__ void hide_weights(unsigned (&weights)[2][KEYS / 8], unsigned existing, unsigned lane) {
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
        const unsigned column = n * 8 + lane % 4 * 2;
        const unsigned mask = column + 1 < existing ? 0xFFFFFFFFu : column < existing ? 0xFFFFu : 0u;
        weights[0][n] &= mask;
        weights[1][n] &= mask;
    }
}

// The largest of two rows' logits in a tile.
__device__ __forceinline__ void find_most(const int (&logits)[KEYS / 8][4], int (&most)[2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int even = logits[0][2 * half], odd = logits[0][2 * half + 1];
#pragma unroll
        for (int n = 1; n < KEYS / 8; n++) {
            even = max(even, logits[n][2 * half]);
            odd = max(odd, logits[n][2 * half + 1]);
        }
        most[half] = max(even, odd);
    }
#pragma unroll
    for (int mask = 1; mask < 4; mask *= 2) {
#pragma unroll
        for (int half = 0; half < 2; half++)
            most[half] = max(most[half], (int)shuffle_xor((unsigned)most[half], mask));
    }
}

// Makes the weights of two rows' logits in a tile, which are whole numbers of `factor`: as float16, 1024 + weight, whose
// lower byte is the weight.
__device__ __forceinline__ void weigh(const int (&logits)[KEYS / 8][4], const int (&most)[2],
                                      unsigned (&weights)[2][KEYS / 8], Row (&rows)[2], Factors (&factors)[2],
                                      float first_factor, float second_factor) {
    float scale[2], origin[2];
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const float factor = half == 0 ? first_factor : second_factor, top = (float)most[half] * factor;
        // The largest weight must not become more than 1 by the rounding of its logit. Beyond these, far more than eight
        // bits can tell apart, a power of two stands for the factor, with which no product has an error.
        scale[half] = fabsf(top) > 32768.f ? __uint_as_float(__float_as_uint(factor) & 0x7F800000u) : factor;
        origin[half] = (float)most[half] * scale[half];
        // Sums of 2^64 are far from float32's end, so that few tiles have to change the exponent.
        const float exponent = top > rows[half].exponent + 64.f ? top : rows[half].exponent;
        factors[half].earlier = exp2_fast(rows[half].exponent - exponent);
        rows[half].exponent = exponent;
        factors[half].tile = exp2_fast(top - rows[half].exponent);
    }
#pragma unroll
    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float even = exp2_fast((float)logits[n][2 * half] * scale[half] - origin[half]);
            const float odd = exp2_fast((float)logits[n][2 * half + 1] * scale[half] - origin[half]);
            // 255 p + 1024
            weights[half][n] = multiply_add_float16_pairs(pack_float16(even, odd), 0x5BF85BF8u, 0x64006400u);
        }
    }
}

// The weights' bytes: those of columns 2 t, 2 t + 1 of two neighbouring tiles of 8 columns.
__device__ __forceinline__ unsigned bytes(unsigned first, unsigned second) {
    return select_bytes(first, second, 0x6420u);
}

// Packs two rows' weights for the second product and adds them up.
__device__ __forceinline__ void pack(unsigned (&p)[KEYS / 32][4], const unsigned (&weights)[2][KEYS / 8],
                                     Row (&rows)[2], const Factors (&factors)[2]) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        unsigned sum = 0;
#pragma unroll
        for (int n = 0; n < KEYS / 32; n++) {
            p[n][half] = bytes(weights[half][4 * n], weights[half][4 * n + 1]);
            p[n][2 + half] = bytes(weights[half][4 * n + 2], weights[half][4 * n + 3]);
            sum = add_bytes(p[n][half], add_bytes(p[n][2 + half], sum));
        }
        rows[half].weight = rows[half].weight * factors[half].earlier + (float)sum * factors[half].tile;
    }
}

// Adds the sums of 8 channels over a tile of keys.
__device__ __forceinline__ void add(float (&totals)[4], const int (&sums)[4], const Factors (&factors)[2]) {
    totals[0] += (float)sums[0] * factors[0].tile;
    totals[1] += (float)sums[1] * factors[0].tile;
    totals[2] += (float)sums[2] * factors[1].tile;
    totals[3] += (float)sums[3] * factors[1].tile;
}

// Moves the sums of all tiles before the last one weighed to its exponent.
__device__ __forceinline__ void move(float (&totals)[WIDTH / 8][4], const Factors (&factors)[2]) {
    if (any_lane(factors[0].earlier != 1.f || factors[1].earlier != 1.f)) {
#pragma unroll
        for (int n = 0; n < WIDTH / 8; n++) {
            totals[n][0] *= factors[0].earlier;
            totals[n][1] *= factors[0].earlier;
            totals[n][2] *= factors[1].earlier;
            totals[n][3] *= factors[1].earlier;
        }
    }
}

// What stands in the place of a result: itself, or, of eight bits, what times the scale it is.
__device__ __forceinline__ void write_pair(bfloat16 *target, float low, float high, float) {
    *(unsigned *)target = pack_bfloat16(low, high);
}
__device__ __forceinline__ void write_pair(float8 *target, float low, float high, float factor) {
    *(unsigned short *)target = (unsigned short)pack_float8_pair(low * factor, high * factor);
}

// Writes the two rows of a thread. Results of eight bits have one scale for all: sums of values whose weights add up to 1
// are none above the largest value, and float8 holds numbers 2^-14 times as large as well as it does that one. So no row has
// to wait for its other heads.
template <class Result>
__device__ __forceinline__ void finish(const float (&totals)[WIDTH / 8][4], const Row (&rows)[2],
                                       const float *__restrict__ channels, Result *__restrict__ o,
                                       const float *__restrict__ bounds, float *__restrict__ scales, unsigned first_row,
                                       unsigned queries, unsigned head, unsigned heads, unsigned lane) {
    const float *const middle = channels + (heads + head) * WIDTH, *const step = middle + heads * WIDTH;
    float factor = 1.f, scale = 1.f;
    if constexpr (sizeof(Result) == 1) {
        unsigned magnitude = 0;
        for (unsigned i = lane; i < (heads * WIDTH + 255) / 256; i += 32)
            magnitude = max(magnitude, __float_as_uint(bounds[i]));
#pragma unroll
        for (int mask = 16; mask > 0; mask /= 2) magnitude = max(magnitude, shuffle_xor(magnitude, mask));
        float largest = fmaxf(__uint_as_float(magnitude), 0x1p-100f);
        if (magnitude >= 0x7F800000u) largest = __uint_as_float(0x7FC00000u);
        factor = 448.f / largest;
        scale = largest / 448.f;
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const unsigned row = first_row + half * 8;
        const float inverse = 1.f / lane_sum<4>(rows[half].weight);
        if (row < queries) {
            if constexpr (sizeof(Result) == 1) {
                if (head == 0 && lane % 4 == 0) scales[row] = scale;
            }
            Result *const target = o + ((index_t)row * heads + head) * WIDTH + lane % 4 * 2;
#pragma unroll
            for (int n = 0; n < WIDTH / 8; n++) {
                const unsigned channel = n * 8 + lane % 4 * 2;
                write_pair(target + n * 8, totals[n][2 * half] * inverse * step[channel] + middle[channel],
                           totals[n][2 * half + 1] * inverse * step[channel + 1] + middle[channel + 1], factor);
            }
        }
    }
}
