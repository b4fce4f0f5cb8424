// What the kernels share: vector accesses, sums in a fixed order, functions. Plain CUDA C++.
//
// Given to NVRTC as a named header. Names in capitals are left to a kernel's defines: template parameters here have
// none.

#pragma once

#include <swan_intrinsics.cuh>

// Elements ----------------------------------------------------------------------------------------

__device__ __forceinline__ float widen(float value) { return value; }

__device__ __forceinline__ float widen(bfloat16 value) { return __uint_as_float((unsigned)value.bits << 16); }

__device__ __forceinline__ void narrow(float value, float &result) { result = value; }

__device__ __forceinline__ void narrow(float value, bfloat16 &result) {
    result.bits = (unsigned short)pack_bfloat16(value, 0.f);
}

// A float8's bits are those of a float16 that is 256 times smaller, but for its NaN, 0x7F, which is the 480 that would
// come next: one more carries into a bit that no other has, which makes a NaN of it. Two of them at once.
__device__ __forceinline__ unsigned with_float8_nan(unsigned halves) {
    return halves | (((halves & 0x3F803F80u) + 0x00800080u) & 0x40004000u);
}

__device__ __forceinline__ float widen(float8 value) {
    const unsigned half = (value.bits & 0x80u) << 8 | (value.bits & 0x7Fu) << 7;
    const float16 number = {(unsigned short)with_float8_nan(half)};
    return widen(number) * 256.f;
}

__device__ __forceinline__ float widen(int8 value) { return (float)value.bits; }

__device__ __forceinline__ float widen(int value) { return (float)value; }

// Four float8 as two pairs of float16, 256 times smaller.
__device__ __forceinline__ void float8_as_float16(unsigned four, unsigned &low, unsigned &high) {
    const unsigned a = (four & 0xFFu) << 8 | (four & 0xFF00u) << 16, b = (four >> 8 & 0xFF00u) | (four & 0xFF000000u);
    low = with_float8_nan((a & 0x80008000u) | (a & 0x7F007F00u) >> 1);
    high = with_float8_nan((b & 0x80008000u) | (b & 0x7F007F00u) >> 1);
}

__device__ __forceinline__ void narrow(float value, float8 &result) {
    result.bits = (unsigned char)pack_float8_pair(value, 0.f);
}

__device__ __forceinline__ void narrow(float value, int8 &result) { result.bits = (signed char)nearest_int8(value); }

// The largest number of a type with eight bits; 0 for other types.
template <class Element>
struct largest_number {
    static constexpr float value = 0.f;
};
template <>
struct largest_number<float8> {
    static constexpr float value = 448.f;
};
template <>
struct largest_number<int8> {
    static constexpr float value = 127.f;
};

// Vector accesses ---------------------------------------------------------------------------------
//
// N consecutive elements at a multiple of N, as 16-byte (or one 8-byte) accesses where N allows it.

template <int N>
__device__ __forceinline__ void load(const float *source, float (&values)[N]) {
    if constexpr (N % 4 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            const float4 part = *(const float4 *)(source + i);
            values[i] = part.x, values[i + 1] = part.y, values[i + 2] = part.z, values[i + 3] = part.w;
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = source[i];
    }
}

template <int N>
__device__ __forceinline__ void store(float *target, const float (&values)[N]) {
    if constexpr (N % 4 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += 4)
            *(float4 *)(target + i) = make_float4(values[i], values[i + 1], values[i + 2], values[i + 3]);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) target[i] = values[i];
    }
}

__device__ __forceinline__ void unpack_bfloat16(unsigned pair, float &low, float &high) {
    low = __uint_as_float(pair << 16);
    high = __uint_as_float(pair & 0xFFFF0000u);
}

template <int N>
__device__ __forceinline__ void load(const bfloat16 *source, float (&values)[N]) {
    if constexpr (N % 8 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += 8) {
            const uint4 part = *(const uint4 *)(source + i);
            unpack_bfloat16(part.x, values[i], values[i + 1]);
            unpack_bfloat16(part.y, values[i + 2], values[i + 3]);
            unpack_bfloat16(part.z, values[i + 4], values[i + 5]);
            unpack_bfloat16(part.w, values[i + 6], values[i + 7]);
        }
    } else if constexpr (N == 4) {
        const uint2 part = *(const uint2 *)source;
        unpack_bfloat16(part.x, values[0], values[1]);
        unpack_bfloat16(part.y, values[2], values[3]);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = widen(source[i]);
    }
}

