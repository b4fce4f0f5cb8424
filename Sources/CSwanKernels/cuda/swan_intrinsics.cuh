// What CUDA C++ has no name for without the toolkit's headers: the PTX instructions that the kernels use,
// each a function, with the types that they work on.
//
// Given to NVRTC as a named header; includes nothing. Another file of this name, with the same functions in plain C++,
// runs the kernels on a host in tests.
//
// Source    PTX ISA 9.0: cvt, ex2, ldmatrix, mma.m16n8k16, mma.m16n8k32, cp.async.

#pragma once

// Element types -----------------------------------------------------------------------------------

struct bfloat16 {
    unsigned short bits;
};

struct float16 {
    unsigned short bits;
};

// 4 exponent and 3 mantissa bits, no infinity (e4m3fn).
struct float8 {
    unsigned char bits;
};

struct int8 {
    signed char bits;
};

typedef unsigned long long index_t;  // products of extents pass 2^32 long before an extent does

#ifndef INFINITY
#define INFINITY __int_as_float(0x7F800000)
#endif

// Two floats as bfloat16, to nearest even; `low` in the lower half.
__device__ __forceinline__ unsigned pack_bfloat16(float low, float high) {
    unsigned result;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}

// Two floats as float16, to nearest even; `low` in the lower half.
__device__ __forceinline__ unsigned pack_float16(float low, float high) {
    unsigned result;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(result) : "f"(high), "f"(low));
    return result;
}

// a b + c of two float16 each, rounded once.
__device__ __forceinline__ unsigned multiply_add_float16_pairs(unsigned a, unsigned b, unsigned c) {
    unsigned result;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
}

// The sum of four bytes and a number.
__device__ __forceinline__ unsigned add_bytes(unsigned four, unsigned sum) {
    unsigned result;
    asm("dp4a.u32.u32 %0, %1, %2, %3;" : "=r"(result) : "r"(four), "r"(0x01010101u), "r"(sum));
    return result;
}

// Four of the eight bytes of two registers, by their numbers: 0 to 3 are those of `first`.
__device__ __forceinline__ unsigned select_bytes(unsigned first, unsigned second, unsigned which) {
    unsigned result;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(first), "r"(second), "r"(which));
    return result;
}

// The smaller and the larger of two; NaN where either is.
__device__ __forceinline__ float min_or_nan(float a, float b) {
    float result;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}

__device__ __forceinline__ float max_or_nan(float a, float b) {
    float result;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}

__device__ __forceinline__ float widen(float16 value) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
}

__device__ __forceinline__ void narrow(float value, float16 &result) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
}

// A float as float8, by arithmetic alone.
__device__ __forceinline__ unsigned float8_bits(float value) {
    const unsigned bits = __float_as_uint(value), magnitude = bits & 0x7FFFFFFFu, sign = bits >> 24 & 0x80;
    if (magnitude > 0x7F800000u) return 0x7F;
    if (magnitude >= 0x43E00000u) return sign | 0x7E;  // 448
    // Below 2^-6 numbers are multiples of 2^-9, which is the distance between floats from 2^14 on.
    if (magnitude < 0x3C800000u) return sign | (__float_as_uint(__uint_as_float(magnitude) + 16384.f) & 15);
    return sign | (((magnitude + 0x7FFFFu + (magnitude >> 20 & 1)) >> 20) - (120 << 3));
}

// Whether mma multiplies float8 itself. On Hopper and on Blackwell's server chips, whose wgmma and tcgen05 do, it is
// taken apart into conversions and products of float16, for which kernels have better code of their own.
#ifndef FLOAT8_PRODUCTS
#if __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200
#define FLOAT8_PRODUCTS 1
#else
#define FLOAT8_PRODUCTS 0
#endif
#endif

// Two floats as float8, to nearest even; `low` in the lower byte. Beyond 448 all is 448; a NaN is 0x7F.
__device__ __forceinline__ unsigned pack_float8_pair(float low, float high) {
#if __CUDA_ARCH__ >= 890
    unsigned short result;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(result) : "f"(high), "f"(low));
    return result;
#else
    return float8_bits(low) | float8_bits(high) << 8;
#endif
}

