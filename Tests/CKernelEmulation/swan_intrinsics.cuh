// The functions of Sources/CSwanKernels/cuda/swan_intrinsics.cuh in plain C++; see there for what they do.
#pragma once

#include "device.h"

struct bfloat16 {
    unsigned short bits;
};
struct float16 {
    unsigned short bits;
};
struct float8 {
    unsigned char bits;
};
struct int8 {
    signed char bits;
};
typedef unsigned long long index_t;

#define SHARED_MEMORY(name) unsigned char *const name = emulation::memory

inline unsigned bfloat16_bits(float value) {
    const unsigned bits = __float_as_uint(value);
    return std::isnan(value) ? 0x7FFF : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}
inline unsigned pack_bfloat16(float low, float high) { return bfloat16_bits(low) | bfloat16_bits(high) << 16; }

inline float min_or_nan(float a, float b) { return std::isnan(a) || std::isnan(b) ? NAN : std::fmin(a, b); }
inline float max_or_nan(float a, float b) { return std::isnan(a) || std::isnan(b) ? NAN : std::fmax(a, b); }

inline float widen(float16 value) {
    _Float16 half;
    std::memcpy(&half, &value, 2);
    return (float)half;
}
inline void narrow(float value, float16 &result) {
    const _Float16 half = (_Float16)value;
    std::memcpy(&result, &half, 2);
}

// The definition, with none of the real file's arithmetic: the nearest of all numbers, the even one of two.
inline float float8_value(unsigned byte) {
    const int exponent = (int)(byte >> 3 & 15);
    const float fraction = (float)(byte & 7) / 8;
    const float magnitude = (byte & 0x7F) == 0x7F ? NAN
                            : exponent == 0       ? std::ldexp(fraction, -6)
                                                  : std::ldexp(1 + fraction, exponent - 7);
    return byte & 0x80 ? -magnitude : magnitude;
}
inline unsigned nearest_float8(float value) {
    if (std::isnan(value)) return 0x7F;
    unsigned best = 0;
    for (unsigned byte = 0; byte < 0x7F; byte++) {
        const double distance = std::fabs((double)float8_value(byte) - std::fabs((double)value));
        const double least = std::fabs((double)float8_value(best) - std::fabs((double)value));
        if (distance < least || (distance == least && byte % 2 == 0)) best = byte;
    }
    return best | (std::signbit(value) ? 0x80 : 0);
}
inline unsigned pack_float8_pair(float low, float high) { return nearest_float8(low) | nearest_float8(high) << 8; }
// Nothing is fused here: volatile keeps the compiler from it.
inline float add_unfused(float a, float b) {
    volatile float rounded = a;
    return rounded + b;
}
inline int nearest_int8(float value) {
    return std::isnan(value) ? 0 : (int)std::fmin(std::fmax(std::nearbyint(value), -127.f), 127.f);
}

inline unsigned pack_float16(float low, float high) {
    float16 halves[2];
    narrow(low, halves[0]);
    narrow(high, halves[1]);
    return halves[0].bits | (unsigned)halves[1].bits << 16;
}
// float32 holds the product of two float16 and, of the sizes that kernels add, the sum as well.
inline unsigned multiply_add_float16_pairs(unsigned a, unsigned b, unsigned c) {
    const auto half = [](unsigned pair, int i) { return widen(float16{(unsigned short)(pair >> 16 * i & 0xFFFF)}); };
    return pack_float16(half(a, 0) * half(b, 0) + half(c, 0), half(a, 1) * half(b, 1) + half(c, 1));
}
inline unsigned add_bytes(unsigned four, unsigned sum) {
    for (int i = 0; i < 4; i++) sum += four >> 8 * i & 0xFF;
    return sum;
}

// prmt: byte i of the result is the one of eight that digit i of `which` names, the first four of `first`.
inline unsigned select_bytes(unsigned first, unsigned second, unsigned which) {
    const uint64_t bytes = (uint64_t)second << 32 | first;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) result |= (unsigned)(bytes >> 8 * (which >> 4 * i & 7) & 0xFF) << 8 * i;
    return result;
}

inline unsigned reread_thread() { return threadIdx.x; }
inline void barrier() { emulation::wait_for_block(); }

inline float shuffle_xor(float value, int mask) {
    const uint64_t word = __float_as_uint(value);
    emulation::show(&word, 1);
    const float result = __uint_as_float((unsigned)emulation::shown(emulation::lane() ^ (unsigned)mask)[0]);
    emulation::wait_for_warp();
    return result;
}

inline unsigned shuffle_xor(unsigned value, int mask) {
    return __float_as_uint(shuffle_xor(__uint_as_float(value), mask));
}

inline bool any_lane(bool condition) {
    const uint64_t word = condition;
    emulation::show(&word, 1);
    bool result = false;
    for (unsigned lane = 0; lane < 32; lane++) result |= emulation::shown(lane)[0] != 0;
    emulation::wait_for_warp();
    return result;
}

