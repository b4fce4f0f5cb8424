#define TYPE bfloat16
#define VECTOR 8

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define noise emulated_noise_bfloat16
namespace {
#include "noise.cu"
}

void swan_emulate_noise_bfloat16(uint16_t *y, uint64_t count, uint64_t first, uint64_t seed, float mean, float scale) {
    const unsigned threads = (unsigned)(count / VECTOR);
    emulation::launch({(threads + 63) / 64, 1, 1}, {64, 1, 1},
                      [=] { noise((bfloat16 *)y, count, first, seed, mean, scale); });
}
