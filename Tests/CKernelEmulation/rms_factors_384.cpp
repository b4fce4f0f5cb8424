#define WIDTH 384

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define rms_factors emulated_rms_factors_384
namespace {
#include "rms_factors.cu"
}

void swan_emulate_rms_factors_384(const uint16_t *x, float *factors, uint32_t rows, float eps) {
    emulation::launch({(rows + 7) / 8, 1, 1}, {256, 1, 1}, [=] {
        rms_factors((const bfloat16 *)x, factors, rows, eps);
    });
}