template <int N>
__device__ __forceinline__ void store(bfloat16 *target, const float (&values)[N]) {
    if constexpr (N % 8 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += 8)
            *(uint4 *)(target + i) =
                make_uint4(pack_bfloat16(values[i], values[i + 1]), pack_bfloat16(values[i + 2], values[i + 3]),
                           pack_bfloat16(values[i + 4], values[i + 5]), pack_bfloat16(values[i + 6], values[i + 7]));
    } else if constexpr (N == 4) {
        *(uint2 *)target = make_uint2(pack_bfloat16(values[0], values[1]), pack_bfloat16(values[2], values[3]));
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) narrow(values[i], target[i]);
    }
}

template <int N>
__device__ __forceinline__ void load(const float16 *source, float (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = widen(source[i]);
}

template <int N>
__device__ __forceinline__ void store(float16 *target, const float (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) narrow(values[i], target[i]);
}

__device__ __forceinline__ unsigned pack_four(const float8 *, float a, float b, float c, float d) {
    return pack_float8_pair(a, b) | pack_float8_pair(c, d) << 16;
}

// Of a value from -127.4 to 127.4, its lowest byte is the nearest whole number, to even where two are as near: floats from
// 2^23 to 2^24 have no digits behind the point. A conversion takes eight times as long as a sum, and has to be bounded. The
// sum is not to be fused with the product that made the value: all devices round that.
__device__ __forceinline__ unsigned rounded_in_byte(float value) {
    return __float_as_uint(add_unfused(value, 12582912.f));
}

// Values from -127.4 to 127.4; anything for NaNs.
__device__ __forceinline__ unsigned pack_four(const int8 *, float a, float b, float c, float d) {
    const unsigned low = select_bytes(rounded_in_byte(a), rounded_in_byte(b), 0x0040u);
    const unsigned high = select_bytes(rounded_in_byte(c), rounded_in_byte(d), 0x0040u);
    return select_bytes(low, high, 0x5410u);
}

// Types with eight bits: four elements in a register.
template <class Element, int N>
__device__ __forceinline__ void store_bytes(Element *target, const float (&values)[N]) {
    if constexpr (N % 16 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += 16)
            *(uint4 *)(target + i) =
                make_uint4(pack_four(target, values[i], values[i + 1], values[i + 2], values[i + 3]),
                           pack_four(target, values[i + 4], values[i + 5], values[i + 6], values[i + 7]),
                           pack_four(target, values[i + 8], values[i + 9], values[i + 10], values[i + 11]),
                           pack_four(target, values[i + 12], values[i + 13], values[i + 14], values[i + 15]));
    } else if constexpr (N == 8) {
        *(uint2 *)target = make_uint2(pack_four(target, values[0], values[1], values[2], values[3]),
                                      pack_four(target, values[4], values[5], values[6], values[7]));
    } else if constexpr (N == 4) {
        *(unsigned *)target = pack_four(target, values[0], values[1], values[2], values[3]);
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) narrow(values[i], target[i]);
    }
}

template <int N>
__device__ __forceinline__ void store(float8 *target, const float (&values)[N]) {
    store_bytes(target, values);
}

template <int N>
__device__ __forceinline__ void store(int8 *target, const float (&values)[N]) {
    store_bytes(target, values);
}