// a + b, rounded, where a may be a product: the compiler makes one operation of both otherwise, rounded once.
__device__ __forceinline__ float add_unfused(float a, float b) { return __fadd_rn(a, b); }

// To the nearest whole number, even where two are as near; -127 to 127, 0 for a NaN.
__device__ __forceinline__ int nearest_int8(float value) {
    int result;
    asm("cvt.rni.s32.f32 %0, %1;" : "=r"(result) : "f"(value));
    return min(max(result, -127), 127);
}

// Threads -----------------------------------------------------------------------------------------

// Declares the block's dynamic shared memory, at a multiple of 16 bytes.
#define SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]

__device__ __forceinline__ void barrier() { __syncthreads(); }

// threadIdx.x, read again behind the memory accesses in front of this: what follows from it takes no registers before.
__device__ __forceinline__ unsigned reread_thread() {
    unsigned result;
    asm volatile("mov.u32 %0, %%tid.x;" : "=r"(result) : : "memory");
    return result;
}

__device__ __forceinline__ float shuffle_xor(float value, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}

__device__ __forceinline__ unsigned shuffle_xor(unsigned value, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}

// Whether the condition holds for any thread of the warp.
__device__ __forceinline__ bool any_lane(bool condition) { return __any_sync(0xFFFFFFFFu, condition); }

// Functions ---------------------------------------------------------------------------------------

// 2^x within 2 units in the last place; 0 for minus infinity.
__device__ __forceinline__ float exp2_fast(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// 1 / x, to one unit in the last place; denormals are zero.
__device__ __forceinline__ float reciprocal_fast(float x) {
    float result;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
    return result;
}

// Matrix instructions (sm_80 and later) -----------------------------------------------------------

// d += a b for a 16x16 and b 16x8 of bfloat16, d 16x8 of float32. With g = lane / 4, t = lane % 4:
// a: rows g, g + 8 of columns 2t, 2t + 1, then the same rows of columns 2t + 8, 2t + 9; b: rows 2t,
// 2t + 1 of column g, then rows 2t + 8, 2t + 9; d: columns 2t, 2t + 1 of row g, then of row g + 8.
__device__ __forceinline__ void multiply_add(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same of float16.
__device__ __forceinline__ void multiply_add_float16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// d += a b for a 16x32 and b 32x8 of int8, d 16x8 of whole numbers. With g = lane / 4, t = lane % 4: a: rows g, g + 8 of
// columns 4t ... 4t + 3, then the same rows of columns 4t + 16 ...; b: rows 4t ... 4t + 3 of column g, then rows
// 4t + 16 ...; d as above.
__device__ __forceinline__ void multiply_add(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// The same with a of whole numbers from 0 to 255.
__device__ __forceinline__ void multiply_add_unsigned(int (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#if FLOAT8_PRODUCTS
// The same of float8, d of float32 (sm_89 and later).
__device__ __forceinline__ void multiply_add_float8(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
#endif

__device__ __forceinline__ unsigned shared_address(const void *pointer) {
    return (unsigned)__cvta_generic_to_shared(pointer);
}

// Four 8x8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8, and
// receives of each matrix the elements 2t, 2t + 1 of row g.
__device__ __forceinline__ void load_matrices(unsigned (&result)[4], const bfloat16 *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// The same, each matrix transposed.
__device__ __forceinline__ void load_matrices_transposed(unsigned (&result)[4], const bfloat16 *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(result[0]), "=r"(result[1]), "=r"(result[2]), "=r"(result[3])
                 : "r"(shared_address(row))
                 : "memory");
}

// Starts copying 16 bytes to shared memory, or writes zeros there when `exists` is false; `source` is
// then not read, but must be a valid address.
__device__ __forceinline__ void copy_async(bfloat16 *target, const bfloat16 *source, bool exists) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(target)), "l"(source), "r"(exists ? 16 : 0)
                 : "memory");
}

// Asks for the 32 bytes at a global address to be in L2 soon; changes nothing else.
__device__ __forceinline__ void prefetch(const void *address) {
    asm volatile("prefetch.global.L2 [%0];" : : "l"(address));
}

// Ends a group of copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most Pending of this thread's groups are under way.
template <int Pending>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}
