#define TYPE float
#define VECTOR 1

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define noise emulated_noise_float
namespace {
#include "noise.cu"
}

void swan_emulate_noise_float(float *y, uint64_t count, uint64_t first, uint64_t seed, float mean, float scale) {
    const unsigned threads = (unsigned)(count / VECTOR);
    emulation::launch({(threads + 63) / 64, 1, 1}, {64, 1, 1},
                      [=] { noise((float *)y, count, first, seed, mean, scale); });
}
