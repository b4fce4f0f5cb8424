// What CUDA C++ has no name for without the toolkit's headers: the PTX instructions that the kernels use,
// each a function, with the types that they work on.
//
// Given to NVRTC as a named header; includes nothing. Another file of this name, with the same functions in plain C++,
// runs the kernels on a host in tests.
//
// Source    PTX ISA 9.0: cvt, ex2, ldmatrix, mma.m16n8k16, cp.async.

#pragma once

// Element types -----------------------------------------------------------------------------------

struct bfloat16 {
    unsigned short bits;
};

struct float16 {
    unsigned short bits;
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

__device__ __forceinline__ float widen(float16 value) {
    float result;
    asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
    return result;
}

__device__ __forceinline__ void narrow(float value, float16 &result) {
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
}

// Threads -----------------------------------------------------------------------------------------

// Declares the block's dynamic shared memory, at a multiple of 16 bytes.
#define SHARED_MEMORY(name) extern __shared__ __align__(16) unsigned char name[]

__device__ __forceinline__ void barrier() { __syncthreads(); }

__device__ __forceinline__ float shuffle_xor(float value, int mask) {
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
}

// Functions ---------------------------------------------------------------------------------------

// 2^x within 2 units in the last place; 0 for minus infinity.
__device__ __forceinline__ float exp2_fast(float x) {
    float result;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
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

// Ends a group of copies.
__device__ __forceinline__ void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most Pending of this thread's groups are under way.
template <int Pending>
__device__ __forceinline__ void wait_for_copies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}