template <int N>
__device__ __forceinline__ void load(const float8 *source, float (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = widen(source[i]);
}

template <int N>
__device__ __forceinline__ void load(const int8 *source, float (&values)[N]) {
#pragma unroll
    for (int i = 0; i < N; i++) values[i] = widen(source[i]);
}

template <int N>
__device__ __forceinline__ void load(const int *source, float (&values)[N]) {
    if constexpr (N % 4 == 0) {
#pragma unroll
        for (int i = 0; i < N; i += 4) {
            const uint4 part = *(const uint4 *)(source + i);
            values[i] = (int)part.x, values[i + 1] = (int)part.y, values[i + 2] = (int)part.z,
            values[i + 3] = (int)part.w;
        }
    } else {
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = widen(source[i]);
    }
}

// Threads -----------------------------------------------------------------------------------------

// The first element of this thread's vector of N, counted over all blocks.
template <int N>
__device__ __forceinline__ index_t first_of_vector() {
    return ((index_t)blockIdx.x * blockDim.x + threadIdx.x) * N;
}

// Sums over Lanes neighbouring threads (a power of two, at most 32): a butterfly, the same bits in all.
template <int Lanes>
__device__ __forceinline__ float lane_sum(float value) {
#pragma unroll
    for (int mask = Lanes / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
    return value;
}

// Sums Count values over a block of Threads: butterfly in each warp, then the warps in order. Every
// thread gets the same bits, and the order never changes. May be called again at once.
template <int Threads, int Count>
__device__ __forceinline__ void block_sum(float (&values)[Count]) {
    static_assert(Threads % 32 == 0 && Threads <= 1024, "whole warps");
    constexpr int Warps = Threads / 32;
    __shared__ float parts[Count][Warps];
#pragma unroll
    for (int i = 0; i < Count; i++) values[i] = lane_sum<32>(values[i]);
    barrier();  // the sums of an earlier call have been read
    if (threadIdx.x % 32 == 0) {
#pragma unroll
        for (int i = 0; i < Count; i++) parts[i][threadIdx.x / 32] = values[i];
    }
    barrier();
#pragma unroll
    for (int i = 0; i < Count; i++) {
        values[i] = 0.f;
        for (int warp = 0; warp < Warps; warp++) values[i] += parts[i][warp];
    }
}

// The largest of a number of each thread of a block of Threads, in all of them. May be called again at once.
template <int Threads>
__device__ __forceinline__ unsigned block_max(unsigned value) {
    static_assert(Threads % 32 == 0 && Threads <= 1024, "whole warps");
    constexpr int Warps = Threads / 32;
    __shared__ unsigned parts[Warps];
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) value = max(value, shuffle_xor(value, mask));
    barrier();  // the numbers of an earlier call have been read
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    barrier();
    for (int warp = 0; warp < Warps; warp++) value = max(value, parts[warp]);
    return value;
}

// Each block of Block neighbouring values times the Hadamard matrix of 1 and -1 of that size, a power of two up to 32 N:
// this thread has N of them that stand side by side, its neighbours have the others. Sums are made at a distance of 1,
// then of 2, 4 and so on: the same bits whatever N is.
template <int Block, int N>
__device__ __forceinline__ void rotate(float (&x)[N]) {
    static_assert(Block <= 32 * N && (Block & (Block - 1)) == 0, "a warp holds a block");
#pragma unroll
    for (int distance = 1; distance < N && distance < Block; distance *= 2) {
#pragma unroll
        for (int i = 0; i < N; i++) {
            if (i & distance) continue;
            const float a = x[i], b = x[i + distance];
            x[i] = a + b;
            x[i + distance] = a - b;
        }
    }
#pragma unroll
    for (int distance = 1; distance * N < Block; distance *= 2) {
        const float sign = threadIdx.x & distance ? -1.f : 1.f;
#pragma unroll
        for (int i = 0; i < N; i++) x[i] = shuffle_xor(x[i], distance) + sign * x[i];
    }
}

// A pair of channels by an angle, as the rotary embedding does.
__device__ __forceinline__ void turn(float &a, float &b, float cosine, float sine) {
    const float first = a * cosine - b * sine;
    b = a * sine + b * cosine;
    a = first;
}

// Functions ---------------------------------------------------------------------------------------

// 1 / (1 + e^-x), to some 2^-21: an exponential and a reciprocal of the special-function unit. A division and an exponential
// that are right to the last bit take 40 instructions, with which a kernel that only moves bytes no longer keeps up.
__device__ __forceinline__ float sigmoid_fast(float x) { return reciprocal_fast(1.f + exp2_fast(-1.4426950408889634f * x)); }

// GELU in its tanh form. z/2 (1 + tanh u) = z / (1 + e^-2u), which keeps its digits where 1 + tanh u
// cancels.
__device__ __forceinline__ float gelu_tanh(float z) {
    const float u = 0.7978845608028654f * (z + 0.044715f * z * z * z);
    return z / (1.f + expf(-2.f * u));
}

__device__ __forceinline__ float silu(float z) { return z / (1.f + expf(-z)); }

#define IDENTITY 0
#define GELU_TANH 1
#define SILU 2

// For what is rounded to few bits afterwards.
template <int Function>
__device__ __forceinline__ float activated_fast(float z) {
    if constexpr (Function == GELU_TANH) return z * sigmoid_fast(1.5957691216057308f * (z + 0.044715f * z * z * z));
    if constexpr (Function == SILU) return z * sigmoid_fast(z);
    return z;
}

template <int Function>
__device__ __forceinline__ float activated(float z) {
    if constexpr (Function == GELU_TANH) return gelu_tanh(z);
    if constexpr (Function == SILU) return silu(z);
    return z;
}
