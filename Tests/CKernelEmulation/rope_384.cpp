#define WIDTH 384
#define PAIRS 32
#define THREADS 32
#define VECTOR 8

#include "CKernelEmulation.h"
#include "swan_intrinsics.cuh"

// Each file has a kernel and helpers of its own, since they are compiled with other defines.
#define rms_norm_rope emulated_rope_384
namespace {
#include "rms_norm_rope.cu"
}

void swan_emulate_rope_384(const uint16_t *x, const float *weight, const float *cosines, const float *sines,
                           uint16_t *y, uint32_t rows, float eps) {
    emulation::launch({rows, 1, 1}, {THREADS, 1, 1}, [=] {
        rms_norm_rope((const bfloat16 *)x, weight, cosines, sines, (bfloat16 *)y, eps);
    });
}
