// The instructions that only Hopper has (sm_90a): tiles copied by the copy engine, barriers that count bytes, products of
// a group of four warps. Each is a function, with the types that it works on.
//
// Given to NVRTC as a named header; used by kernels that are compiled for sm_90a alone.
//
// Source    PTX ISA 9.0: mbarrier, cp.async.bulk.tensor, wgmma, setmaxnreg, bar, barrier.cluster.

#pragma once

#include <swan_intrinsics.cuh>

// How a tensor in device memory is cut into tiles: the driver's CUtensorMap.
struct __align__(64) TileMap {
    unsigned long long words[16];
};

// Roles -------------------------------------------------------------------------------------------

// Registers per thread of this group of four warps from here on; multiples of 8. What one group gives another can take.
template <int Registers>
__device__ __forceinline__ void give_registers() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

template <int Registers>
__device__ __forceinline__ void take_registers() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}

// The number of this block in its cluster.
__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank;
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return rank;
}

// A value that is the same in all threads of a warp, in a form that the compiler knows to be so: what is derived from it
// takes one instruction for the warp instead of one for each thread and a copy.
__device__ __forceinline__ unsigned same_in_warp(unsigned value) { return __shfl_sync(0xFFFFFFFFu, value, 0); }

// Two groups of four warps that take turns: waits for the turn of `group`, 0 or 1.
__device__ __forceinline__ void take_turn(unsigned group) {
    asm volatile("bar.sync %0, 256;" ::"r"(1 + group) : "memory");
}

// Says that it is the turn of the other one.
__device__ __forceinline__ void give_turn(unsigned group) {
    asm volatile("bar.arrive %0, 256;" ::"r"(1 + (group ^ 1)) : "memory");
}

// Waits for all threads of all blocks of the cluster.
__device__ __forceinline__ void cluster_barrier() {
    asm volatile("barrier.cluster.arrive.release.aligned;\nbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// Barriers in shared memory, given by their address -------------------------------------------------

// A phase ends with `arrivals` arrivals and with the last of the bytes that were announced.
__device__ __forceinline__ void initialize_barrier(unsigned barrier, unsigned arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(arrivals) : "memory");
}

// Lets the copy engine and the other blocks of the cluster see barriers that were just made.
__device__ __forceinline__ void publish_barriers() {
    asm volatile("fence.mbarrier_init.release.cluster;\nfence.proxy.async.shared::cta;" ::: "memory");
}

// Arrives, and announces bytes of copies.
__device__ __forceinline__ void announce(unsigned barrier, unsigned bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes) : "memory");
}

// Arrives at the barrier that lies at this address in another block of the cluster, or in this one. Orders nothing but
// products that were waited for.
__device__ __forceinline__ void arrive_at(unsigned barrier, unsigned rank) {
    asm volatile(
        "{\n"
        ".reg .b32 there;\n"
        "mapa.shared::cluster.u32 there, %0, %1;\n"
        "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
        "}" ::"r"(barrier), "r"(rank) : "memory");
}

// Waits for the end of the phase of this parity: 0 for the first, 1 for the second. Of a new barrier the phase of parity
// 1 counts as ended.
__device__ __forceinline__ void wait_for(unsigned barrier, unsigned parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@!done bra again;\n"
        "}" ::"r"(barrier), "r"(parity) : "memory");
}

// The same for one that has time: asks again after some 400 ns only. One that keeps asking takes a tenth of all instructions
// of its scheduler from the warps that compute.
__device__ __forceinline__ void wait_patiently(unsigned barrier, unsigned parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra over;\n"
        "nanosleep.u32 400;\n"
        "bra again;\n"
        "over:\n"
        "}" ::"r"(barrier), "r"(parity) : "memory");
}

// Tiles -------------------------------------------------------------------------------------------

// Starts copying the tile at column, head, row to shared memory; its bytes count for `barrier`. What lies outside the
// tensor is zero.
__device__ __forceinline__ void copy_tile(unsigned target, const TileMap *map, unsigned barrier, int column, int head,
                                          int row) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5}], [%2];" ::"r"(
            target),
        "l"(map), "r"(barrier), "r"(column), "r"(head), "r"(row) : "memory");
}

// The same for all blocks of the cluster that `blocks` has a bit for, to the same place in each; the bytes count for the
// barrier of each.
__device__ __forceinline__ void copy_tile_to(unsigned short blocks, unsigned target, const TileMap *map,
                                             unsigned barrier, int column, int head, int row) {
    asm volatile(
        "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
        "[%1, {%3, %4, %5}], [%2], %6;" ::"r"(target),
        "l"(map), "r"(barrier), "r"(column), "r"(head), "r"(row), "h"(blocks) : "memory");
}

// Products of four warps -------------------------------------------------------------------------

