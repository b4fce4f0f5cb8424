#define CHANNELS 96
#define LANES 4
#define VECTOR 8
#define SILU_APPLIED 1

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define norm_silu emulated_norm_silu_96
namespace {
#include "norm_silu.cu"
}

void swan_emulate_norm_silu_96(const uint16_t *x, const float *gamma, const uint16_t *history, uint16_t *y,
                               uint64_t zeros, uint64_t front, uint64_t positions) {
    const unsigned threads = (unsigned)(front + positions) * LANES;
    emulation::launch({(threads + 63) / 64, 1, 1}, {64, 1, 1}, [=] {
        norm_silu((const bfloat16 *)x, gamma, (const bfloat16 *)history, (bfloat16 *)y, zeros, front,
                  positions);
    });
}