inline float exp2_fast(float x) { return std::exp2(x); }
inline float reciprocal_fast(float x) { return 1.f / x; }

// The 16-bit element `i` of two that lie in one register.
inline float half_of(uint64_t pair, int i) { return __uint_as_float((unsigned)(pair >> 16 * i & 0xFFFF) << 16); }

inline void multiply_add(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const uint64_t words[6] = {a[0], a[1], a[2], a[3], b0, b1};
    emulation::show(words, 6);
    const unsigned group = emulation::lane() / 4, third = emulation::lane() % 4;
    for (int i = 0; i < 4; i++) {
        const unsigned row = group + 8 * (i / 2), column = 2 * third + i % 2;
        for (unsigned k = 0; k < 16; k++) {
            const uint64_t *const left = emulation::shown(row % 8 * 4 + k % 8 / 2);
            const uint64_t *const right = emulation::shown(column * 4 + k % 8 / 2);
            d[i] += half_of(left[row / 8 + 2 * (k / 8)], k % 2) * half_of(right[4 + k / 8], k % 2);
        }
    }
    emulation::wait_for_warp();
}

inline float float16_of(uint64_t pair, int i) { return widen(float16{(unsigned short)(pair >> 16 * i & 0xFFFF)}); }

inline void multiply_add_float16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const uint64_t words[6] = {a[0], a[1], a[2], a[3], b0, b1};
    emulation::show(words, 6);
    const unsigned group = emulation::lane() / 4, third = emulation::lane() % 4;
    for (int i = 0; i < 4; i++) {
        const unsigned row = group + 8 * (i / 2), column = 2 * third + i % 2;
        for (unsigned k = 0; k < 16; k++) {
            const uint64_t *const left = emulation::shown(row % 8 * 4 + k % 8 / 2);
            const uint64_t *const right = emulation::shown(column * 4 + k % 8 / 2);
            d[i] += float16_of(left[row / 8 + 2 * (k / 8)], k % 2) * float16_of(right[4 + k / 8], k % 2);
        }
    }
    emulation::wait_for_warp();
}

// d += a b of 16x32 and 32x8 bytes, of which Left and Right say what they are.
template <class Sum, Sum Left(unsigned), Sum Right(unsigned)>
inline void multiply_add_bytes(Sum (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    const uint64_t words[6] = {a[0], a[1], a[2], a[3], b0, b1};
    emulation::show(words, 6);
    const unsigned group = emulation::lane() / 4, third = emulation::lane() % 4;
    for (int i = 0; i < 4; i++) {
        const unsigned row = group + 8 * (i / 2), column = 2 * third + i % 2;
        for (unsigned k = 0; k < 32; k++) {
            const uint64_t left = emulation::shown(row % 8 * 4 + k % 16 / 4)[row / 8 + 2 * (k / 16)];
            const uint64_t right = emulation::shown(column * 4 + k % 16 / 4)[4 + k / 16];
            d[i] += Left(left >> 8 * (k % 4) & 0xFF) * Right(right >> 8 * (k % 4) & 0xFF);
        }
    }
    emulation::wait_for_warp();
}
inline int int8_value(unsigned byte) { return (signed char)byte; }
inline void multiply_add(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    multiply_add_bytes<int, int8_value, int8_value>(d, a, b0, b1);
}
inline int byte_value(unsigned byte) { return (int)byte; }
inline void multiply_add_unsigned(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    multiply_add_bytes<int, byte_value, int8_value>(d, a, b0, b1);
}
inline void multiply_add_float8(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    multiply_add_bytes<float, float8_value, float8_value>(d, a, b0, b1);
}

inline void load_rows(unsigned (&result)[4], const bfloat16 *row, bool is_transposed) {
    const uint64_t word = (uint64_t)(uintptr_t)row;
    if (word % 16) std::abort();  // ldmatrix faults
    emulation::show(&word, 1);
    const unsigned group = emulation::lane() / 4, first = emulation::lane() % 4 * 2;
    for (unsigned matrix = 0; matrix < 4; matrix++) {
        unsigned pair = 0;
        for (unsigned i = 0; i < 2; i++) {
            const unsigned line = is_transposed ? first + i : group, element = is_transposed ? group : first + i;
            const bfloat16 *const values = (const bfloat16 *)(uintptr_t)emulation::shown(matrix * 8 + line)[0];
            pair |= (unsigned)values[element].bits << 16 * i;
        }
        result[matrix] = pair;
    }
    emulation::wait_for_warp();
}
inline void load_matrices(unsigned (&result)[4], const bfloat16 *row) { load_rows(result, row, false); }
inline void load_matrices_transposed(unsigned (&result)[4], const bfloat16 *row) { load_rows(result, row, true); }

inline void copy_async(bfloat16 *target, const bfloat16 *source, bool exists) {
    emulation::copy_later(target, source, exists);
}
inline void prefetch(const void *) {}
inline void commit_copies() { emulation::end_copies(); }
template <int Pending>
inline void wait_for_copies() {
    emulation::wait_for_copies(Pending);
}
