// A GPU's block on one host thread: every CUDA thread is a context of its own, which runs until it has to wait for
// others at a barrier, or within its warp.
#pragma once

// Kernels have parameters that not every set of defines reads.
#pragma clang diagnostic ignored "-Wunused-parameter"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__
#define __launch_bounds__(...)
#define __shared__ static
#define __align__(bytes)

struct Index {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}
inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

inline int min(int a, int b) { return a < b ? a : b; }
inline int max(int a, int b) { return a > b ? a : b; }
inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }

namespace emulation {

extern Index gridDim, blockDim, blockIdx;
// Of the thread that runs.
extern Index threadIdx;
// A block's dynamic shared memory.
extern unsigned char memory[256 << 10];

// Runs a kernel's body once for each thread of each block; shared memory is garbage at the start of a block.
void launch(Index grid, Index block, const std::function<void()> &body);
// Waits for all threads of the block.
void wait_for_block();
// Shows `words` to the other lanes of the warp, and waits for them.
void show(const uint64_t *words, int count);
// What a lane of this warp has shown.
const uint64_t *shown(unsigned lane);
// Waits until all lanes have looked.
void wait_for_warp();
// This thread's lane.
unsigned lane();

// Asynchronous copies land when they are waited for and not before.
void copy_later(void *target, const void *source, bool exists);
void end_copies();
void wait_for_copies(int pending);

}  // namespace emulation

using emulation::blockDim;
using emulation::blockIdx;
using emulation::gridDim;
using emulation::threadIdx;