// A matrix in shared memory, in rows of 128 bytes whose 16-byte parts are permuted within each eight rows as the copy
// engine does it ("128-byte swizzle"): `address` a multiple of 1024, plus 32 for each 16 columns of bfloat16, or 32 of
// eight bits. `next_columns` are the bytes to the next 64 columns, where a product goes that far. An address has the block's number in
// the cluster in its upper bits, which belong to other fields here.
__device__ __forceinline__ unsigned long long matrix_at(unsigned address, unsigned next_columns) {
    const unsigned eight_rows = 1024;
    return (unsigned long long)(address % (1 << 18) >> 4) | (unsigned long long)(next_columns >> 4) << 16 |
           (unsigned long long)(eight_rows >> 4) << 32 | 1ull << 62;
}

// Orders registers that were written before the products that follow.
__device__ __forceinline__ void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

// Ends a group of products, which then run by themselves.
__device__ __forceinline__ void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

// Waits until at most Pending groups are under way.
template <int Pending>
__device__ __forceinline__ void wait_for_products() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}

// Keeps the compiler from reading or moving sums before this point: to be called after their products were waited for.
template <int N>
__device__ __forceinline__ void settle(float (&sums)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) asm volatile("" : "+f"(sums[n][i])::"memory");
    }
}

template <int N>
__device__ __forceinline__ void settle(int (&sums)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) asm volatile("" : "+r"(sums[n][i])::"memory");
    }
}

#define SUMS_1(d, n) "+f"(d[n][0]), "+f"(d[n][1]), "+f"(d[n][2]), "+f"(d[n][3])
#define SUMS_2(d, n) SUMS_1(d, n), SUMS_1(d, n + 1)
#define SUMS_4(d, n) SUMS_2(d, n), SUMS_2(d, n + 2)
#define SUMS_8(d, n) SUMS_4(d, n), SUMS_4(d, n + 4)
#define SUMS_16(d, n) SUMS_8(d, n), SUMS_8(d, n + 8)

// d = a b^T, or d += a b^T, for a 64x16 and b 176x16 in shared memory, d 64x176 of float32. Warp w has rows 16 w ... of d;
// d[n] are columns 8 n ..., laid out as in multiply_add.
__device__ __forceinline__ void multiply(float (&d)[22][4], unsigned long long a, unsigned long long b,
                                         bool accumulates) {
    asm volatile(
        "{\n"
        ".reg .pred accumulates;\n"
        "setp.ne.b32 accumulates, %90, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n176k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        "%80, %81, %82, %83, %84, %85, %86, %87"
        "}, %88, %89, accumulates, 1, 1, 0, 0;\n"
        "}"
        : SUMS_16(d, 0), SUMS_4(d, 16), SUMS_2(d, 20)
        : "l"(a), "l"(b), "r"((int)accumulates));
}

// d += a b for a 64x16 in registers, laid out as in multiply_add, and b 16x128 in shared memory, whose rows are
// those of the product.
__device__ __forceinline__ void multiply_add(float (&d)[16][4], const unsigned (&a)[4], unsigned long long b) {
    asm volatile(
        "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, {%64, %65, %66, %67}, %68, 1, 1, 1, 1;"
        : SUMS_16(d, 0)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}

#define WHOLE_1(d, n) "+r"(d[n][0]), "+r"(d[n][1]), "+r"(d[n][2]), "+r"(d[n][3])
#define WHOLE_4(d, n) WHOLE_1(d, n), WHOLE_1(d, n + 1), WHOLE_1(d, n + 2), WHOLE_1(d, n + 3)
#define WHOLE_16(d) WHOLE_4(d, 0), WHOLE_4(d, 4), WHOLE_4(d, 8), WHOLE_4(d, 12)

// d = a b^T, or d += a b^T, for a 64x32 and b 128x32 of int8 in shared memory, d 64x128 of whole numbers, laid out as
// above.
__device__ __forceinline__ void multiply(int (&d)[16][4], unsigned long long a, unsigned long long b,
                                         bool accumulates) {
    asm volatile(
        "{\n"
        ".reg .pred accumulates;\n"
        "setp.ne.b32 accumulates, %66, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k32.s32.s8.s8 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, %64, %65, accumulates;\n"
        "}"
        : WHOLE_16(d)
        : "l"(a), "l"(b), "r"((int)accumulates));
}

// The same for a in registers, of numbers from 0 to 255, laid out as the multiply_add of int8 has it.
__device__ __forceinline__ void multiply(int (&d)[16][4], const unsigned (&a)[4], unsigned long long b,
                                         bool accumulates) {
    asm volatile(
        "{\n"
        ".reg .pred accumulates;\n"
        "setp.ne.b32 accumulates, %69, 0;\n"
        "wgmma.mma_async.sync.aligned.m64n128k32.s32.u8.s8 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
        "}, {%64, %65, %66, %67}, %68, accumulates;\n"
        "}"
        : WHOLE_16(d)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"((int)accumulates));
}
