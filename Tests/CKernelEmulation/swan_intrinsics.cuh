// The functions of Sources/CSwanKernels/cuda/swan_intrinsics.cuh in plain C++; see there for what they do.
#pragma once

#include "device.h"

struct bfloat16 {
    unsigned short bits;
};
struct float16 {
    unsigned short bits;
};
typedef unsigned long long index_t;

#define SHARED_MEMORY(name) unsigned char *const name = emulation::memory

inline unsigned bfloat16_bits(float value) {
    const unsigned bits = __float_as_uint(value);
    return std::isnan(value) ? 0x7FFF : (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}
inline unsigned pack_bfloat16(float low, float high) { return bfloat16_bits(low) | bfloat16_bits(high) << 16; }

inline float widen(float16 value) {
    _Float16 half;
    std::memcpy(&half, &value, 2);
    return (float)half;
}
inline void narrow(float value, float16 &result) {
    const _Float16 half = (_Float16)value;
    std::memcpy(&result, &half, 2);
}

inline void barrier() { emulation::wait_for_block(); }

inline float shuffle_xor(float value, int mask) {
    const uint64_t word = __float_as_uint(value);
    emulation::show(&word, 1);
    const float result = __uint_as_float((unsigned)emulation::shown(emulation::lane() ^ (unsigned)mask)[0]);
    emulation::wait_for_warp();
    return result;
}

inline float exp2_fast(float x) { return std::exp2(x); }

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
inline void commit_copies() { emulation::end_copies(); }
template <int Pending>
inline void wait_for_copies() {
    emulation::wait_for_copies(Pending);
}
