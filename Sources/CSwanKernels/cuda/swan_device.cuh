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

// Functions ---------------------------------------------------------------------------------------

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

template <int Function>
__device__ __forceinline__ float activated(float z) {
    if constexpr (Function == GELU_TANH) return gelu_tanh(z);
    if constexpr (Function == SILU) return silu(z);
    return z;
}
